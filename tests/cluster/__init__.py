"""A real Kubernetes on any machine: the given one, kind where a container engine runs, else a local control plane.

The local control plane is etcd, kube-apiserver, controller-manager, scheduler, containerd, kubelet,
kube-proxy and CoreDNS inside one network namespace, built from pinned Go modules and Debian packages.
Each cluster has a *slot*: a small number that decides its names and addresses, so that two clones
of the repository, or two clusters of one clone, never meet.
"""

from tests.cluster.local import LocalCluster
from tests.cluster.provider import Cluster, select_cluster

__all__ = ["Cluster", "LocalCluster", "select_cluster"]
