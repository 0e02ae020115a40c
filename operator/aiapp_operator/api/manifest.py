"""Kubernetes objects as JSON, and the key that names one among the children of an AIApp."""

from typing import Any, NamedTuple

Manifest = dict[str, Any]


class ObjectKey(NamedTuple):
    """A child of an AIApp. The namespace is always the AIApp's own, so it is no part of the key."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}"


def object_key(manifest: Manifest) -> ObjectKey:
    """The key of `manifest`.

    Raises:
        KeyError: the manifest has no kind or no metadata.name.
    """
    return ObjectKey(manifest["kind"], manifest["metadata"]["name"])
