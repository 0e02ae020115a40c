"""List prices: known models by all their names, and nothing for what is not known."""

import random
from decimal import Decimal
from pathlib import Path

import aiohttp
import pytest
import yaml

from aiapp_service.billing import prices
from aiapp_service.billing.prices import list_price
from aiapp_service.config import (
    BackendConfig,
    InferenceConfig,
    ModelConfig,
    PriceConfig,
    ProviderConfig,
    ProviderKind,
    ServiceConfig,
)
from aiapp_service.llm import setup
from aiapp_service.telemetry.metrics import Metrics

OPENAI, ANTHROPIC, GOOGLE = ProviderKind.OPENAI, ProviderKind.ANTHROPIC, ProviderKind.GOOGLE
DOCUMENT = yaml.safe_load(Path(prices.__file__).with_name("prices.yaml").read_text(encoding="utf-8"))
ENTRIES = [(kind, name, entry) for kind, entries in DOCUMENT.items() for entry in entries for name in entry["models"]]


@pytest.mark.parametrize(
    ("kind", "model", "dollars"),
    [
        (OPENAI, "gpt-4o", "2.5"),
        (OPENAI, "gpt-4o-2024-08-06", "2.5"),
        (OPENAI, "gpt-4o-2024-05-13", "5"),
        (OPENAI, "gpt-4o-mini", "0.15"),
        (OPENAI, "gpt-4o-mini-2024-07-18", "0.15"),
        (OPENAI, "ft:gpt-4o-mini-2024-07-18:acme::abc123", "0.3"),
        (OPENAI, "gpt-5-chat-latest", "1.25"),
        (OPENAI, "text-embedding-ada-002", "0.1"),
        (ANTHROPIC, "claude-sonnet-4-5-20250929", "3"),
        (ANTHROPIC, "claude-3-5-haiku-latest", "0.8"),
        (GOOGLE, "models/gemini-2.5-pro", "1.25"),
        (GOOGLE, "gemini-2.0-flash-001", "0.1"),
        (GOOGLE, "gemini-3-pro-preview-11-2025", "2"),
        (OPENAI, "gpt-4o-mini-of-somebody", None),
        (OPENAI, "gpt-4o-audio-preview", None),
        (OPENAI, "claude-sonnet-4-5", None),
        (OPENAI, "", None),
        (ProviderKind.MOCK, "gpt-4o", None),
        (ProviderKind.OPENAI_COMPATIBLE, "gpt-4o", None),
    ],
)
def test_input_price(kind, model, dollars):
    price = list_price(kind, model)
    assert (price and price.input_per_1m) == (dollars and Decimal(dollars))


def test_long_requests_have_their_own_prices():
    price = list_price(GOOGLE, "gemini-2.5-pro")
    assert price is not None
    assert price.long_context is not None
    assert (price.long_context.over_tokens, price.long_context.input_per_1m) == (200_000, Decimal("2.5"))


@pytest.mark.parametrize(("kind", "name", "entry"), ENTRIES, ids=[name for _, name, _ in ENTRIES])
def test_each_entry_is_sane(kind, name, entry):
    """Found by its own name, and with the order that all price lists have."""
    price = PriceConfig.model_validate(entry["price"])
    assert list_price(ProviderKind(kind), name.replace("*", "x")) == price
    for each in (price, price.long_context or price):
        assert 0 < each.input_per_1m < 1000
        assert each.output_per_1m >= each.input_per_1m or "embedding" in name
        assert each.cached_input_per_1m is None or each.cached_input_per_1m < each.input_per_1m
        assert each.cache_write_per_1m is None or each.cache_write_per_1m >= each.input_per_1m
    assert price.long_context is None or price.long_context.input_per_1m > price.input_per_1m


def test_no_model_is_in_the_list_twice():
    names = [(kind, name) for kind, name, _ in ENTRIES]
    assert len(names) == len(set(names))


async def test_backends_cost_what_the_configuration_says_else_what_the_list_says():
    own = PriceConfig(input_per_1m=Decimal(7))
    backends = {
        "listed": BackendConfig(provider="openai", model="gpt-4o"),
        "own": BackendConfig(provider="openai", model="gpt-4o", price=own),
        "unlisted": BackendConfig(provider="openai", model="gpt-next"),
        "mock": BackendConfig(provider="mock", model="gpt-4o"),
        "priced mock": BackendConfig(provider="mock", model="gpt-4o", price=own),
        "pod": BackendConfig(inference="pod", model="gpt-4o"),
    }
    config = ServiceConfig(
        providers=(
            ProviderConfig(name="openai", kind=ProviderKind.OPENAI),
            ProviderConfig(name="mock", kind=ProviderKind.MOCK),
        ),
        inference=(InferenceConfig(name="pod", base_url="http://pod/v1"),),
        models=tuple(ModelConfig(name=name, backends=(backend,)) for name, backend in backends.items()),
    )
    async with aiohttp.ClientSession() as session:
        routes = setup.router(config, session, Metrics(), random.Random(1)).routes
    found = {name: route.backends[0].price for name, route in routes.items()}
    assert found == {
        "listed": list_price(OPENAI, "gpt-4o"),
        "own": own,
        "unlisted": None,
        "mock": None,
        "priced mock": own,
        "pod": None,
    }
