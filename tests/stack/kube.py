"""A cluster as tests and demo talk to it: the dynamic client for objects, kubectl for what users see."""

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from kubernetes import config, dynamic
from kubernetes.client import ApiClient
from kubernetes.dynamic.exceptions import NotFoundError

from tests.stack.wait import wait_until

Manifest = dict[str, Any]
FIELD_MANAGER = "aiapp-tests"
API_VERSIONS = {
    "HorizontalPodAutoscaler": "autoscaling/v2",
    "AIApp": "aiapp.dev/v1alpha1",
    "Deployment": "apps/v1",
    "StatefulSet": "apps/v1",
    "ReplicaSet": "apps/v1",
    "Job": "batch/v1",
    "PodDisruptionBudget": "policy/v1",
    "NetworkPolicy": "networking.k8s.io/v1",
    "Cluster": "postgresql.cnpg.io/v1",
    "ScaledObject": "keda.sh/v1alpha1",
    "Lease": "coordination.k8s.io/v1",
    "Event": "events.k8s.io/v1",
    "StorageClass": "storage.k8s.io/v1",
    "APIService": "apiregistration.k8s.io/v1",
    **dict.fromkeys(("ClusterRole", "ClusterRoleBinding", "RoleBinding"), "rbac.authorization.k8s.io/v1"),
}


class Kube:
    """One cluster, by its kubeconfig."""

    def __init__(self, kubeconfig: Path, kubectl: Path) -> None:
        self.kubeconfig = kubeconfig
        self.kubectl_binary = kubectl
        self._client = dynamic.DynamicClient(self._api_client())

    def _api_client(self) -> ApiClient:
        return config.new_client_from_config(config_file=str(self.kubeconfig))

    def _resource(self, kind: str) -> Any:
        return self._client.resources.get(api_version=API_VERSIONS.get(kind, "v1"), kind=kind)

    def get(self, kind: str, name: str, namespace: str | None = None) -> Manifest | None:
        """The object, or None where there is none."""
        try:
            found = self._resource(kind).get(name=name, namespace=namespace)
        except NotFoundError:
            return None
        manifest: Manifest = found.to_dict()
        return manifest

    def list(self, kind: str, namespace: str | None = None, selector: str = "") -> list[Manifest]:
        """All objects of a kind, narrowed by a label selector."""
        found = self._resource(kind).get(namespace=namespace, label_selector=selector)
        items: list[Manifest] = found.to_dict()["items"]
        return items

    def apply(self, manifest: Manifest) -> Manifest:
        """Server-side apply as the tests' own field manager, with force."""
        resource = self._resource(manifest["kind"])
        applied = resource.server_side_apply(
            body=manifest,
            name=manifest["metadata"]["name"],
            namespace=manifest["metadata"].get("namespace"),
            field_manager=FIELD_MANAGER,
            force_conflicts=True,
        )
        result: Manifest = applied.to_dict()
        return result

    def merge(self, kind: str, name: str, namespace: str, patch: Manifest) -> Manifest:
        """JSON merge patch; null removes a field."""
        patched = self._resource(kind).patch(
            body=patch, name=name, namespace=namespace, content_type="application/merge-patch+json"
        )
        result: Manifest = patched.to_dict()
        return result

    def delete(self, kind: str, name: str, namespace: str | None = None, grace_seconds: int | None = None) -> None:
        """Delete in the background; an object that is not there is fine."""
        body: Manifest = {"propagationPolicy": "Background"}
        if grace_seconds is not None:
            body["gracePeriodSeconds"] = grace_seconds
        try:
            self._resource(kind).delete(name=name, namespace=namespace, body=body)
        except NotFoundError:
            return

    def namespace(self, name: str, *, pod_security: str = "restricted") -> None:
        """Make a namespace that enforces a Pod Security level."""
        label = "pod-security.kubernetes.io/enforce"
        self.apply(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {label: pod_security}}}
        )

    def secret(self, name: str, namespace: str, data: dict[str, str]) -> None:
        """Make or replace a Secret of text values."""
        self.apply(
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": name, "namespace": namespace},
                "stringData": data,
            }
        )

    def install_crd(self, path: Path) -> None:
        """Apply a CustomResourceDefinition and wait until the API server serves it."""
        self.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(path))

        def established() -> bool:
            # `kubectl wait` and jsonpath fail on an object that has no conditions yet.
            found = json.loads(self.kubectl("get", "-f", str(path), "-o", "json")).get("status") or {}
            conditions = found.get("conditions") or []
            return any(c["type"] == "Established" and c["status"] == "True" for c in conditions)

        wait_until(f"{path.name} is served", established, seconds=60)
        # Discovery was read before the kind existed.
        self._client = dynamic.DynamicClient(self._api_client())

    def kubectl(self, *args: str, stdin: str | None = None, check: bool = True, seconds: float = 120) -> str:
        """What kubectl prints for these arguments.

        Raises:
            RuntimeError: kubectl failed; the message holds the command and its error output.
        """
        done = self.kubectl_run(*args, stdin=stdin, seconds=seconds)
        if check and done.returncode != 0:
            raise RuntimeError(f"kubectl {' '.join(args)}: {done.stderr.strip()}")
        return done.stdout

    def kubectl_run(
        self, *args: str, stdin: str | None = None, seconds: float = 120
    ) -> subprocess.CompletedProcess[str]:
        """Run kubectl and give back its exit code and both outputs."""
        return subprocess.run(
            [str(self.kubectl_binary), *args],
            input=stdin,
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )

    def environment(self) -> dict[str, str]:
        """The environment for command line tools that talk to this cluster."""
        return {**os.environ, "KUBECONFIG": str(self.kubeconfig)}


def load_manifests(path: Path) -> Sequence[Manifest]:
    """All documents of a YAML file."""
    return [document for document in yaml.safe_load_all(path.read_text(encoding="utf-8")) if document]


def compact(value: object) -> str:
    """JSON on one line, for messages."""
    return json.dumps(value, sort_keys=True, default=str)
