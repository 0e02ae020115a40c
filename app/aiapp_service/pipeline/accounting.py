"""The outermost stage: whatever comes of a request, what it took is counted once, when it is over.

A client that leaves is billed for what was generated until then: where the backend did not tell the usage it is
estimated, and flagged.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from aiapp_service.llm.upstream import Endpoint
from aiapp_service.llm.usage import Usage, cost_of
from aiapp_service.pipeline.call import Call
from aiapp_service.pipeline.exchange import Exchange, Next, Outcome, Stage

# Tokens are about this long in most languages and tokenizers.
BYTES_PER_TOKEN = 4

Settle = Callable[[Exchange], Awaitable[None]]


def accounting(*settles: Settle) -> Stage:
    """Completes the call's usage and cost, then calls `settles`, in order. None waits for I/O."""

    async def account(exchange: Exchange, following: Next) -> Outcome:
        async def over() -> None:
            _complete(exchange)
            for settle in settles:
                await settle(exchange)

        exchange.cleanup.push_async_callback(over)
        return await following(exchange)

    return account


def _complete(exchange: Exchange) -> None:
    call = exchange.call
    if call.backend is None or call.cache:
        return
    if call.usage is None and call.pieces:
        call.usage = Usage(input=estimated_input(exchange.endpoint, exchange.body), output=call.pieces)
        call.estimated = True
    if call.usage is not None:
        call.cost = cost_of(call.usage, call.backend.price)


def estimated_input(endpoint: Endpoint, body: dict[str, Any]) -> int:
    """About how many tokens a request has; images and audio are not looked into."""
    said = body.get("input") if endpoint is Endpoint.EMBEDDINGS else body.get("messages")
    return _length(said) // BYTES_PER_TOKEN + 1


def _length(value: Any) -> int:
    if isinstance(value, str):
        return 0 if value.startswith("data:") else len(value)
    if isinstance(value, list):
        return sum(_length(item) for item in value)
    if isinstance(value, dict):
        return sum(_length(item) for key, item in value.items() if key not in ("role", "type", "input_audio"))
    return 0


def is_billable(call: Call) -> bool:
    """Whether a backend has worked for this request."""
    return call.backend is not None and call.usage is not None and not call.cache
