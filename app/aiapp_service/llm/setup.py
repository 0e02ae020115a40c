"""Configuration -> routes."""

import aiohttp

from aiapp_service.config import BackendConfig, ProviderConfig, ProviderKind, ServiceConfig
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
    known: dict[tuple[str, str], Backend] = {}

    def backend(wanted: BackendConfig) -> Backend:
        # Two models may give the same backend different prices.
        key = (wanted.name, "" if wanted.price is None else wanted.price.model_dump_json())
        if key not in known:
            place = ("inference", wanted.inference) if wanted.inference else ("provider", str(wanted.provider))
            known[key] = Backend(wanted.name, upstreams[place], wanted.model, wanted.price, metrics)
        return known[key]

    routes = {
        model.name: Route(model.name, model.kind, [backend(wanted) for wanted in model.backends], model.timeouts)
        for model in config.models
    }
    return Router(routes, metrics)


def _provider(provider: ProviderConfig, session: aiohttp.ClientSession) -> Upstream:
    if provider.kind is ProviderKind.MOCK:
        return MockUpstream()
    key_file = SecretFile(provider.api_key_file) if provider.api_key_file else None
    if provider.kind is ProviderKind.ANTHROPIC:
        from aiapp_service.llm.anthropic.upstream import BASE_URL, AnthropicUpstream  # noqa: PLC0415

        return AnthropicUpstream(session, provider.base_url or BASE_URL, key_file)
    if provider.kind is ProviderKind.GOOGLE:
        from aiapp_service.llm.google.upstream import BASE_URL as GOOGLE_URL  # noqa: PLC0415
        from aiapp_service.llm.google.upstream import GoogleUpstream  # noqa: PLC0415

        return GoogleUpstream(session, provider.base_url or GOOGLE_URL, key_file)
    # Not every compatible server takes stream_options from a client that did not send them.
    openai = provider.kind is ProviderKind.OPENAI
    return HttpUpstream(session, provider.base_url or OPENAI_URL, key_file, adds_usage=openai)
