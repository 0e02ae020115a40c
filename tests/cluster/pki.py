"""Certificates and kubeconfigs of a local control plane: one authority, one certificate for each part."""

from base64 import b64encode
from dataclasses import dataclass
from pathlib import Path

import trustme
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.cluster.slots import Slot

NODE_NAME = "node1"


@dataclass(frozen=True)
class Identity:
    """Who a certificate speaks for: a user name, a group, the names it serves under."""

    user: str
    group: str | None = None
    serves: tuple[str, ...] = ()


def identities(slot: Slot) -> dict[str, Identity]:
    """Every certificate of a cluster."""
    api = ("kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost", "127.0.0.1")
    return {
        "apiserver": Identity("kube-apiserver", None, (*api, slot.api_service, slot.node_address)),
        "admin": Identity("admin", "system:masters"),
        "controller-manager": Identity("system:kube-controller-manager"),
        "scheduler": Identity("system:kube-scheduler"),
        "kubelet": Identity(f"system:node:{NODE_NAME}", "system:nodes", (NODE_NAME, slot.node_address, "127.0.0.1")),
        "proxy": Identity("system:kube-proxy"),
        "front-proxy": Identity("front-proxy"),
    }


def write(slot: Slot, folder: Path) -> None:
    """Write the authority, all certificates with their keys, and the service account key pair into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    authority = trustme.CA(organization_name="aiapp test bed")
    authority.cert_pem.write_to_path(folder / "ca.crt")
    for name, identity in identities(slot).items():
        # A certificate without any name in it would have an empty extension that Go refuses.
        serves = identity.serves or (f"{name}.invalid",)
        issued = authority.issue_cert(*serves, common_name=identity.user, organization_name=identity.group)
        issued.cert_chain_pems[0].write_to_path(folder / f"{name}.crt")
        issued.private_key_pem.write_to_path(folder / f"{name}.key")
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = serialization.Encoding.PEM
    (folder / "sa.key").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption())
    )
    (folder / "sa.pub").write_bytes(key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo))


def write_kubeconfig(path: Path, slot: Slot, pki: Path, user: str) -> None:
    """A kubeconfig for one of the identities, with everything embedded so that it can be copied."""
    cluster = {
        "server": f"https://{slot.node_address}:6443",
        "certificate-authority-data": _base64(pki / "ca.crt"),
    }
    credentials = {
        "client-certificate-data": _base64(pki / f"{user}.crt"),
        "client-key-data": _base64(pki / f"{user}.key"),
    }
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": slot.namespace, "cluster": cluster}],
        "users": [{"name": user, "user": credentials}],
        "contexts": [{"name": slot.namespace, "context": {"cluster": slot.namespace, "user": user}}],
        "current-context": slot.namespace,
    }
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    path.chmod(0o600)


def _base64(path: Path) -> str:
    return b64encode(path.read_bytes()).decode("ascii")
