"""AIApp -> configuration of the service -> ConfigMap."""

from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path

from pydantic import ValidationError

from aiapp_operator.api import models as api
from aiapp_operator.api import names
from aiapp_operator.api.app import AIApp
from aiapp_operator.api.inference import Inference
from aiapp_operator.api.manifest import Manifest
from aiapp_operator.api.names import DatabaseRole
from aiapp_operator.api.serving import Worker
from aiapp_operator.build import (
    addresses,
    credentials,
    service_access,
    service_content,
    service_retrieval,
    service_storage,
)
from aiapp_operator.build.digest import digest
from aiapp_operator.build.duration import seconds
from aiapp_operator.build.inference import served
from aiapp_operator.build.metadata import child
from aiapp_operator.errors import Stalled
from aiapp_service import config as service

FILE = "config.yaml"


@dataclass(frozen=True)
class RenderedConfig:
    """The configuration as the service will read it.

    `hash` changes when the service has to start again; everything else it reads again while it runs.
    """

    config: service.ServiceConfig
    text: str
    hash: str


def rendered_config(app: AIApp) -> RenderedConfig:
    """What API and workers of `app` are told, as text.

    Raises:
        Stalled: the spec contradicts itself; reason InvalidSpec, the message names the field.
    """
    config = service_config(app)
    text = service.dump(config)
    return RenderedConfig(config, text, digest(service.dump(config.structural())))


def service_config(app: AIApp) -> service.ServiceConfig:
    """What API and workers of `app` are told.

    Raises:
        Stalled: the spec contradicts itself; reason InvalidSpec, the message names the field.
    """
    try:
        return service.ServiceConfig(
            app=app.name,
            auth=service_access.auth(app),
            rate_limit=service_access.rate_limit(app),
            fail_open=service_access.fail_open(app),
            budgets=service_access.budgets(app),
            trusted_proxies=tuple(ip_network(network) for network in app.spec.api.trusted_proxies),
            fetch_hosts=tuple(app.spec.api.fetch_hosts),
            cors=service_access.cors(app),
            providers=tuple(_provider(p) for p in app.spec.providers),
            inference=tuple(
                service.InferenceConfig(
                    name=i.name,
                    base_url=addresses.inference_url(app, i),
                    pods_host=addresses.inference_pods(app, i),
                    wake_seconds=_wake_seconds(i),
                    responses=service.ResponsesMode(i.responses.value),
                )
                for i in app.spec.inference
            ),
            models=tuple(_model(app, m) for m in app.spec.models),
            prompts=service_content.prompts(app),
            guardrails=service_content.guardrails(app),
            cache=service_content.cache(app),
            vector_store=service_retrieval.vector_store(app),
            tracing=_tracing(app),
            workers=tuple(_worker(w) for w in app.spec.workers),
            database=_database(app),
            redis=service.RedisConfig(url_file=Path(credentials.redis_credential(app).file)),
            cache_redis=_cache_redis(app),
            object_store=service_storage.object_store(app),
            files=service_storage.files(app),
        )
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise Stalled("InvalidSpec", f"spec.{where}: {first['msg']}" if where else f"spec: {first['msg']}") from error


def config_map(app: AIApp, config: RenderedConfig) -> Manifest:
    """The ConfigMap that holds `config`; nothing in it is secret."""
    return {**child(app, "ConfigMap", names.config(app.name)), "data": {FILE: config.text}}


def config_volume(app: AIApp) -> Manifest:
    """The configuration as a volume."""
    return {"name": "config", "configMap": {"name": names.config(app.name), "defaultMode": 0o444}}


def _provider(provider: api.Provider) -> service.ProviderConfig:
    has_key = provider.api_key_secret_ref is not None
    return service.ProviderConfig(
        name=provider.name,
        kind=service.ProviderKind(provider.kind.value),
        base_url=provider.base_url or None,
        api_key_file=Path(f"{credentials.CREDENTIALS_DIR}/providers/{provider.name}") if has_key else None,
        fine_tuning=provider.fine_tuning,
        responses=None if provider.responses is None else service.ResponsesMode(provider.responses.value),
    )


def _model(app: AIApp, model: api.Model) -> service.ModelConfig:
    timeouts = model.timeouts
    return service.ModelConfig(
        name=model.name,
        kind=service.ModelKind(model.kind.value),
        strategy=service.Strategy(model.strategy.value),
        backends=tuple(_backend(app, b) for b in model.backends),
        timeouts=service.TimeoutsConfig(
            connect=seconds(timeouts.connect),
            first_token=seconds(timeouts.first_token),
            idle=seconds(timeouts.idle),
            total=seconds(timeouts.total),
        ),
    )


def _backend(app: AIApp, backend: api.Backend) -> service.BackendConfig:
    price = backend.price
    return service.BackendConfig(
        inference=backend.inference,
        provider=backend.provider,
        model=served.name(app, backend),
        weight=backend.weight,
        context_window=backend.context_window,
        price=None
        if price is None
        else service.PriceConfig.model_validate(price.model_dump(by_alias=True, exclude_none=True)),
    )


def _worker(worker: Worker) -> service.WorkerConfig:
    rate = worker.rate_limit
    return service.WorkerConfig(
        name=worker.name,
        queues=tuple(worker.queues),
        concurrency=worker.concurrency,
        rate_limit=None if rate is None else service.QueueRateConfig(max=rate.max, per_seconds=rate.per_seconds),
    )


def _wake_seconds(inference: Inference) -> float:
    scaled = inference.autoscaling
    return seconds(scaled.wake_timeout) if scaled is not None and scaled.min_replicas == 0 else 0


def _tracing(app: AIApp) -> service.TracingConfig | None:
    tracing = app.spec.monitoring.tracing
    return service.TracingConfig(endpoint=tracing.endpoint, content=tracing.content) if tracing.endpoint else None


def _cache_redis(app: AIApp) -> service.RedisConfig | None:
    found = credentials.cache_credential(app)
    return service.RedisConfig(url_file=Path(found.file)) if found is not None else None


def _database(app: AIApp) -> service.DatabaseConfig:
    file = Path(credentials.postgres_credential(app, DatabaseRole.API).file)
    external = app.spec.postgres.external
    if external is None:
        return service.DatabaseConfig(url_file=file)
    return service.DatabaseConfig(url_file=file, pool_max=external.pool_max)
