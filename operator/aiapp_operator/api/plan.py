"""A plan: what is to be applied, created, left alone and removed. Made by `build.plan.desired`."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from aiapp_operator.api.manifest import Manifest, ObjectKey

PASSWORD = "{password}"  # noqa: S105  # the place in a template, not a password


@dataclass(frozen=True)
class GeneratedSecret:
    """A Secret that is created once and never read, changed or applied again.

    `replace`: one that is there already is of before: of a rotation, or of data that is gone. It gives way.
    """

    name: str
    namespace: str
    labels: Mapping[str, str]
    owner: Mapping[str, str] | None  # ownerReference to the volume whose data the password opens
    template: Mapping[str, str]  # values; PASSWORD stands for the generated password
    replace: bool = False

    def manifest(self, password: str) -> Manifest:
        """The Secret to create; `password` consists of letters and digits, so that it fits into URLs as it is."""
        metadata: Manifest = {"name": self.name, "namespace": self.namespace, "labels": dict(self.labels)}
        if self.owner is not None:
            metadata["ownerReferences"] = [dict(self.owner)]
        values = {key: value.replace(PASSWORD, password) for key, value in self.template.items()}
        return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "Opaque", "stringData": values}


@dataclass(frozen=True)
class Gate:
    """Something that the objects named in `blocks` wait for."""

    name: str
    open: bool
    blocks: tuple[ObjectKey, ...]


@dataclass(frozen=True)
class Plan:
    """Secrets are created first, then `apply` in its order, then everything else that is ours is pruned."""

    apply: tuple[Manifest, ...] = ()
    secrets: tuple[GeneratedSecret, ...] = ()
    hold: frozenset[ObjectKey] = frozenset()  # neither applied nor pruned now
    gates: tuple[Gate, ...] = ()
    downloads: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # by inference: its Jobs, the model's first
