"""The network namespace of a cluster and its link to the host."""

import contextlib
from pathlib import Path

from tests.cluster.slots import Slot
from tests.cluster.steps import CommandFailed, run


def up(slot: Slot) -> None:
    """Make the namespace, the link and the routes, as far as they are not there."""
    if not Path(f"/run/netns/{slot.namespace}").exists():
        run("ip", "netns", "add", slot.namespace)
    if not Path(f"/sys/class/net/{slot.host_link}").exists():
        run("ip", "link", "add", slot.host_link, "type", "veth", "peer", "name", slot.node_link)
        run("ip", "link", "set", slot.node_link, "netns", slot.namespace)
        run("ip", "addr", "add", f"{slot.host_address}/24", "dev", slot.host_link)
        run("ip", "link", "set", slot.host_link, "up")
        _inside(slot, "ip", "link", "set", "lo", "up")
        _inside(slot, "ip", "addr", "add", f"{slot.node_address}/24", "dev", slot.node_link)
        _inside(slot, "ip", "link", "set", slot.node_link, "up")
        _inside(slot, "ip", "route", "add", "default", "via", slot.host_address)
        _inside(slot, "sysctl", "-qw", "net.ipv4.ip_forward=1")
    for addresses in (slot.pod_range, slot.service_range):
        run("ip", "route", "replace", addresses, "via", slot.node_address)


def down(slot: Slot) -> None:
    """Remove the link (its routes go with it) and the namespace."""
    for command in (("ip", "link", "delete", slot.host_link), ("ip", "netns", "delete", slot.namespace)):
        with contextlib.suppress(CommandFailed):
            run(*command)


def remove_pod_namespaces(names: set[str]) -> None:
    """Remove network namespaces that the CNI made for pods of this cluster."""
    for name in sorted(names):
        with contextlib.suppress(CommandFailed):
            run("ip", "netns", "delete", name)


def _inside(slot: Slot, *command: str) -> None:
    run("nsenter", f"--net=/run/netns/{slot.namespace}", *command)
