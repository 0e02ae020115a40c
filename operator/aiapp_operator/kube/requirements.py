"""What the pods of a workload need before they may be made: else they would start with what happens to be there."""

from collections.abc import Iterable, Iterator
from typing import Any

from aiapp_operator.api.manifest import Manifest, ObjectKey
from aiapp_operator.api.names import ANNOTATION_SECRETS
from aiapp_operator.api.plan import GeneratedSecret


def needed_by(manifest: Manifest, secrets: Iterable[GeneratedSecret] = ()) -> frozenset[ObjectKey]:
    """ConfigMaps, Secrets, volumes and ServiceAccount that the pods of `manifest` name; none where it has no pods.

    A volume that says that its Secrets were made needs those of them that are among `secrets`, to be created now.
    """
    made_for = (manifest["metadata"].get("annotations") or {}).get(ANNOTATION_SECRETS)
    if made_for:
        return frozenset(ObjectKey("Secret", s.name) for s in secrets if s.owner and s.owner["uid"] == made_for)
    spec = ((manifest.get("spec") or {}).get("template") or {}).get("spec")
    return frozenset(_named(spec)) if spec else frozenset()


def _named(spec: Manifest) -> Iterator[ObjectKey]:
    if "serviceAccountName" in spec:
        yield ObjectKey("ServiceAccount", spec["serviceAccountName"])
    for volume in spec.get("volumes", ()):
        yield from _sources(volume)


def _sources(volume: dict[str, Any]) -> Iterator[ObjectKey]:
    if "configMap" in volume:
        yield ObjectKey("ConfigMap", volume["configMap"]["name"])
    if "secret" in volume:
        yield ObjectKey("Secret", volume["secret"]["secretName"])
    if "persistentVolumeClaim" in volume:
        yield ObjectKey("PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"])
    for source in volume.get("projected", {}).get("sources", ()):
        if "secret" in source:
            yield ObjectKey("Secret", source["secret"]["name"])
