"""Model servers: a Deployment of one pod, its Service, and the claim that keeps a download."""

from aiapp_operator.api import names
from aiapp_operator.api.app import AIApp
from aiapp_operator.api.engine_flags import refused
from aiapp_operator.api.facts import Claim
from aiapp_operator.api.inference import Engine, Inference, RolloutStrategy
from aiapp_operator.api.manifest import Manifest
from aiapp_operator.api.model_source import CacheAccess
from aiapp_operator.api.names import ComponentName
from aiapp_operator.build import data
from aiapp_operator.build.inference import custom, drain, gpu, llamacpp, sglang, vllm
from aiapp_operator.build.inference.engine import CACHE, EngineSpec, load_seconds
from aiapp_operator.build.inference.placement import placement, queue_labels
from aiapp_operator.build.inference.source import Weights, is_cached, weights
from aiapp_operator.build.metadata import child
from aiapp_operator.build.metadata import service as build_service
from aiapp_operator.build.pod import (
    INFERENCE_UID,
    container,
    empty_dir,
    http_probe,
    mount,
    pod_spec,
    pod_template,
)
from aiapp_operator.build.resources import resources
from aiapp_operator.config import Settings
from aiapp_operator.errors import Stalled

REPLICAS = 1
_PERIOD = 3


def service(app: AIApp, inference: Inference) -> Manifest:
    """Where API and workers reach the model server.

    Its one address outlives a pod. Without it (headless) a pod that was replaced stays out of reach for as long as
    names are cached.
    """
    return build_service(app, ComponentName.INFERENCE, inference.name, inference.port)


def pods_service(app: AIApp, inference: Inference) -> Manifest:
    """Tells the addresses of the ready pods, so that a conversation can stay with one of them."""
    name = names.inference_pods(app.name, inference.name)
    manifest = build_service(app, ComponentName.INFERENCE, inference.name, inference.port)
    manifest["metadata"]["name"] = name
    manifest["spec"] |= {"clusterIP": "None"}
    return manifest


def cache_claim(app: AIApp, inference: Inference, found: Claim | None) -> Manifest | None:
    """The volume that keeps a download over restarts; None where the entry has none."""
    if inference.cache is None:
        return None
    name = names.inference_cache(app.name, inference.name)
    manifest = data.claim(app, ComponentName.INFERENCE, inference.cache, found, name=name, entry=inference.name)
    manifest["spec"]["accessModes"] = [inference.cache.access_mode.value]
    return manifest


def deployment(app: AIApp, settings: Settings, inference: Inference) -> Manifest:
    """The model server.

    Raises:
        Stalled: the engine cannot serve the source, or `args` has a flag that is not the user's; reason InvalidSpec.
    """
    trouble = refused(inference.engine.value, inference.args)
    if trouble:
        raise Stalled("InvalidSpec", f"spec.inference[{inference.name}].{trouble}")
    source = weights(inference, names.inference_cache(app.name, inference.name))
    engine = _engine(inference, source, settings)
    manifest = child(
        app,
        "Deployment",
        names.part(app.name, ComponentName.INFERENCE, inference.name),
        ComponentName.INFERENCE,
        inference.name,
    )
    manifest["metadata"]["labels"] |= queue_labels(inference)
    manifest["spec"] = {
        **({"replicas": REPLICAS} if inference.autoscaling is None else {}),
        "selector": {"matchLabels": names.selector(app.name, ComponentName.INFERENCE, inference.name)},
        "strategy": strategy(inference),
        "template": pod_template(app, ComponentName.INFERENCE, inference.name, _pod(app, inference, engine, source)),
    }
    return manifest


def strategy(inference: Inference) -> Manifest:
    """Recreate where a second pod would wait for what the first one holds: a GPU, or a volume of one node."""
    wanted = inference.rollout.strategy
    if wanted is None:
        one_node = inference.cache is not None and inference.cache.access_mode is CacheAccess.ONE_NODE
        alone = inference.gpu is not None or one_node
        wanted = RolloutStrategy.RECREATE if alone else RolloutStrategy.ROLLING_UPDATE
    if wanted is RolloutStrategy.RECREATE:
        return {"type": "Recreate"}
    return {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}


def _engine(inference: Inference, source: Weights, settings: Settings) -> EngineSpec:
    if inference.engine is Engine.LLAMA_CPP:
        return llamacpp.spec(inference, source, settings)
    if inference.engine is Engine.VLLM:
        return vllm.spec(inference, source, settings)
    if inference.engine is Engine.SGLANG:
        return sglang.spec(inference, source, settings)
    return custom.spec(inference, source, settings)


def _pod(app: AIApp, inference: Inference, engine: EngineSpec, source: Weights) -> Manifest:
    compute = resources(inference.resources, cpu=engine.cpu, memory=engine.memory, limit=engine.limit)
    fields: Manifest = {"args": list(engine.args)} if engine.args else {}
    if engine.command:
        fields["command"] = list(engine.command)
    environment = _environment(inference, engine)
    if environment:
        fields["env"] = environment
    main = container(
        ComponentName.INFERENCE.value,
        engine.image,
        read_only=False,  # engines write caches of their own beside their volumes
        ports=[{"name": "http", "containerPort": inference.port, "protocol": "TCP"}],
        resources=gpu.with_gpu(compute, inference.gpu),
        volumeMounts=[*source.mounts, *engine.mounts, mount("cache", CACHE), mount("tmp", "/tmp")],  # noqa: S108  # a pod's own
        startupProbe=http_probe(engine.health, period=_PERIOD, failures=-(-load_seconds(inference) // _PERIOD)),
        livenessProbe=http_probe(engine.health, period=10, failures=6, timeout=10),
        readinessProbe=http_probe(engine.health, period=5, failures=3),
        **drain.lifecycle(inference, engine),
        **fields,
    )
    volumes = [*source.volumes, *engine.volumes, empty_dir("cache"), empty_dir("tmp")]
    init: Manifest = {"initContainers": list(source.init_containers)} if source.init_containers else {}
    return pod_spec(
        app,
        INFERENCE_UID,
        [main],
        volumes=volumes,
        terminationGracePeriodSeconds=drain.grace_seconds(inference),
        **init,
        **placement(app, inference),
    )


def _environment(inference: Inference, engine: EngineSpec) -> list[Manifest]:
    environment: list[Manifest] = [{"name": name, "value": value} for name, value in engine.env]
    token = inference.model.secret_ref if inference.model is not None else None
    if token is not None and inference.model is not None and not is_cached(inference, inference.model):
        reference = {"secretKeyRef": {"name": token.name, "key": token.key}}
        environment.append({"name": "HF_TOKEN", "valueFrom": reference})
    return environment
