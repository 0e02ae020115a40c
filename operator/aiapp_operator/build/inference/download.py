"""Downloads to the cache volume: a Job for each (source, revision), and one that removes what is not used any more.

The Jobs of what is wanted stay for as long as it is: they are the memory by which each is downloaded once. They are
never applied again once they are there, since a Job cannot change.
"""

from dataclasses import dataclass

from aiapp_operator.api import names
from aiapp_operator.api.app import AIApp
from aiapp_operator.api.facts import Facts, JobState, Run
from aiapp_operator.api.inference import Inference
from aiapp_operator.api.manifest import Manifest, ObjectKey
from aiapp_operator.api.model_source import CacheAccess, ModelSource
from aiapp_operator.api.names import ComponentName
from aiapp_operator.build import credentials, service_pod
from aiapp_operator.build.credentials import ACCESS_KEY, Credential
from aiapp_operator.build.digest import digest
from aiapp_operator.build.inference.placement import nodes
from aiapp_operator.build.inference.source import CACHE_VOLUME, file_of, identity, is_cached
from aiapp_operator.build.metadata import child
from aiapp_operator.build.pod import INFERENCE_UID, container, empty_dir, mount, pod_spec, pod_template
from aiapp_operator.config import Settings
from aiapp_operator.errors import Stalled
from aiapp_service import config as service

PROGRESS_PORT = 8080
VOLUME = "/volume"
_TOKEN = "hub/token"  # noqa: S105  # a path
# Kubelet waits longer and longer between tries, up to five minutes; a cause that the user mends is found mended then.
_TRIES = 1_000_000
_RESOURCES = {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "1Gi"}}


@dataclass(frozen=True)
class Download:
    """Something that the entry needs on its cache volume."""

    name: str  # of its Job
    identity: str  # of what it gives: its folder on the volume
    source: ModelSource


def downloads(app: AIApp, inference: Inference) -> tuple[Download, ...]:
    """What the entry needs on its volume, the model first; nothing where it has none."""
    wanted = [inference.model, *inference.adapters] if inference.model is not None else []
    found = {identity(source): source for source in wanted if is_cached(inference, source)}
    return tuple(
        Download(names.download(app.name, inference.name, name), name, source) for name, source in found.items()
    )


def fetch_job(app: AIApp, settings: Settings, inference: Inference, download: Download, volume: str) -> Manifest:
    """The Job that downloads; `volume` is the uid of the cache volume.

    Raises:
        Stalled: an s3:// source without a store; reason InvalidSpec.
    """
    source = download.source
    secrets: tuple[Credential, ...] = ()
    command = ["fetch-model", "--source", _source(inference, source), "--into", VOLUME, "--name", download.identity]
    command += ["--port", str(PROGRESS_PORT)]
    if source.revision:
        command += ["--revision", source.revision]
    if source.source.startswith("s3://"):
        store, secrets = _store(app, inference, source)
        command += ["--store", store.model_dump_json(by_alias=True, exclude_defaults=True)]
    else:
        command += ["--hub", settings.hub_url]
        if source.secret_ref is not None:
            secrets = (Credential(source.secret_ref.name, source.secret_ref.key, _TOKEN),)
            command += ["--token-file", secrets[0].file]
    return _job(app, settings, inference, download.name, volume, command, secrets)


def collect_job(app: AIApp, settings: Settings, inference: Inference, volume: str) -> Manifest:
    """The Job that removes from the volume what the entry does not use."""
    kept = sorted(download.identity for download in downloads(app, inference))
    command = ["collect-models", "--into", VOLUME, *(part for name in kept for part in ("--keep", name))]
    name = names.download(app.name, inference.name, digest(["collect", kept]))
    return _job(app, settings, inference, name, volume, command, ())


@dataclass(frozen=True)
class Stage:
    """How far the downloads of an entry are, as a part of a plan."""

    jobs: tuple[Manifest, ...] = ()  # to be made now
    hold: frozenset[ObjectKey] = frozenset()
    complete: bool = True  # everything is on the volume
    names: tuple[str, ...] = ()  # Jobs of what is wanted, the model's first


def stage(app: AIApp, settings: Settings, inference: Inference, facts: Facts, *, settled: bool) -> Stage:
    """What is to be done for the volume of an entry; `settled`: its pods all run, and need nothing of before.

    Raises:
        Stalled: see fetch_job.
    """
    wanted = downloads(app, inference)
    if not wanted:
        return Stage()
    claim = facts.claims.get(names.inference_cache(app.name, inference.name))
    volume = "" if claim is None or claim.deleting else claim.uid
    own = {name: run for name, run in facts.runs.items() if _is_of(app, inference, run)}
    jobs = [fetch_job(app, settings, inference, download, volume) for download in wanted]
    there = [own.get(download.name) for download in wanted]
    # A Job that filled a volume which is gone is neither applied nor held: it is pruned, and then made anew.
    hold = {ObjectKey("Job", run.name) for run in there if run is not None and run.database == volume}
    make = [job for job, run in zip(jobs, there, strict=True) if run is None and volume]
    complete = bool(volume) and all(
        r is not None and r.database == volume and r.state is JobState.COMPLETE for r in there
    )
    names_wanted = {download.name for download in wanted}
    old = [run for name, run in own.items() if name not in names_wanted and run.database == volume]
    if complete and settled:
        collecting, collected = _collect(app, settings, inference, volume, old)
        make += collecting
        hold |= collected
    else:
        # What they have downloaded may still serve; those that still download are stopped.
        hold |= {ObjectKey("Job", run.name) for run in old if run.state is JobState.COMPLETE}
    return Stage(tuple(make), frozenset(hold), complete, tuple(download.name for download in wanted))


def _collect(
    app: AIApp, settings: Settings, inference: Inference, volume: str, old: list[Run]
) -> tuple[list[Manifest], set[ObjectKey]]:
    """The Job that removes what `old` Jobs have downloaded, which stay until it is done; then all of them go."""
    job = collect_job(app, settings, inference, volume)
    name = job["metadata"]["name"]
    found = next((run for run in old if run.name == name), None)
    stale = [run for run in old if run.name != name]
    if not stale or (found is not None and found.state is JobState.COMPLETE):
        return [], set()
    hold = {ObjectKey("Job", run.name) for run in old}
    return ([job] if found is None else []), hold


def _is_of(app: AIApp, inference: Inference, run: Run) -> bool:
    entry = names.download(app.name, inference.name, "")
    return run.component is ComponentName.MODEL and run.name.rpartition("-")[0] == entry.rstrip("-")


def _source(inference: Inference, source: ModelSource) -> str:
    """As the downloader takes it: a folder ends in a slash."""
    given = source.source
    if given.startswith("s3://") and not given.endswith("/") and not file_of(inference, source):
        return f"{given}/"
    return given


def _store(
    app: AIApp, inference: Inference, source: ModelSource
) -> tuple[service.ObjectStoreConfig, tuple[Credential, ...]]:
    own = source.s3 or (app.spec.object_store.s3 if app.spec.object_store is not None else None)
    if own is None:
        message = f"spec.inference[{inference.name}].model: an s3:// source needs model.s3, or spec.objectStore.s3"
        raise Stalled("InvalidSpec", message)
    secrets = tuple(Credential(own.credentials_secret_ref.name, key, f"object-store/{key}") for key in ACCESS_KEY)
    bucket = source.source.removeprefix("s3://").partition("/")[0]
    return service.ObjectStoreConfig.model_validate(
        {
            "endpoint": own.endpoint or None,
            "bucket": bucket,
            "path_style": own.path_style,
            "access_key_file": secrets[0].file,
            "secret_key_file": secrets[1].file,
            **({"region": own.region} if own.region else {}),
        }
    ), secrets


def _job(
    app: AIApp,
    settings: Settings,
    inference: Inference,
    name: str,
    volume: str,
    command: list[str],
    secrets: tuple[Credential, ...],
) -> Manifest:
    image = service_pod.image(app, settings)
    mounts = [mount(CACHE_VOLUME, VOLUME), mount("tmp", "/tmp")]  # noqa: S108  # inside the container
    main = container(
        ComponentName.MODEL.value,
        image,
        command=[service_pod.COMMAND, *command],
        ports=[{"name": "progress", "containerPort": PROGRESS_PORT, "protocol": "TCP"}],
        resources=_RESOURCES,
        volumeMounts=[*mounts, *([credentials.credentials_mount()] if secrets else [])],
    )
    claim = {"claimName": names.inference_cache(app.name, inference.name)}
    volumes = [{"name": CACHE_VOLUME, "persistentVolumeClaim": claim}, empty_dir("tmp", "1Gi")]
    init: Manifest = {}
    if secrets:
        volumes.append(credentials.credentials_volume(secrets))
        init = {"initContainers": [credentials.check_secrets(image, secrets)]}
    # The user and group of the engine's pods: they read what is written here, on the same volume.
    spec = pod_spec(
        app,
        INFERENCE_UID,
        [main],
        restartPolicy="OnFailure",
        volumes=volumes,
        terminationGracePeriodSeconds=10,
        **init,
        **nodes(inference),
        **_beside(app, inference),
    )
    manifest = child(app, "Job", name, ComponentName.MODEL, inference.name)
    manifest["metadata"]["annotations"] = {names.ANNOTATION_DATABASE: volume}
    manifest["spec"] = {
        "backoffLimit": _TRIES,
        "completions": 1,
        "parallelism": 1,
        "template": pod_template(app, ComponentName.MODEL, inference.name, spec),
    }
    return manifest


def _beside(app: AIApp, inference: Inference) -> Manifest:
    """On the node of the pods that have the volume, where one node at a time may have it."""
    cache = inference.cache
    if cache is None or cache.access_mode is not CacheAccess.ONE_NODE:
        return {}
    term = {
        "topologyKey": "kubernetes.io/hostname",
        "labelSelector": {"matchLabels": names.selector(app.name, ComponentName.INFERENCE, inference.name)},
    }
    preferred = [{"weight": 100, "podAffinityTerm": term}]
    return {"affinity": {"podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}}}
