"""Where each kind lives in the Kubernetes API."""

from dataclasses import dataclass

from aiapp_operator.api.app import GROUP, PLURAL, VERSION


@dataclass(frozen=True)
class Resource:
    """A kind and its place: API version, plural, whether it lives in namespaces."""

    kind: str
    api_version: str
    plural: str
    namespaced: bool = True

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
        """The URL path of one object, or of all of a namespace, or of all."""
        root = "/api/" if "/" not in self.api_version else "/apis/"
        parts = [f"{root}{self.api_version}"]
        if namespace and self.namespaced:
            parts.append(f"namespaces/{namespace}")
        parts += [part for part in (self.plural, name, subresource) if part]
        return "/".join(parts)


def _table(*resources: Resource) -> dict[str, Resource]:
    return {resource.kind: resource for resource in resources}


RESOURCES = _table(
    Resource("AIApp", f"{GROUP}/{VERSION}", PLURAL),
    Resource("Deployment", "apps/v1", "deployments"),
    Resource("StatefulSet", "apps/v1", "statefulsets"),
    Resource("Job", "batch/v1", "jobs"),
    Resource("CronJob", "batch/v1", "cronjobs"),
    Resource("Pod", "v1", "pods"),
    Resource("Service", "v1", "services"),
    Resource("ConfigMap", "v1", "configmaps"),
    Resource("Secret", "v1", "secrets"),
    Resource("ServiceAccount", "v1", "serviceaccounts"),
    Resource("PersistentVolumeClaim", "v1", "persistentvolumeclaims"),
    Resource("PodDisruptionBudget", "policy/v1", "poddisruptionbudgets"),
    Resource("NetworkPolicy", "networking.k8s.io/v1", "networkpolicies"),
    Resource("HorizontalPodAutoscaler", "autoscaling/v2", "horizontalpodautoscalers"),
    Resource("Cluster", "postgresql.cnpg.io/v1", "clusters"),
    Resource("ScaledObject", "keda.sh/v1alpha1", "scaledobjects"),
    Resource("Lease", "coordination.k8s.io/v1", "leases"),
    Resource("Event", "events.k8s.io/v1", "events"),
    Resource("StorageClass", "storage.k8s.io/v1", "storageclasses", namespaced=False),
    Resource("Node", "v1", "nodes", namespaced=False),
    Resource("CustomResourceDefinition", "apiextensions.k8s.io/v1", "customresourcedefinitions", namespaced=False),
)
