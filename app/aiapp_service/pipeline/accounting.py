"""The outermost stage: whatever comes of a request, what it took is counted once, when it is over.

A client that leaves is billed for what was generated until then, and for what it asked where nothing had come yet:
where the backend did not tell the usage it is estimated, and flagged.
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

from aiapp_service.llm.upstream import Endpoint
from aiapp_service.llm.usage import Usage, cost_of
from aiapp_service.pipeline.call import Call
from aiapp_service.pipeline.exchange import Exchange, Next, Outcome, Stage

# Tokens are about this long in most languages and tokenizers.
BYTES_PER_TOKEN = 4
_NOT_SAID = frozenset({"role", "type", "index", "finish_reason", "logprobs", "input_audio", "encrypted_content"})

Settle = Callable[[Exchange], Awaitable[None]]


def accounting(*settles: Settle) -> Stage:
    """Completes the call's usage and cost, then calls `settles`, in order. None waits for I/O."""

    async def account(exchange: Exchange, following: Next) -> Outcome:
        async def over() -> None:
            complete(exchange)
            for settle in settles:
                await settle(exchange)

        exchange.cleanup.push_async_callback(over)
        return await following(exchange)

    return account


def complete(exchange: Exchange) -> None:
    """What the call has used and cost, as far as that is known."""
    call = exchange.call
    if call.rounds:
        _add_up(call)
        return
    if not call.worked or call.backend is None or call.cache:
        return
    if call.usage is None or not call.complete:
        call.usage = _estimated(exchange)
        call.estimated = True
    call.cost = cost_of(call.usage, call.backend.price)


def _add_up(call: Call) -> None:
    """What its rounds have used; an unknown price makes the sum unknown."""
    billed = [one for one in call.rounds if one.worked and one.usage is not None]
    if not billed:
        return
    call.worked, call.backend = True, billed[-1].backend
    call.complete = all(one.complete for one in call.rounds)
    call.estimated = any(one.estimated for one in billed)
    call.usage = sum((one.usage for one in billed if one.usage is not None), Usage())
    costs = [one.cost for one in billed if one.cost is not None]
    call.cost = sum(costs, Decimal(0)) if len(costs) == len(billed) else None


def _estimated(exchange: Exchange) -> Usage:
    """What was told until then counts, where it is more than what can be seen."""
    call = exchange.call
    told = call.usage or Usage()
    asked = told.input or estimated_input(exchange.endpoint, exchange.body)
    return replace(told, input=asked, output=max(told.output, call.pieces))


def estimated_input(endpoint: Endpoint, body: dict[str, Any]) -> int:
    """About how many tokens a request has; images and audio are not looked into."""
    if endpoint is Endpoint.EMBEDDINGS:
        said = _length(body.get("input"))
    elif endpoint is Endpoint.RESPONSES:
        said = _length(body.get("instructions")) + _length(body.get("input")) + _length(body.get("tools"))
    else:
        said = _length(body.get("messages")) + _length(body.get("tools"))
    return said // BYTES_PER_TOKEN + 1


def estimated_output(answer: Any) -> int:
    """About how many tokens the whole answer of a chat, or a response, has; 0 for another document."""
    said = (answer.get("choices") or answer.get("output")) if isinstance(answer, dict) else None
    return -(-_length(said) // BYTES_PER_TOKEN)


def _length(value: Any) -> int:
    if isinstance(value, str):
        return 0 if value.startswith("data:") else len(value)
    if isinstance(value, list):
        return sum(_length(item) for item in value)
    if isinstance(value, dict):
        return sum(_length(item) for key, item in value.items() if key not in _NOT_SAID)
    # Embeddings take texts as lists of tokens, too.
    return BYTES_PER_TOKEN if isinstance(value, int) and not isinstance(value, bool) else 0


def is_billable(call: Call) -> bool:
    """Whether a backend has worked for this request."""
    return call.worked and call.usage is not None and not call.cache
