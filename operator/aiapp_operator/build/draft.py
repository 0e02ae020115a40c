"""A plan in the making: what is applied, held and waited for."""

from dataclasses import dataclass, field

from aiapp_operator.api.facts import Facts
from aiapp_operator.api.manifest import Manifest, ObjectKey, object_key
from aiapp_operator.api.plan import Gate, GeneratedSecret


@dataclass
class Draft:
    """A plan in the making."""

    facts: Facts
    apply: list[Manifest] = field(default_factory=list)
    secrets: list[GeneratedSecret] = field(default_factory=list)
    hold: set[ObjectKey] = field(default_factory=set)
    gates: list[Gate] = field(default_factory=list)
    downloads: dict[str, tuple[str, ...]] = field(default_factory=dict)
    asleep: bool = False  # the AIApp is to sleep

    def gate(self, name: str, manifests: list[Manifest], *, is_open: bool) -> None:
        """Apply `manifests` if the gate is open, else hold those that exist.

        What waits for something before its pods start need not wait for that to have none.
        """
        keys = tuple(object_key(manifest) for manifest in manifests)
        is_open = is_open or (self.asleep and {key.kind for key in keys} <= {"Deployment", "ConfigMap"})
        self.gates.append(Gate(name, is_open, keys))
        if is_open:
            self.apply += manifests
        else:
            self.hold |= self.facts.keys.intersection(keys)
