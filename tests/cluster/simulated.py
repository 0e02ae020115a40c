"""Simulated nodes: kwok plays their kubelets, so that hundreds of pods cost nothing."""

from pathlib import Path
from typing import Any

import yaml
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException

from tests.cluster.gotools import program
from tests.cluster.processes import Daemon
from tests.cluster.slots import Slot

LABEL = {"type": "kwok"}


def _stage(name: str, resource: dict[str, str], selector: list[dict[str, Any]], template: str) -> dict[str, Any]:
    return {
        "apiVersion": "kwok.x-k8s.io/v1alpha1",
        "kind": "Stage",
        "metadata": {"name": name},
        "spec": {
            "resourceRef": resource,
            "selector": {"matchExpressions": selector},
            "next": {"statusTemplate": template},
        },
    }


def _expression(key: str, operator: str, *values: str) -> dict[str, Any]:
    return {"key": key, "operator": operator, **({"values": list(values)} if values else {})}


_NODE = """
{{ $now := Now }}
conditions:
- {type: Ready, status: "True", reason: KubeletReady, message: simulated, lastHeartbeatTime: {{ $now | Quote }},
   lastTransitionTime: {{ $now | Quote }}}
phase: Running
"""
_CONDITIONS = """
{{ $now := Now }}
conditions:
{{ range (list "Initialized" "Ready" "ContainersReady" "PodScheduled") }}
- {type: {{ . }}, status: "%s", lastTransitionTime: {{ $now | Quote }}%s}
{{ end }}
"""
_RUNNING = (
    _CONDITIONS % ("True", "")
    + """
containerStatuses:
{{ range .spec.containers }}
- {name: {{ .name | Quote }}, image: {{ .image | Quote }}, imageID: "", ready: true, restartCount: 0, started: true,
   state: {running: {startedAt: {{ $now | Quote }}}}}
{{ end }}
phase: Running
startTime: {{ $now | Quote }}
podIP: 198.51.100.1
"""
)
_COMPLETED = """
{{ $now := Now }}
containerStatuses:
{{ range .spec.containers }}
- {name: {{ .name | Quote }}, image: {{ .image | Quote }}, imageID: "", ready: false, restartCount: 0, started: false,
   state: {terminated: {exitCode: 0, reason: Completed, startedAt: {{ $now | Quote }}, finishedAt: {{ $now | Quote }},
   message: '{"migrated":"0001"}'}}}
{{ end }}
phase: Succeeded
startTime: {{ $now | Quote }}
"""


def stages() -> list[dict[str, Any]]:
    """Nodes are ready at once, pods run at once, pods of Jobs complete at once, deleted pods go at once."""
    pod, node = {"apiGroup": "v1", "kind": "Pod"}, {"apiGroup": "v1", "kind": "Node"}
    alive = _expression(".metadata.deletionTimestamp", "DoesNotExist")
    pending = _expression(".status.phase", "In", "Pending")
    job = ".metadata.ownerReferences.[].kind"
    deleted = {
        "apiVersion": "kwok.x-k8s.io/v1alpha1",
        "kind": "Stage",
        "metadata": {"name": "pod-delete"},
        "spec": {
            "resourceRef": pod,
            "selector": {"matchExpressions": [_expression(".metadata.deletionTimestamp", "Exists")]},
            "next": {"finalizers": {"empty": True}, "delete": True},
        },
    }
    return [
        _stage("node-ready", node, [_expression(".status.phase", "NotIn", "Running")], _NODE),
        _stage("pod-running", pod, [alive, pending, _expression(job, "NotIn", "Job")], _RUNNING),
        _stage("pod-complete", pod, [alive, pending, _expression(job, "In", "Job")], _COMPLETED),
        deleted,
    ]


def add(slot: Slot, count: int, *, gpus: int = 0) -> None:
    """Make `count` nodes with `gpus` GPUs each and run kwok for them."""
    path = slot.state / "kwok.yaml"
    path.write_text(yaml.safe_dump_all(stages()), encoding="utf-8")
    Daemon("kwok", slot.state).start(
        [
            program("kwok"),
            f"--kubeconfig={slot.state}/kubeconfig",
            f"--config={path}",
            "--manage-nodes-with-label-selector=type=kwok",
            "--node-lease-duration-seconds=40",
            "--cidr=198.18.0.0/15",
            "--server-address=127.0.0.1:10247",
        ],
        cwd=Path(slot.state),
        netns=slot.namespace,
    )
    core = client.CoreV1Api(config.new_client_from_config(config_file=str(slot.state / "kubeconfig")))
    for number in range(count):
        _create(core, f"simulated-{'gpu-' if gpus else ''}{number}", gpus)


def _create(core: client.CoreV1Api, name: str, gpus: int) -> None:
    capacity = {"cpu": "256", "memory": "2Ti", "pods": "5000", "ephemeral-storage": "10Ti"}
    if gpus:
        capacity["nvidia.com/gpu"] = str(gpus)
    body: Any = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {**LABEL, "kubernetes.io/hostname": name}},
        "spec": {},
        "status": {"capacity": capacity, "allocatable": capacity},
    }
    try:
        core.create_node(body)
    except ApiException as error:
        if error.status != 409:
            raise
