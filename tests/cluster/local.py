"""LocalCluster: a whole Kubernetes on this machine without a container engine."""

import json
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kubernetes import client, config
from rich.console import Console

from tests.cluster import addons, debian, images, network, pki, simulated, volumes
from tests.cluster.controlplane import ControlPlane
from tests.cluster.gotools import TOOLS, program
from tests.cluster.node import Node, remove_state
from tests.cluster.paths import REPOSITORY
from tests.cluster.processes import Daemon, end_all_below, end_all_in_namespace
from tests.cluster.slots import SLOTS, Owner, Slot, claim, find, owned_by_clone, release
from tests.cluster.steps import CommandFailed, step, tail

Profile = Literal["full", "control-plane"]
NODE_SECONDS = 90
_POLL_SECONDS = 0.2
_KUBECONFIGS = {
    "kubeconfig": "admin",
    "controller-manager.kubeconfig": "controller-manager",
    "scheduler.kubeconfig": "scheduler",
    "kubelet.kubeconfig": "kubelet",
    "proxy.kubeconfig": "proxy",
}


@dataclass(frozen=True)
class LocalCluster:
    """One cluster of this clone, by name.

    `control-plane` has no node: an API server for integration tests, up in seconds. `controllers`
    and `fast_controllers` are the control plane's.
    """

    name: str
    profile: Profile = "full"
    controllers: bool = True
    fast_controllers: bool = False
    kind: Literal["local"] = "local"

    @property
    def _owner(self) -> Owner:
        return Owner(str(REPOSITORY), self.name)

    @property
    def slot(self) -> Slot:
        """Its slot, claimed on first use."""
        return claim(self._owner)

    @property
    def kubeconfig(self) -> Path:
        """For the cluster's administrator."""
        return self.slot.state / "kubeconfig"

    @property
    def kubectl(self) -> Path:
        """kubectl of the cluster's own version."""
        return program("kubectl")

    @property
    def audit_log(self) -> Path:
        """One JSON object a line for each write to the API server."""
        return self._plane(self.slot).audit_log

    def up(self, console: Console) -> None:
        """Bring it up, or put right what is missing; a running cluster is left alone.

        Raises:
            CommandFailed: a part did not start; the message has the end of its log.
        """
        if os.geteuid() != 0:
            raise CommandFailed("a local cluster needs root; or set KUBECONFIG to a cluster of yours")
        slot = self.slot
        if self._is_whole(slot):
            console.print(f"-- cluster {self.name} is up", markup=False)
            return
        needed = debian.NODE_PACKAGES if self.profile == "full" else ("iproute2",)
        debian.ensure(needed, console)
        for tool in ("kubernetes", "etcd", "coredns"):
            TOOLS[tool].build(console)
        loaded = images.archives(["pause"], console) if self.profile == "full" else {}
        with step(console, f"Starting cluster {self.name} ({self.profile})"):
            self._start(slot, loaded)

    def _start(self, slot: Slot, loaded: dict[str, tuple[str, Path]]) -> None:
        # What a killed run left half-made is not worth mending: only a complete state is started again.
        if not (slot.state / "complete").exists():
            self.remove(slot)
            slot.state.mkdir(parents=True)
            pki.write(slot, slot.state / "pki")
            for file, user in _KUBECONFIGS.items():
                pki.write_kubeconfig(slot.state / file, slot, slot.state / "pki", user)
        self._link(slot)
        network.up(slot)
        self._plane(slot).up()
        if self.profile == "full":
            addons.apply(slot, str(self.kubeconfig))
            node = Node(slot)
            node.start_runtime()
            _load(node, loaded.values())
            node.start_kubelet()
            self._wait_node(slot)
        (slot.state / "complete").touch()

    def load_images(self, names: Iterable[str], console: Console) -> dict[str, str]:
        """Build what is not built, load what is not loaded; gives the reference of each name."""
        built = images.archives(names, console)
        node = Node(self.slot)
        present = node.images()
        absent = {name: entry for name, entry in built.items() if entry[0] not in present}
        if absent:
            with step(console, f"Loading images {' '.join(absent)}"):
                _load(node, absent.values())
        return {name: ref for name, (ref, _) in built.items()}

    def load_archive(self, archive: Path) -> None:
        """Load a docker or OCI archive."""
        Node(self.slot).load_image(archive)

    def add_simulated_nodes(self, count: int, *, gpus: int = 0) -> None:
        """Nodes that only pretend to run pods, with `gpus` GPUs each, and volumes for them."""
        addons.apply(self.slot, str(self.kubeconfig))
        volumes.start(self.slot)
        simulated.add(self.slot, count, gpus=gpus)

    def down(self, console: Console) -> None:
        """End it and remove all it left, whatever state it is in."""
        slot = find(self._owner)
        if slot is None:
            return
        with step(console, f"Removing cluster {self.name}"):
            self.remove(slot)
            (REPOSITORY / ".cluster" / self.name).unlink(missing_ok=True)
            release(slot)

    def status(self) -> dict[str, object]:
        """Which parts run."""
        slot = find(self._owner)
        if slot is None:
            return {"name": self.name, "up": False}
        running = {daemon.name: daemon.pid() for daemon in self._daemons(slot)}
        return {"name": self.name, "up": self._is_whole(slot), "slot": slot.number, "processes": running}

    def _plane(self, slot: Slot) -> ControlPlane:
        return ControlPlane(slot, self.controllers, self.fast_controllers)

    def _daemons(self, slot: Slot) -> list[Daemon]:
        node = Node(slot).daemons() if self.profile == "full" else []
        return [*self._plane(slot).daemons(), *node]

    def _is_whole(self, slot: Slot) -> bool:
        running = all(daemon.pid() is not None for daemon in self._daemons(slot))
        return running and (slot.state / "complete").exists() and self._plane(slot).ready()

    def remove(self, slot: Slot) -> None:
        """Remove what a cluster left in `slot`, whoever started it."""
        node = Node(slot)
        pids = slot.state / "pids"
        names = {path.name for path in pids.iterdir()} if pids.exists() else set()
        order = ["kwok", "volumes", "kube-proxy", "kubelet", "coredns", "containerd"]
        for name in [n for n in order if n in names] + sorted(names - set(order), reverse=True):
            Daemon(name, slot.state).stop()
        node.stop()
        end_all_in_namespace(slot.namespace)
        end_all_below(slot.state)
        network.remove_pod_namespaces(node.forget_pod_networks())
        network.down(slot)
        remove_state(slot)

    def _link(self, slot: Slot) -> None:
        """A pointer in the clone, so that people find the kubeconfig and the logs."""
        pointer = REPOSITORY / ".cluster" / self.name
        pointer.parent.mkdir(exist_ok=True)
        pointer.unlink(missing_ok=True)
        pointer.symlink_to(slot.state)

    def _wait_node(self, slot: Slot) -> None:
        core = client.CoreV1Api(config.new_client_from_config(config_file=str(self.kubeconfig)))
        deadline = time.monotonic() + NODE_SECONDS
        kubelet = Daemon("kubelet", slot.state)
        while not _ready_node(core):
            for daemon in self._daemons(slot):
                daemon.require_running()
            if time.monotonic() > deadline:
                raise CommandFailed(f"the node was not ready after {NODE_SECONDS} s\n{tail(kubelet.log)}")
            time.sleep(_POLL_SECONDS)


def _ready_node(core: client.CoreV1Api) -> bool:
    conditions = [c for node in core.list_node().items if node.status for c in node.status.conditions or []]
    return any(c.type == "Ready" and c.status == "True" for c in conditions)


def _load(node: Node, built: Iterable[tuple[str, Path]]) -> None:
    for _, archive in built:
        node.load_image(archive)


def clusters_of_this_clone() -> list[LocalCluster]:
    """Every cluster that this clone has started and not removed."""
    return [LocalCluster(name) for _, name in owned_by_clone(str(REPOSITORY))]


def remove_orphans(console: Console) -> None:
    """Remove clusters whose clone is gone from the disk."""
    for number in range(SLOTS):
        path = Slot(number).state.with_name(f"{number}.owner")
        try:
            owner = Owner(**json.loads(path.read_text(encoding="utf-8")))
        except (FileNotFoundError, ValueError, TypeError):
            continue
        if not Path(owner.clone).exists():
            with step(console, f"Removing cluster {owner.name} of a clone that is gone"):
                LocalCluster(owner.name).remove(Slot(number))
                release(Slot(number))
