"""What every cluster needs besides its programs: the DNS Service and a default storage class."""

from typing import Any

from kubernetes import config, dynamic

from tests.cluster.slots import Slot
from tests.cluster.volumes import PROVISIONER, STORAGE_CLASS


def manifests(slot: Slot) -> list[dict[str, Any]]:
    """CoreDNS runs beside the kubelet, so its Service points to the node; the storage class to `volumes`."""
    ports = [{"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "dns-tcp", "port": 53, "protocol": "TCP"}]
    meta = {"name": "kube-dns", "namespace": "kube-system"}
    endpoint = {"addresses": [slot.node_address], "conditions": {"ready": True}}
    return [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": meta,
            "spec": {"clusterIP": slot.dns_service, "ports": ports},
        },
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {**meta, "labels": {"kubernetes.io/service-name": "kube-dns"}},
            "addressType": "IPv4",
            "endpoints": [endpoint],
            "ports": ports,
        },
        {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": {
                "name": STORAGE_CLASS,
                "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
            },
            "provisioner": PROVISIONER,
            "volumeBindingMode": "WaitForFirstConsumer",
            "reclaimPolicy": "Delete",
        },
    ]


def apply(slot: Slot, kubeconfig: str) -> None:
    """Apply them; again is fine."""
    client = dynamic.DynamicClient(config.new_client_from_config(config_file=kubeconfig))
    for manifest in manifests(slot):
        resource = client.resources.get(api_version=manifest["apiVersion"], kind=manifest["kind"])
        resource.server_side_apply(
            body=manifest,
            name=manifest["metadata"]["name"],
            namespace=manifest["metadata"].get("namespace"),
            field_manager="aiapp-test-bed",
            force_conflicts=True,
        )
