"""Tokens and what they cost, as the provider's invoice counts them."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from aiapp_service.config import PriceConfig

_MILLION = Decimal(1_000_000)


@dataclass(frozen=True)
class Usage:
    """Tokens of one request. `cached` are part of `input`, `reasoning` part of `output`."""

    input: int = 0
    output: int = 0
    cached: int = 0
    reasoning: int = 0

    def by_type(self) -> dict[str, int]:
        """Tokens by the label of the metric; types without any are left out."""
        counts = {"input": self.input, "output": self.output, "cached": self.cached, "reasoning": self.reasoning}
        return {name: count for name, count in counts.items() if count > 0}


def usage_of(document: Any) -> Usage | None:
    """The usage an answer or a chunk of a stream reports; None where it reports none."""
    usage = document.get("usage") if isinstance(document, dict) else None
    if not isinstance(usage, dict):
        return None
    return Usage(
        input=_count(usage, "prompt_tokens"),
        output=_count(usage, "completion_tokens"),
        cached=_count(usage.get("prompt_tokens_details"), "cached_tokens"),
        reasoning=_count(usage.get("completion_tokens_details"), "reasoning_tokens"),
    )


def cost_of(usage: Usage, price: PriceConfig | None) -> Decimal | None:
    """US dollars; None where the price is not known, which is not the same as free."""
    if price is None:
        return None
    cached = min(usage.cached, usage.input)
    cached_price = price.input_per_1m if price.cached_input_per_1m is None else price.cached_input_per_1m
    total = (usage.input - cached) * price.input_per_1m + cached * cached_price + usage.output * price.output_per_1m
    return total / _MILLION


def _count(fields: Any, name: str) -> int:
    value = fields.get(name) if isinstance(fields, dict) else None
    return value if isinstance(value, int) and value > 0 else 0
