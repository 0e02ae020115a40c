"""A server of the S3 API inside a cluster: one pod with a bucket, which ends with its namespace."""

from dataclasses import dataclass

from rich.console import Console

from tests.stack.install import Platform
from tests.stack.kube import Kube, Manifest
from tests.stack.wait import wait_until

NAME = "s3"
PORT = 7070
BUCKET = "uploads"
ACCESS_KEY = "AKIAENDTOENDTEST"
SECRET_KEY = "secret-half-of-the-access-key"
SECRET = "s3-access"
_UID = 65532


@dataclass(frozen=True)
class ObjectStore:
    """The server of one namespace, and a Secret with the access key to it."""

    kube: Kube
    namespace: str

    @property
    def spec(self) -> Manifest:
        """spec.objectStore of an AIApp of this namespace."""
        endpoint = f"http://{NAME}.{self.namespace}.svc:{PORT}"
        return {"s3": {"endpoint": endpoint, "bucket": BUCKET, "credentialsSecretRef": {"name": SECRET}}}

    def tell_key(self, access: str = ACCESS_KEY, secret: str = SECRET_KEY) -> None:
        """Write an access key into the Secret."""
        keys = {"AWS_ACCESS_KEY_ID": access, "AWS_SECRET_ACCESS_KEY": secret}
        self.kube.secret(SECRET, self.namespace, keys)

    def stop(self) -> None:
        """Take the server away."""
        self._scale(0)

    def start(self) -> None:
        """Bring it up, with an empty bucket."""
        self._scale(1)

    def _scale(self, replicas: int) -> None:
        self.kube.kubectl("-n", self.namespace, "scale", "deployment", NAME, f"--replicas={replicas}")
        wait_until(f"{replicas} pods of the S3 server", lambda: self._ready() == replicas, seconds=90)

    def _ready(self) -> int:
        deployment = self.kube.get("Deployment", NAME, self.namespace) or {}
        return int((deployment.get("status") or {}).get("readyReplicas") or 0)


def object_store(
    platform: Platform, namespace: str, console: Console, *, seed: tuple[str, str] | None = None
) -> ObjectStore:
    """Run one in a namespace. `seed`: an image, and a shell script in it that fills the bucket, which is at $1."""
    image = platform.cluster.load_images(["versitygw"], console)["versitygw"]
    for manifest in (_service(namespace), _deployment(namespace, image, seed)):
        platform.kube.apply(manifest)
    store = ObjectStore(platform.kube, namespace)
    store.tell_key()
    store.start()
    return store


def _service(namespace: str) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": NAME, "namespace": namespace},
        "spec": {"selector": {"app": NAME}, "ports": [{"port": PORT}]},
    }


def _deployment(namespace: str, image: str, seed: tuple[str, str] | None) -> Manifest:
    # A folder is a bucket: a volume inside of the folder of buckets makes one.
    folders = {"data": "/data", "bucket": f"/data/{BUCKET}", "sidecar": "/sidecar"}
    container = {
        "name": NAME,
        "image": image,
        "args": ["--port", f":{PORT}", "--health", "/health", "posix", "--sidecar", "/sidecar", "/data"],
        "env": [{"name": "ROOT_ACCESS_KEY", "value": ACCESS_KEY}, {"name": "ROOT_SECRET_KEY", "value": SECRET_KEY}],
        "ports": [{"containerPort": PORT}],
        "readinessProbe": {"httpGet": {"path": "/health", "port": PORT}, "periodSeconds": 1},
        "volumeMounts": [{"name": name, "mountPath": path} for name, path in folders.items()],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
    }
    init = []
    if seed is not None:
        fill = {"name": "seed", "image": seed[0], "command": ["/bin/sh", "-ec", seed[1], "seed", f"/data/{BUCKET}"]}
        init = [{**fill, "volumeMounts": container["volumeMounts"], "securityContext": container["securityContext"]}]
    security = {"runAsNonRoot": True, "runAsUser": _UID, "fsGroup": _UID, "seccompProfile": {"type": "RuntimeDefault"}}
    pod = {
        "initContainers": init,
        "containers": [container],
        "volumes": [{"name": name, "emptyDir": {}} for name in folders],
        "securityContext": security,
        "terminationGracePeriodSeconds": 1,
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": NAME, "namespace": namespace},
        "spec": {
            "selector": {"matchLabels": {"app": NAME}},
            "template": {"metadata": {"labels": {"app": NAME}}, "spec": pod},
        },
    }
