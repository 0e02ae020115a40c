"""What a request may take at most, before it has begun."""

from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from aiapp_service.limits.demand import NANO
from aiapp_service.llm.route import Route
from aiapp_service.llm.upstream import Endpoint
from aiapp_service.llm.usage import Usage, cost_of
from aiapp_service.pipeline.accounting import estimated_input

# The length of an answer that nobody has limited: most are shorter.
DEFAULT_OUTPUT_TOKENS = 1024
_MOST_TOKENS = 10_000_000


def estimated(endpoint: Endpoint, body: dict[str, Any], most_tokens: int | None) -> Usage:
    """Tokens of the request, and of the longest answer that it asks for.

    Where it does not say how long the answer may be that is a guess of ours, which by itself never takes the request
    beyond `most_tokens`.
    """
    asked = estimated_input(endpoint, body)
    if endpoint is Endpoint.EMBEDDINGS:
        return Usage(input=asked)
    answers = _count(body.get("n")) or 1
    names = ("max_output_tokens",) if endpoint is Endpoint.RESPONSES else ("max_completion_tokens", "max_tokens")
    told = next((count for name in names if (count := _count(body.get(name))) is not None), None)
    if told is not None:
        return Usage(input=asked, output=min(told * answers, _MOST_TOKENS))
    guess = DEFAULT_OUTPUT_TOKENS * answers
    return Usage(input=asked, output=guess if most_tokens is None else max(min(guess, most_tokens - asked), 0))


def dearest(usage: Usage, route: Route) -> int:
    """Nano-dollars that `usage` costs at the dearest backend whose price is known; 0 where none is."""
    costs = [cost for backend in route.backends if (cost := cost_of(usage, backend.price)) is not None]
    return nano(max(costs)) if costs else 0


def nano(dollars: Decimal) -> int:
    """US dollars as nano-dollars."""
    return int((dollars * NANO).to_integral_value(ROUND_HALF_EVEN))


def _count(value: Any) -> int | None:
    return min(value, _MOST_TOKENS) if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None
