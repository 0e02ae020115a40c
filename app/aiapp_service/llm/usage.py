"""Tokens and what they cost, as the provider's invoice counts them."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from aiapp_service.config import PriceConfig, TokenPrices

_MILLION = Decimal(1_000_000)
# No model takes or gives that many: what says so is broken.
_MOST_TOKENS = 10_000_000_000


@dataclass(frozen=True)
class Usage:
    """Tokens of one request.

    `cached`, `cache_write` and `audio_input` are part of `input`, `reasoning` and `audio_output` part of `output`.
    """

    input: int = 0
    output: int = 0
    cached: int = 0
    reasoning: int = 0
    cache_write: int = 0
    audio_input: int = 0
    audio_output: int = 0

    @property
    def is_plain(self) -> bool:
        """Whether there are no tokens with prices of their own."""
        return not (self.cached or self.reasoning or self.cache_write or self.audio_input or self.audio_output)

    def __add__(self, other: "Usage") -> "Usage":
        """Tokens of both."""
        return Usage(**{name: count + getattr(other, name) for name, count in vars(self).items()})

    def by_type(self) -> dict[str, int]:
        """Tokens by the label of the metric; types without any are left out."""
        return {name: count for name, count in vars(self).items() if count > 0}


def usage_of(document: Any) -> Usage | None:
    """The usage that an answer or a chunk of a stream reports; None where it reports none.

    Understood are the shapes of OpenAI's chat, responses and embeddings, what compatible servers make of them (vLLM,
    llama.cpp, DeepSeek, Moonshot, xAI, Gemini), and Anthropic's. Fields that are null, missing or no numbers are 0.
    """
    fields = _reported(document)
    if fields is None:
        return None
    told = [_first(fields, *names) for names in (_INPUT, _OUTPUT)]
    if told == [None, None]:
        # A placeholder, as some servers send it in each chunk.
        return None
    asked, answered = (count or 0 for count in told)
    asked_details = fields.get("prompt_tokens_details") or fields.get("input_tokens_details")
    answered_details = fields.get("completion_tokens_details") or fields.get("output_tokens_details")
    cached = _first(asked_details, "cached_tokens") or _first(fields, *_CACHED) or 0
    written = _first(asked_details, *_CACHE_WRITE) or _first(fields, *_CACHE_WRITE) or 0
    if _first(fields, "prompt_tokens") is None and any(name in fields for name in _BESIDE_INPUT):
        # Anthropic counts these beside the input, everybody else as part of it.
        asked += cached + written
    reasoning = _first(answered_details, "reasoning_tokens", "thinking_tokens") or 0
    # xAI and Gemini leave thoughts out of the completion, but not out of the total, nor of the invoice.
    apart = max((_first(fields, "total_tokens") or 0) - asked - answered, 0)
    return Usage(
        input=asked,
        output=answered + apart,
        cached=cached,
        reasoning=max(reasoning, apart),
        cache_write=written,
        audio_input=_first(asked_details, "audio_tokens") or 0,
        audio_output=_first(answered_details, "audio_tokens") or 0,
    )


_INPUT = ("prompt_tokens", "input_tokens")
_OUTPUT = ("completion_tokens", "output_tokens")
_CACHED = ("cache_read_input_tokens", "prompt_cache_hit_tokens", "cached_tokens")
_CACHE_WRITE = ("cache_creation_input_tokens", "cache_write_tokens", "cache_creation_tokens")
_BESIDE_INPUT = ("cache_read_input_tokens", "cache_creation_input_tokens")


def _reported(document: Any) -> dict[str, Any] | None:
    """The object with the counts: in the document, or in what some servers wrap it in."""
    if not isinstance(document, dict):
        return None
    choices = document.get("choices")
    inner = choices[0] if isinstance(choices, list) and choices else None
    for place in (document, document.get("response"), document.get("x_groq"), inner):
        usage = place.get("usage") if isinstance(place, dict) else None
        if isinstance(usage, dict):
            return usage
    return None


def _first(fields: Any, *names: str) -> int | None:
    """The first of `names` that is a count; None where none is."""
    if not isinstance(fields, dict):
        return None
    for name in names:
        value = fields.get(name)
        if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= _MOST_TOKENS:
            return int(value)
    return None


def cost_of(usage: Usage, price: PriceConfig | None) -> Decimal | None:
    """US dollars; None where the price is not known, which is not the same as free."""
    if price is None:
        return None
    long = price.long_context
    prices: TokenPrices = price if long is None or usage.input <= long.over_tokens else long
    if usage.is_plain:
        return (usage.input * prices.input_per_1m + usage.output * prices.output_per_1m) / _MILLION
    return (_input_cost(usage, prices) + _output_cost(usage, prices)) / _MILLION


def _input_cost(usage: Usage, prices: TokenPrices) -> Decimal:
    plain = prices.input_per_1m
    cached = min(usage.cached, usage.input)
    written = min(usage.cache_write, usage.input - cached)
    audio = min(usage.audio_input, usage.input - cached - written)
    return (
        (usage.input - cached - written - audio) * plain
        + cached * _or(prices.cached_input_per_1m, plain)
        + written * _or(prices.cache_write_per_1m, plain)
        + audio * _or(prices.audio_input_per_1m, plain)
    )


def _output_cost(usage: Usage, prices: TokenPrices) -> Decimal:
    plain = prices.output_per_1m
    audio = min(usage.audio_output, usage.output)
    reasoning = min(usage.reasoning, usage.output - audio)
    return (
        (usage.output - audio - reasoning) * plain
        + audio * _or(prices.audio_output_per_1m, plain)
        + reasoning * _or(prices.reasoning_per_1m, plain)
    )


def _or(price: Decimal | None, otherwise: Decimal) -> Decimal:
    return otherwise if price is None else price
