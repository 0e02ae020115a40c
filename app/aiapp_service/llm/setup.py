"""Configuration -> routes."""

from collections.abc import Mapping

import aiohttp

from aiapp_service.billing.prices import list_price
from aiapp_service.config import BackendConfig, PriceConfig, ProviderConfig, ProviderKind, ServiceConfig
from aiapp_service.credentials import SecretFile
from aiapp_service.llm.backend import Backend
from aiapp_service.llm.http_upstream import HttpUpstream
from aiapp_service.llm.mock import MockUpstream
from aiapp_service.llm.router import Route, Router
from aiapp_service.llm.upstream import Upstream
from aiapp_service.telemetry.metrics import Metrics

OPENAI_URL = "https://api.openai.com/v1"


def router(config: ServiceConfig, session: aiohttp.ClientSession, metrics: Metrics) -> Router:
    """All models of `config`; models that share a backend share what is known of it."""
    upstreams: dict[tuple[str, str], Upstream] = {
        ("provider", provider.name): _provider(provider, session) for provider in config.providers
    }
    for inference in config.inference:
        upstreams["inference", inference.name] = HttpUpstream(session, inference.base_url, None, adds_usage=True)
    kinds = {provider.name: provider.kind for provider in config.providers}
    known: dict[tuple[str, str], Backend] = {}

    def backend(wanted: BackendConfig) -> Backend:
        # Two models may give the same backend different prices.
        key = (wanted.name, "" if wanted.price is None else wanted.price.model_dump_json())
        if key not in known:
            place = ("inference", wanted.inference) if wanted.inference else ("provider", str(wanted.provider))
            known[key] = Backend(wanted.name, upstreams[place], wanted.model, _price(wanted, kinds), metrics)
        return known[key]

    routes = {
        model.name: Route(model.name, model.kind, [backend(wanted) for wanted in model.backends], model.timeouts)
        for model in config.models
    }
    return Router(routes, metrics)


def _price(backend: BackendConfig, kinds: Mapping[str, ProviderKind]) -> PriceConfig | None:
    """What the configuration says, else the provider's price list; an inference pod costs what only its owner knows."""
    if backend.price is not None or backend.provider is None:
        return backend.price
    return list_price(kinds[backend.provider], backend.model)


def _provider(provider: ProviderConfig, session: aiohttp.ClientSession) -> Upstream:
    if provider.kind is ProviderKind.MOCK:
        return MockUpstream()
    key_file = SecretFile(provider.api_key_file) if provider.api_key_file else None
    # Not every compatible server takes stream_options from a client that did not send them.
    openai = provider.kind is ProviderKind.OPENAI
    return HttpUpstream(session, provider.base_url or OPENAI_URL, key_file, adds_usage=openai)
