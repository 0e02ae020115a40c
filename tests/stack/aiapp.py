"""Reading an AIApp as a user does: its conditions, its components, what it waits for."""

from dataclasses import dataclass

from tests.stack.kube import Kube, Manifest, compact
from tests.stack.wait import wait_until


@dataclass(frozen=True)
class AppHandle:
    """One AIApp of a cluster."""

    kube: Kube
    namespace: str
    name: str

    def read(self) -> Manifest:
        """The object as stored.

        Raises:
            LookupError: there is no such AIApp.
        """
        found = self.kube.get("AIApp", self.name, self.namespace)
        if found is None:
            raise LookupError(f"no AIApp {self.namespace}/{self.name}")
        return found

    def conditions(self) -> dict[str, Manifest]:
        """Conditions by type."""
        status = self.read().get("status") or {}
        return {condition["type"]: condition for condition in status.get("conditions", [])}

    def patch_spec(self, spec: Manifest) -> Manifest:
        """Merge `spec` into the spec; null removes a field."""
        return self.kube.merge("AIApp", self.name, self.namespace, {"spec": spec})

    def wait_ready(self, seconds: float = 180) -> Manifest:
        """Wait for Ready=True of the current generation, with nothing under way."""

        def ready() -> Manifest | None:
            app = self.read()
            status = app.get("status") or {}
            found = {c["type"]: c for c in status.get("conditions", [])}
            current = status.get("observedGeneration") == app["metadata"]["generation"]
            is_ready = found.get("Ready", {}).get("status") == "True"
            return app if current and is_ready and "Reconciling" not in found else None

        return wait_until(f"AIApp {self.name} Ready", ready, seconds=seconds, seen=self.describe)

    def wait_condition(
        self, type_: str, status: str, *, reason: str = "", contains: str = "", seconds: float = 60
    ) -> Manifest:
        """Wait for a condition of the current generation with this status, reason and part of the message."""

        def match() -> Manifest | None:
            app = self.read()
            for condition in (app.get("status") or {}).get("conditions", []):
                if (
                    condition["type"] == type_
                    and condition["status"] == status
                    and condition["observedGeneration"] == app["metadata"]["generation"]
                    and reason in ("", condition["reason"])
                    and contains in condition["message"]
                ):
                    found: Manifest = condition
                    return found
            return None

        what = f"AIApp {self.name}: {type_}={status} {reason} ...{contains}..."
        return wait_until(what, match, seconds=seconds, seen=self.describe)

    def children(self, kind: str) -> list[Manifest]:
        """Its children of one kind."""
        return self.kube.list(kind, self.namespace, f"aiapp.dev/app={self.name}")

    def pods(self, component: str) -> list[Manifest]:
        """The pods of one component that are not on their way out."""
        found = self.kube.list("Pod", self.namespace, f"aiapp.dev/app={self.name},aiapp.dev/component={component}")
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def describe(self) -> str:
        """Conditions and pods on a few lines, for the message of a failure."""
        conditions = self.conditions().values()
        lines = [f"  {c['type']}={c['status']} {c['reason']}: {c['message']}" for c in conditions]
        for pod in self.kube.list("Pod", self.namespace, f"aiapp.dev/app={self.name}"):
            states = pod["status"].get("initContainerStatuses", []) + pod["status"].get("containerStatuses", [])
            summary = {state["name"]: state.get("state") for state in states}
            lines.append(f"  pod {pod['metadata']['name']} {pod['status'].get('phase')}: {compact(summary)}")
        return "\n" + "\n".join(lines)
