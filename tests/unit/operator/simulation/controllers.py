"""The rest of a cluster in few words: the workload controllers, one kubelet, volumes, garbage collection."""

import asyncio
import random
from collections.abc import Callable, Iterator

from aiapp_operator.api.manifest import Manifest
from aiapp_operator.build.digest import digest
from tests.unit.operator.simulation.apiserver import ApiServer
from tests.unit.operator.simulation.rules import PVC_PROTECTION
from tests.unit.operator.simulation.storage import Place

_MANAGER = "kube-controller-manager"
_TEMPLATE = "simulated/template"
MIGRATED = "0002"


def place_of(manifest: Manifest) -> Place:
    meta = manifest["metadata"]
    return Place(manifest["kind"], meta.get("namespace", ""), meta["name"])


class Controllers:
    """Each object gets the status that a real cluster would give it, a random while later."""

    def __init__(self, server: ApiServer, rng: random.Random) -> None:
        self._server = server
        self._rng = rng
        self._names = 0
        # How many pods autoscalers find right, by the name of the workload; else as few as they may.
        self.demand: dict[str, int] = {}
        self._work: dict[str, Callable[[Manifest], None]] = {
            "PersistentVolumeClaim": self._bind,
            "Deployment": self._scale,
            "StatefulSet": self._scale,
            "Job": self._complete,
            "Pod": self._start,
            "Cluster": self._replicate,
            "HorizontalPodAutoscaler": self._autoscale,
            "ScaledObject": self._activate,
        }

    async def run(self) -> None:
        """Until cancelled."""
        storage = self._server.storage
        while True:
            version = storage.version
            objects = [place for place in map(place_of, storage.all()) if place.kind != "Event"]
            self._rng.shuffle(objects)
            for place in objects:
                await self._touch(place)
            if storage.version == version:
                await storage.changed()
                await asyncio.sleep(self._rng.uniform(0.0, 0.5))

    async def _touch(self, place: Place) -> None:
        manifest = self._server.storage.get(place)
        if manifest is None:
            return
        before = self._server.storage.version
        if self._orphaned(manifest):
            self._server.delete(place)
        elif place.kind in self._work:
            self._work[place.kind](manifest)
        if self._server.storage.version != before:
            await asyncio.sleep(self._rng.uniform(0.0, 0.2))

    def _orphaned(self, manifest: Manifest) -> bool:
        owners = manifest["metadata"].get("ownerReferences") or []
        if not owners or manifest["metadata"].get("deletionTimestamp"):
            return False
        namespace = manifest["metadata"].get("namespace", "")
        return not any(self._lives(owner, namespace) for owner in owners)

    def _lives(self, owner: Manifest, namespace: str) -> bool:
        found = self._server.get(owner["kind"], owner["name"], namespace)
        return found is not None and found["metadata"]["uid"] == owner["uid"]

    def _bind(self, claim: Manifest) -> None:
        if claim["metadata"].get("deletionTimestamp") and not self._used(claim):

            def let_go(live: Manifest) -> None:
                live["metadata"]["finalizers"] = [f for f in live["metadata"]["finalizers"] if f != PVC_PROTECTION]

            self._server.change(place_of(claim), let_go, _MANAGER)
            return
        self._say(claim, {"phase": "Bound"})

    def _used(self, claim: Manifest) -> bool:
        name = claim["metadata"]["name"]
        pods = self._server.storage.all("Pod", claim["metadata"]["namespace"])
        return any(
            volume.get("persistentVolumeClaim", {}).get("claimName") == name for p in pods for volume in volumes(p)
        )

    def _scale(self, workload: Manifest) -> None:
        template, wanted = workload["spec"]["template"], workload["spec"].get("replicas", 1)
        pods = self._pods(workload)
        current = [pod for pod in pods if pod["metadata"]["annotations"][_TEMPLATE] == digest(template)]
        for pod in [pod for pod in pods if pod not in current] + current[wanted:]:
            self._server.delete(place_of(pod))
        for _ in range(wanted - len(current)):
            self._make_pod(workload, template)
        ready = sum(is_ready(pod) for pod in current[:wanted])
        counts = {"replicas": wanted, "updatedReplicas": wanted, "readyReplicas": ready, "availableReplicas": ready}
        self._say(workload, {**counts, "observedGeneration": workload["metadata"]["generation"]})

    def _complete(self, job: Manifest) -> None:
        if job.get("status", {}).get("conditions"):
            return
        pods = self._pods(job)
        if not pods:
            self._make_pod(job, job["spec"]["template"])
        elif pods[0].get("status", {}).get("phase") == "Succeeded":
            self._say(job, {"succeeded": 1, "conditions": [{"type": "Complete", "status": "True"}]})

    def _replicate(self, cluster: Manifest) -> None:
        """CloudNativePG: the instances run at once; whoever says otherwise is not contradicted."""
        hibernates = (cluster["metadata"].get("annotations") or {}).get("cnpg.io/hibernation") == "on"
        status = cluster.get("status") or {}
        if not status or hibernates != bool(status.get("conditions")):
            told = {"phase": "Cluster in healthy state", "currentPrimary": "1", "targetPrimary": "1"}
            asleep = [{"type": "cnpg.io/hibernation", "status": "True"}] if hibernates else []
            ready = 0 if hibernates else cluster["spec"]["instances"]
            self._say(cluster, {**told, "readyInstances": ready, "conditions": asleep})

    def _autoscale(self, autoscaler: Manifest) -> None:
        """Within its bounds, as Kubernetes does it: nothing at all for a workload without pods."""
        spec, meta = autoscaler["spec"], autoscaler["metadata"]
        name = spec["scaleTargetRef"]["name"]
        target = self._server.get("Deployment", name, meta["namespace"])
        if target is None or target["spec"]["replicas"] == 0:
            off = {"type": "ScalingActive", "status": "False", "reason": "ScalingDisabled"}
            self._say(autoscaler, {"conditions": [off]})
            return
        wanted = min(max(self.demand.get(name, 0), spec["minReplicas"]), spec["maxReplicas"])
        self._server.change(place_of(target), lambda live: live["spec"].update(replicas=wanted), _MANAGER)
        self._say(autoscaler, {"conditions": [{"type": "ScalingActive", "status": "True"}]})

    def _activate(self, scaled: Manifest) -> None:
        """KEDA: also from no pods and to none."""
        spec, name = scaled["spec"], scaled["metadata"]["name"]
        target = self._server.get("Deployment", name, scaled["metadata"]["namespace"])
        if target is not None:
            wanted = min(max(self.demand.get(name, 0), spec["minReplicaCount"]), spec["maxReplicaCount"])
            self._server.change(place_of(target), lambda live: live["spec"].update(replicas=wanted), "keda-operator")
        self._say(scaled, {"conditions": [{"type": "Ready", "status": "True"}]})

    def _start(self, pod: Manifest) -> None:
        """One step of a pod's life: it waits for its Secrets, then runs; a migration runs to its end."""
        namespace = pod["metadata"]["namespace"]
        missing = next((s for s in secrets(pod) if self._server.get("Secret", s, namespace) is None), "")
        phase = pod.get("status", {}).get("phase", "Pending")
        if missing and phase == "Pending":
            waiting = {"reason": "CreateContainerConfigError", "message": f'secret "{missing}" not found'}
            status = {"name": "check-secrets", "state": {"waiting": waiting}}
            self._say(pod, {"phase": "Pending", "initContainerStatuses": [status]})
        elif phase == "Pending":
            ready = {"type": "Ready", "status": "True"}
            running = {"name": "main", "ready": True, "state": {"running": {}}}
            self._say(pod, {"phase": "Running", "conditions": [ready], "containerStatuses": [running]})
        elif phase == "Running" and "job-name" in pod["metadata"]["labels"]:
            ended = {"exitCode": 0, "message": f'{{"migrated": "{MIGRATED}"}}'}
            self._say(
                pod, {"phase": "Succeeded", "containerStatuses": [{"name": "main", "state": {"terminated": ended}}]}
            )

    def _pods(self, owner: Manifest) -> list[Manifest]:
        uid = owner["metadata"]["uid"]
        pods = self._server.storage.all("Pod", owner["metadata"]["namespace"])
        return [pod for pod in pods if any(o["uid"] == uid for o in pod["metadata"].get("ownerReferences") or [])]

    def _make_pod(self, owner: Manifest, template: Manifest) -> None:
        self._names += 1
        meta = owner["metadata"]
        labels = dict(template["metadata"]["labels"])
        if owner["kind"] == "Job":
            labels["job-name"] = meta["name"]
        reference = {"kind": owner["kind"], "name": meta["name"], "uid": meta["uid"], "controller": True}
        metadata = {
            "name": f"{meta['name']}-{self._names}",
            "namespace": meta["namespace"],
            "labels": labels,
            "annotations": {**template["metadata"].get("annotations", {}), _TEMPLATE: digest(template)},
            "ownerReferences": [reference],
        }
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}
        if meta["namespace"] not in self._server.terminating:
            self._server.create(pod, _MANAGER)

    def _say(self, manifest: Manifest, status: Manifest) -> None:
        self._server.set_status(place_of(manifest), status)


def is_ready(pod: Manifest) -> bool:
    conditions = pod.get("status", {}).get("conditions") or []
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def volumes(pod: Manifest) -> Iterator[Manifest]:
    yield from pod["spec"].get("volumes") or []


def secrets(pod: Manifest) -> Iterator[str]:
    """Secrets without which the pod's init containers do not start."""
    for container in pod["spec"].get("initContainers") or []:
        for variable in container.get("env") or []:
            reference = variable.get("valueFrom", {}).get("secretKeyRef")
            if reference:
                yield reference["name"]
