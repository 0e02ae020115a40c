"""etcd, kube-apiserver, kube-controller-manager and kube-scheduler, with the flags that matter and why."""

import ssl
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.cluster.gotools import program
from tests.cluster.processes import Daemon
from tests.cluster.slots import Slot
from tests.cluster.steps import CommandFailed, tail

READY_SECONDS = 60
_POLL_SECONDS = 0.1

# Every write is on record, with who made it; reads are not. Tests assert "nothing was written" from it.
AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {"level": "Metadata", "verbs": ["create", "update", "patch", "delete", "deletecollection"]},
        {"level": "None"},
    ],
}


@dataclass(frozen=True)
class ControlPlane:
    """The control plane of one slot.

    `controllers` adds controller-manager and scheduler; `fast_controllers` lifts the
    controller-manager's 20 requests/s, which would be the limit of every benchmark.
    """

    slot: Slot
    controllers: bool = True
    fast_controllers: bool = False

    @property
    def _state(self) -> Path:
        return self.slot.state

    @property
    def audit_log(self) -> Path:
        """One JSON object a line for each write."""
        return self._state / "audit.log"

    def daemons(self) -> list[Daemon]:
        """In order of start."""
        names = ["etcd", "kube-apiserver"]
        if self.controllers:
            names += ["kube-controller-manager", "kube-scheduler"]
        return [Daemon(name, self._state) for name in names]

    def up(self) -> None:
        """Start what does not run and wait until the API server says that it is ready.

        Raises:
            CommandFailed: a part ended or did not become ready; the message has the end of its log.
        """
        (self._state / "audit-policy.yaml").write_text(yaml.safe_dump(AUDIT_POLICY), encoding="utf-8")
        commands = {
            "etcd": self._etcd(),
            "kube-apiserver": self._apiserver(),
            "kube-controller-manager": self._controller_manager(),
            "kube-scheduler": self._scheduler(),
        }
        for daemon in self.daemons():
            daemon.start(commands[daemon.name], netns=self.slot.namespace)
            if daemon.name == "kube-apiserver":
                self._wait_ready()

    def ready(self) -> bool:
        """Whether the API server answers that it is ready."""
        context = ssl.create_default_context(cafile=str(self._state / "pki" / "ca.crt"))
        context.load_cert_chain(self._state / "pki" / "admin.crt", self._state / "pki" / "admin.key")
        url = f"https://{self.slot.node_address}:6443/readyz"
        try:
            with urllib.request.urlopen(url, context=context, timeout=5) as response:
                return bool(response.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def _wait_ready(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while not self.ready():
            for daemon in self.daemons()[:2]:
                daemon.require_running()
            if time.monotonic() > deadline:
                log = Daemon("kube-apiserver", self._state).log
                raise CommandFailed(f"kube-apiserver was not ready after {READY_SECONDS} s\n{tail(log)}")
            time.sleep(_POLL_SECONDS)

    def _etcd(self) -> list[str | Path]:
        return [
            program("etcd"),
            f"--data-dir={self._state}/etcd",
            "--listen-client-urls=http://127.0.0.1:2379",
            "--advertise-client-urls=http://127.0.0.1:2379",
            "--listen-peer-urls=http://127.0.0.1:2380",
            "--quota-backend-bytes=4294967296",
            # The data need not survive a power cut of the machine.
            "--unsafe-no-fsync",
        ]

    def _apiserver(self) -> list[str | Path]:
        pki = self._state / "pki"
        return [
            program("kube-apiserver"),
            "--etcd-servers=http://127.0.0.1:2379",
            f"--service-cluster-ip-range={self.slot.service_range}",
            # Must not be loopback: the Service `kubernetes` points to it.
            f"--advertise-address={self.slot.node_address}",
            "--secure-port=6443",
            "--kubelet-preferred-address-types=InternalIP",
            "--authorization-mode=Node,RBAC",
            "--allow-privileged=true",
            f"--client-ca-file={pki}/ca.crt",
            f"--tls-cert-file={pki}/apiserver.crt",
            f"--tls-private-key-file={pki}/apiserver.key",
            f"--service-account-key-file={pki}/sa.pub",
            f"--service-account-signing-key-file={pki}/sa.key",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--kubelet-client-certificate={pki}/admin.crt",
            f"--kubelet-client-key={pki}/admin.key",
            f"--requestheader-client-ca-file={pki}/ca.crt",
            # Compulsory where the same authority signs client certificates.
            "--requestheader-allowed-names=front-proxy",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-username-headers=X-Remote-User",
            f"--proxy-client-cert-file={pki}/front-proxy.crt",
            f"--proxy-client-key-file={pki}/front-proxy.key",
            f"--audit-policy-file={self._state}/audit-policy.yaml",
            f"--audit-log-path={self.audit_log}",
            "--audit-log-mode=blocking",
            "--profiling=false",
        ]

    def _controller_manager(self) -> list[str | Path]:
        rate = ("--kube-api-qps=1000", "--kube-api-burst=2000") if self.fast_controllers else ()
        return [
            program("kube-controller-manager"),
            f"--kubeconfig={self._state}/controller-manager.kubeconfig",
            f"--service-account-private-key-file={self._state}/pki/sa.key",
            f"--root-ca-file={self._state}/pki/ca.crt",
            "--use-service-account-credentials",
            f"--cluster-cidr={self.slot.pod_range}",
            "--leader-elect=false",
            "--horizontal-pod-autoscaler-sync-period=5s",
            *rate,
        ]

    def _scheduler(self) -> list[str | Path]:
        rate = ("--kube-api-qps=1000", "--kube-api-burst=2000") if self.fast_controllers else ()
        return [
            program("kube-scheduler"),
            f"--kubeconfig={self._state}/scheduler.kubeconfig",
            "--leader-elect=false",
            *rate,
        ]
