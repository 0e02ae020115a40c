"""Slots: the small number of a cluster from which its names and addresses follow."""

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.paths import clusters_dir

SLOTS = 32


class NoFreeSlot(RuntimeError):
    """All slots are taken; the message says how to free some."""


@dataclass(frozen=True)
class Slot:
    """Names and addresses of one cluster; those of different slots never overlap."""

    number: int

    @property
    def namespace(self) -> str:
        """Network namespace."""
        return f"aiapp{self.number}"

    @property
    def host_link(self) -> str:
        """The veth end on the host."""
        return f"aiapp{self.number}h"

    @property
    def node_link(self) -> str:
        """The veth end in the network namespace."""
        return f"aiapp{self.number}n"

    @property
    def host_address(self) -> str:
        """Address of the host as the cluster sees it."""
        return f"10.200.{self.number}.1"

    @property
    def node_address(self) -> str:
        """Address of the node, the API server among its ports."""
        return f"10.200.{self.number}.2"

    @property
    def pod_range(self) -> str:
        """Addresses of pods."""
        return f"10.{64 + self.number}.0.0/16"

    @property
    def service_range(self) -> str:
        """Addresses of Services."""
        return f"10.{128 + self.number}.0.0/16"

    @property
    def api_service(self) -> str:
        """Address of the Service `kubernetes`."""
        return f"10.{128 + self.number}.0.1"

    @property
    def dns_service(self) -> str:
        """Address of the Service `kube-dns`."""
        return f"10.{128 + self.number}.0.10"

    @property
    def state(self) -> Path:
        """Folder of everything the running cluster writes."""
        return clusters_dir() / str(self.number)


@dataclass(frozen=True)
class Owner:
    """Who has a slot: a clone of the repository and the name of the cluster in it."""

    clone: str
    name: str


@contextmanager
def _locked() -> Iterator[Path]:
    folder = clusters_dir()
    with (folder / "slots.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield folder


def _owner(folder: Path, number: int) -> Owner | None:
    try:
        return Owner(**json.loads((folder / f"{number}.owner").read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def find(owner: Owner) -> Slot | None:
    """The slot that `owner` has."""
    with _locked() as folder:
        return next((Slot(n) for n in range(SLOTS) if _owner(folder, n) == owner), None)


def owned_by_clone(clone: str) -> list[tuple[Slot, str]]:
    """All slots of a clone, with the names of their clusters."""
    with _locked() as folder:
        owners = [(n, _owner(folder, n)) for n in range(SLOTS)]
    return [(Slot(n), o.name) for n, o in owners if o is not None and o.clone == clone]


def claim(owner: Owner) -> Slot:
    """The slot that `owner` has, or the lowest free one from now on.

    A slot whose clone was removed from the disk counts as free only once its processes were ended:
    `down --all` of any clone does that.

    Raises:
        NoFreeSlot: all are taken.
    """
    with _locked() as folder:
        owners = {n: _owner(folder, n) for n in range(SLOTS)}
        number = next((n for n, o in owners.items() if o == owner), None)
        if number is None:
            number = next((n for n, o in owners.items() if o is None), None)
        if number is None:
            raise NoFreeSlot(f"{SLOTS} clusters run on this machine: end some with `make down` in their clones")
        written = folder / f"{number}.owner"
        scratch = folder / f".{number}.owner"
        scratch.write_text(json.dumps({"clone": owner.clone, "name": owner.name}), encoding="utf-8")
        scratch.rename(written)
        return Slot(number)


def release(slot: Slot) -> None:
    """Give the slot back; its processes and folder are gone by now."""
    with _locked() as folder:
        (folder / f"{slot.number}.owner").unlink(missing_ok=True)
