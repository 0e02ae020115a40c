"""The node of a local cluster: containerd, kubelet, kube-proxy, CoreDNS, volumes."""

import contextlib
import json
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.cluster import cgroups, volumes
from tests.cluster.gotools import program
from tests.cluster.images import pause_ref
from tests.cluster.pki import NODE_NAME
from tests.cluster.processes import Daemon, end_all_below
from tests.cluster.slots import Slot
from tests.cluster.steps import CommandFailed, run, tail

SOCKET_SECONDS = 30
_CNI_PROGRAMS = "/usr/lib/cni"
_POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Node:
    """The one real node of a slot."""

    slot: Slot

    @property
    def _state(self) -> Path:
        return self.slot.state

    @property
    def socket(self) -> Path:
        """containerd's socket."""
        return self._state / "containerd.sock"

    def daemons(self) -> list[Daemon]:
        """In order of start."""
        names = ("containerd", "coredns", "kubelet", "kube-proxy", "volumes")
        return [Daemon(name, self._state) for name in names]

    def start_runtime(self) -> None:
        """Start containerd and wait for its socket; images can be loaded then."""
        for name, content in self._files().items():
            path = self._state / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")
        daemon = Daemon("containerd", self._state)
        daemon.start(["containerd", "--config", self._state / "containerd.toml"], netns=self.slot.namespace)
        deadline = time.monotonic() + SOCKET_SECONDS
        while not self._runtime_answers():
            daemon.require_running()
            if time.monotonic() > deadline:
                raise CommandFailed(f"containerd did not answer\n{tail(daemon.log)}")
            time.sleep(_POLL_SECONDS)

    def start_kubelet(self) -> None:
        """Start kubelet, kube-proxy, CoreDNS and the volume provisioner."""
        netns = self.slot.namespace
        cgroups.create(netns)
        Daemon("coredns", self._state).start(
            [program("coredns"), "-conf", self._state / "Corefile", "-dns.port", "53"], netns=netns
        )
        Daemon("kubelet", self._state).start(
            [
                program("kubelet"),
                f"--config={self._state}/kubelet.yaml",
                f"--kubeconfig={self._state}/kubelet.kubeconfig",
                f"--hostname-override={NODE_NAME}",
                f"--node-ip={self.slot.node_address}",
                f"--root-dir={self._state}/kubelet",
            ],
            netns=netns,
        )
        Daemon("kube-proxy", self._state).start(
            [
                program("kube-proxy"),
                f"--kubeconfig={self._state}/proxy.kubeconfig",
                f"--cluster-cidr={self.slot.pod_range}",
                "--proxy-mode=iptables",
                f"--hostname-override={NODE_NAME}",
                # Their sysctls belong to the host and cannot be written from here.
                "--conntrack-max-per-core=0",
                "--conntrack-tcp-timeout-established=0",
                "--conntrack-tcp-timeout-close-wait=0",
            ],
            netns=netns,
        )
        volumes.start(self.slot)

    def images(self) -> set[str]:
        """References of the images that are loaded."""
        return set(self._ctr("images", "list", "--quiet").split())

    def load_image(self, archive: Path) -> None:
        """Load a docker or OCI archive."""
        self._ctr("images", "import", "--all-platforms", str(archive))

    def _ctr(self, *arguments: str) -> str:
        return run("ctr", "--address", self.socket, "--namespace", "k8s.io", *arguments)

    def _runtime_answers(self) -> bool:
        if not self.socket.exists():
            return False
        try:
            self._ctr("version")
        except CommandFailed:
            return False
        return True

    def stop(self) -> None:
        """End containers, their shims and all mounts; call after the kubelet was stopped."""
        end_all_below(self._state)
        cgroups.end_all(self.slot.namespace)
        self._unmount()
        cgroups.remove(self.slot.namespace)

    def forget_pod_networks(self) -> set[str]:
        """Network namespaces that the CNI made for this node's pods; its records of them are removed."""
        found: set[str] = set()
        for record in Path("/var/lib/cni/results").glob(f"{self.slot.namespace}-*"):
            with contextlib.suppress(ValueError, OSError):
                interfaces = json.loads(record.read_text(encoding="utf-8"))["result"]["interfaces"]
                found |= {Path(interface["sandbox"]).name for interface in interfaces if interface.get("sandbox")}
            record.unlink(missing_ok=True)
        return {name for name in found if name.startswith("cni-")}

    def _unmount(self) -> None:
        prefix = f"{self._state}/"
        mounts = [line.split()[1] for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines()]
        for mount in sorted((m for m in mounts if m.startswith(prefix)), reverse=True):
            run("umount", "--lazy", mount.replace("\\040", " "), check=False)

    def _files(self) -> dict[str, str]:
        """Configuration files by their path below the state folder."""
        return {
            "containerd.toml": self._containerd(),
            "kubelet.yaml": yaml.safe_dump(self._kubelet()),
            "cni/10-bridge.conflist": json.dumps(self._cni()),
            "Corefile": self._corefile(),
            # Names outside the cluster are not looked up: nothing outside can be reached.
            "resolv.conf": f"nameserver {self.slot.dns_service}\n",
        }

    def _containerd(self) -> str:
        return f"""\
version = 2
root = "{self._state}/containerd/root"
state = "{self._state}/containerd/state"
[grpc]
  address = "{self.socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause_ref()}"
  # Without CAP_SYS_RESOURCE every pod would fail on its OOM score otherwise.
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{_CNI_PROGRAMS}"
    conf_dir = "{self._state}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
"""

    def _kubelet(self) -> dict[str, object]:
        pki = self._state / "pki"
        return {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "failCgroupV1": False,
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": f"/{self.slot.namespace}",
            "cgroupsPerQOS": True,
            "containerRuntimeEndpoint": f"unix://{self.socket}",
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": f"{pki}/ca.crt"},
            },
            "authorization": {"mode": "Webhook"},
            "clusterDNS": [self.slot.dns_service],
            "clusterDomain": "cluster.local",
            "failSwapOn": False,
            "resolvConf": f"{self._state}/resolv.conf",
            "tlsCertFile": f"{pki}/kubelet.crt",
            "tlsPrivateKeyFile": f"{pki}/kubelet.key",
            "maxPods": 250,
            "podPidsLimit": -1,
            "registryPullQPS": 0,
            "serializeImagePulls": False,
            # Secrets and ConfigMaps reach running pods within seconds instead of a minute.
            "syncFrequency": "10s",
            "evictionHard": {"memory.available": "200Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
            # Local images cannot be pulled again, so they are never collected.
            "imageGCHighThresholdPercent": 100,
        }

    def _cni(self) -> dict[str, object]:
        bridge = {
            "type": "bridge",
            "bridge": "cni0",
            "isGateway": True,
            "ipMasq": True,
            "hairpinMode": True,
            "ipam": {
                "type": "host-local",
                "ranges": [[{"subnet": self.slot.pod_range}]],
                "routes": [{"dst": "0.0.0.0/0"}],
                "dataDir": f"{self._state}/ipam",
            },
        }
        portmap = {"type": "portmap", "capabilities": {"portMappings": True}}
        return {"cniVersion": "0.4.0", "name": self.slot.namespace, "plugins": [bridge, portmap]}

    def _corefile(self) -> str:
        return f"""\
.:53 {{
    errors
    bind {self.slot.node_address}
    kubernetes cluster.local in-addr.arpa {{
        kubeconfig {self._state}/kubeconfig
        pods insecure
        ttl 5
    }}
    cache 5
}}
"""


def remove_state(slot: Slot) -> None:
    """Remove the folder of a stopped cluster.

    Raises:
        CommandFailed: something below it is still mounted: removing would reach into the mount.
    """
    mounts = Path("/proc/mounts").read_text(encoding="utf-8")
    if f" {slot.state}/" in mounts:
        raise CommandFailed(f"something is still mounted below {slot.state}; unmount it and run the command again")
    shutil.rmtree(slot.state, ignore_errors=True)
