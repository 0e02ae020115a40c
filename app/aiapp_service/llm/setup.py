"""Configuration -> routes."""

import random
from collections.abc import Callable, Mapping

import aiohttp

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
from aiapp_service.credentials import SecretFile
from aiapp_service.llm.backend import Backend, Known
from aiapp_service.llm.fetching import Fetch, fetching_from
from aiapp_service.llm.http_upstream import HttpUpstream
from aiapp_service.llm.replicas import ReplicaSet, is_name
from aiapp_service.llm.route import Route
from aiapp_service.llm.router import Router
from aiapp_service.llm.tuned import TunedModel
from aiapp_service.llm.upstream import Upstream
from aiapp_service.llm.waking import Waking
from aiapp_service.telemetry.metrics import Metrics

OPENAI_URL = "https://api.openai.com/v1"


def router(
    config: ServiceConfig,
    session: aiohttp.ClientSession,
    metrics: Metrics,
    rng: random.Random,
    before: Router | None = None,
) -> Router:
    """All models of `config`; a backend in several models, or in the router `before`, shares what is known of it."""
    providers = {provider.name: provider for provider in config.providers}
    inference = {entry.name: entry for entry in config.inference}
    fetch = fetching_from(config.fetch_hosts)
    upstreams: dict[ProviderConfig | InferenceConfig, Upstream] = {
        **{provider: _provider(provider, session, fetch) for provider in config.providers},
        **{entry: _inference(entry, session)(entry.base_url) for entry in config.inference},
    }
    known = {backend.known.place: backend.known for backend in before.backends} if before is not None else {}
    sets = _replica_sets(config, session, before)
    wakings = {e: Waking(e.name, upstreams[e], e.wake_seconds, metrics) for e in config.inference if e.wake_seconds}

    def backend(wanted: BackendConfig) -> Backend:
        place = inference[wanted.inference] if wanted.inference else providers[str(wanted.provider)]
        return Backend(
            wanted.name,
            upstreams[place],
            wanted.model,
            _price(wanted, providers),
            metrics,
            weight=wanted.weight,
            context_window=wanted.context_window,
            known=known.setdefault((place, wanted.model), Known(wanted.name, (place, wanted.model))),
            replicas=sets.get(place.base_url) if isinstance(place, InferenceConfig) else None,
            waking=wakings.get(place) if isinstance(place, InferenceConfig) else None,
        )

    routes = {model.name: _route(model, [backend(wanted) for wanted in model.backends]) for model in config.models}
    return Router(routes, metrics, rng, tuple(sets.values()))


def _route(model: ModelConfig, backends: list[Backend]) -> Route:
    tuned = model if isinstance(model, TunedModel) else None
    return Route(
        model.name,
        model.kind,
        backends,
        model.timeouts,
        model.strategy,
        tenant=None if tuned is None else tuned.tenant,
        base=None if tuned is None else tuned.base,
    )


def _replica_sets(
    config: ServiceConfig, session: aiohttp.ClientSession, before: Router | None
) -> dict[str, ReplicaSet]:
    """By base URL: inference that is reached by a name may stand for several pods."""
    kept = {(r.base_url, r.host, r.kind): r for r in before.replica_sets} if before is not None else {}
    named = {
        entry.base_url: ReplicaSet(entry.base_url, _inference(entry, session), entry.pods_host, entry.responses)
        for entry in config.inference
        if is_name(entry.base_url)
    }
    return {url: kept.get((url, new.host, new.kind), new) for url, new in sorted(named.items())}


def _inference(entry: InferenceConfig, session: aiohttp.ClientSession) -> Callable[[str], Upstream]:
    """What makes the upstream of a URL of its servers."""

    def make(base_url: str) -> Upstream:
        return HttpUpstream(session, base_url, None, adds_usage=True, has_responses=entry.relays_responses)

    return make


def _price(backend: BackendConfig, providers: Mapping[str, ProviderConfig]) -> PriceConfig | None:
    """What the configuration says, else the provider's price list; an inference pod costs what only its owner knows."""
    if backend.price is not None or backend.provider is None:
        return backend.price
    return list_price(providers[backend.provider].kind, backend.model)


def _provider(provider: ProviderConfig, session: aiohttp.ClientSession, fetch: Fetch) -> Upstream:
    if provider.kind is ProviderKind.MOCK:
        from aiapp_service.llm.mock import MockUpstream  # noqa: PLC0415  # for a light start

        return MockUpstream()
    key_file = SecretFile(provider.api_key_file) if provider.api_key_file else None
    if provider.kind is ProviderKind.ANTHROPIC:
        from aiapp_service.llm.anthropic.upstream import BASE_URL, AnthropicUpstream  # noqa: PLC0415  # for a light start

        return AnthropicUpstream(session, provider.base_url or BASE_URL, key_file)
    if provider.kind is ProviderKind.GOOGLE:
        from aiapp_service.llm.google.upstream import BASE_URL as GOOGLE_URL  # noqa: PLC0415  # for a light start
        from aiapp_service.llm.google.upstream import GoogleUpstream  # noqa: PLC0415  # for a light start

        return GoogleUpstream(session, provider.base_url or GOOGLE_URL, key_file, fetch)
    # Not every compatible server takes stream_options from a client that did not send them.
    openai = provider.kind is ProviderKind.OPENAI
    return HttpUpstream(
        session,
        provider.base_url or OPENAI_URL,
        key_file,
        adds_usage=openai,
        has_responses=provider.relays_responses,
    )
