"""What the pods of a workload need before they may be made: else they would start with what happens to be there."""

from collections.abc import Iterator
from typing import Any

from aiapp_operator.api.manifest import Manifest, ObjectKey


def needed_by(manifest: Manifest) -> frozenset[ObjectKey]:
    """ConfigMaps, Secrets, volumes and ServiceAccount that the pods of `manifest` name; none where it has no pods."""
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
