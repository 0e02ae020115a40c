"""Does the installed CRD have every field that this operator works with?"""

from collections.abc import Iterator
from functools import cache

from aiapp_operator.api.app import GROUP, PLURAL, VERSION
from aiapp_operator.api.crd import crd
from aiapp_operator.api.manifest import Manifest
from aiapp_operator.kube.api_errors import NotFound
from aiapp_operator.kube.client import KubeClient

CRD_NAME = f"{PLURAL}.{GROUP}"


def fields(definition: Manifest) -> set[str]:
    """Paths of all fields of our version; empty where it is not served."""
    for version in definition["spec"]["versions"]:
        if version["name"] == VERSION and version.get("served"):
            return set(_paths(version["schema"]["openAPIV3Schema"], ""))
    return set()


def _paths(schema: Manifest, path: str) -> Iterator[str]:
    for name, child in (schema.get("properties") or {}).items():
        yield f"{path}{name}"
        yield from _paths(child, f"{path}{name}.")
    if isinstance(schema.get("items"), dict):
        yield from _paths(schema["items"], path)


@cache
def needed() -> frozenset[str]:
    """Paths of the fields that this operator works with; asked for every few seconds until the CRD has them."""
    return frozenset(fields(crd()))


async def missing_fields(client: KubeClient) -> list[str] | None:
    """Fields that the installed CRD lacks, sorted; None when it is not installed at all.

    Raises:
        ApiError: the API server cannot be asked.
    """
    try:
        installed = await client.get("CustomResourceDefinition", None, CRD_NAME)
    except NotFound:
        return None
    return sorted(needed() - fields(installed))
