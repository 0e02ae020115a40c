"""A provisioner of local volumes: a folder of the node for each claim, removed with it.

Own code for forty lines of work: the provisioners there are for single nodes start a helper pod
for each folder, which costs seconds a volume and an image more.
Run as `python -m tests.cluster.volumes KUBECONFIG FOLDER`.
"""

import json
import logging
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from kubernetes import client, config
from kubernetes.client.exceptions import ApiException

from tests.cluster.paths import REPOSITORY
from tests.cluster.processes import Daemon
from tests.cluster.slots import Slot

STORAGE_CLASS = "local"
PROVISIONER = "aiapp.dev/local"
_SELECTED_NODE = "volume.kubernetes.io/selected-node"
_PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
_PERIOD_SECONDS = 0.5

log = logging.getLogger("volumes")


def _items(response: Any) -> list[dict[str, Any]]:
    """Objects as plain JSON: the client's types cost twenty times as much."""
    items: list[dict[str, Any]] = json.loads(response.data)["items"]
    return items


def provision(core: client.CoreV1Api, folder: Path) -> None:
    """Make a volume for each claim that waits for one."""
    for claim in _items(core.list_persistent_volume_claim_for_all_namespaces(_preload_content=False)):
        annotations, spec = claim["metadata"].get("annotations") or {}, claim["spec"]
        waiting = claim["status"].get("phase") == "Pending" and _SELECTED_NODE in annotations
        if not waiting or spec.get("volumeName") or spec.get("storageClassName") != STORAGE_CLASS:
            continue
        name = f"pvc-{claim['metadata']['uid']}"
        path = folder / name
        path.mkdir(parents=True, exist_ok=True)
        # A hostPath ignores fsGroup, so the folder is open to whatever user the pod runs as.
        path.chmod(0o777)
        _create(core, name, path, claim)


def _create(core: client.CoreV1Api, name: str, path: Path, claim: dict[str, Any]) -> None:
    meta = claim["metadata"]
    reference = {"apiVersion": "v1", "kind": "PersistentVolumeClaim"}
    reference |= {field: meta[field] for field in ("name", "namespace", "uid")}
    body = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name, "annotations": {_PROVISIONED_BY: PROVISIONER}},
        "spec": {
            "capacity": {"storage": claim["spec"]["resources"]["requests"]["storage"]},
            "accessModes": claim["spec"]["accessModes"],
            "persistentVolumeReclaimPolicy": "Delete",
            "storageClassName": STORAGE_CLASS,
            "hostPath": {"path": str(path), "type": "Directory"},
            "claimRef": reference,
        },
    }
    try:
        core.create_persistent_volume(body)
    except ApiException as error:
        if error.status != 409:
            raise
    log.info("made %s for %s/%s", name, meta["namespace"], meta["name"])


def collect(core: client.CoreV1Api, folder: Path) -> None:
    """Remove the volumes whose claim is gone, with their data."""
    for volume in _items(core.list_persistent_volume(_preload_content=False)):
        meta = volume["metadata"]
        ours = (meta.get("annotations") or {}).get(_PROVISIONED_BY) == PROVISIONER
        if ours and (volume.get("status") or {}).get("phase") in {"Released", "Failed"}:
            core.delete_persistent_volume(meta["name"])
            shutil.rmtree(folder / meta["name"], ignore_errors=True)
            log.info("removed %s", meta["name"])


def start(slot: Slot) -> None:
    """Run this module as a daemon of the cluster."""
    arguments = [slot.state / "kubeconfig", slot.state / "volumes"]
    Daemon("volumes", slot.state).start([sys.executable, "-m", "tests.cluster.volumes", *arguments], cwd=REPOSITORY)


def main() -> None:
    """Serve for ever; a failing API server is asked again."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    kubeconfig, folder = Path(sys.argv[1]), Path(sys.argv[2])
    core = client.CoreV1Api(config.new_client_from_config(config_file=str(kubeconfig)))
    while True:
        started = time.monotonic()
        try:
            provision(core, folder)
            collect(core, folder)
        except Exception as error:  # noqa: BLE001  # the loop outlives whatever the API server says
            log.warning("will try again: %s", error)
        # With thousands of claims looking takes longer, and is done less often.
        time.sleep(max(_PERIOD_SECONDS, 5 * (time.monotonic() - started)))


if __name__ == "__main__":
    main()
