"""Bringing the whole product up on a cluster: images, Helm chart, a running operator. Again is fine and fast."""

from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from tests.cluster.gotools import program
from tests.cluster.paths import REPOSITORY, cache_dir
from tests.cluster.provider import Cluster, select_cluster
from tests.cluster.steps import CommandFailed, run_logged, step
from tests.stack.kube import Kube

NAMESPACE = "aiapp-system"
RELEASE = "aiapp-operator"
CHART = REPOSITORY / "charts" / "aiapp-operator"
IMAGES = ("operator", "service", "postgres", "redis", "llamacpp", "model")
WAIT = "180s"


@dataclass(frozen=True)
class Platform:
    """A cluster with the operator on it. `images` maps names of tests/cluster/images.py to references."""

    cluster: Cluster
    kube: Kube
    images: dict[str, str]

    @property
    def model_image(self) -> str:
        """The image that carries the local model."""
        return self.images["model"]

    def operator_logs(self, lines: int = 30) -> str:
        """The last lines the operator wrote."""
        return self.kube.kubectl(
            "-n", NAMESPACE, "logs", f"deployment/{RELEASE}", f"--tail={lines}", "--all-containers", check=False
        )


def install(cluster_name: str, console: Console) -> Platform:
    """Bring up the cluster called `cluster_name`, the images, and the operator by its chart.

    Raises:
        CommandFailed: something did not come up; the message has the end of the log that matters.
    """
    cluster = select_cluster(cluster_name)
    cluster.up(console)
    images = cluster.load_images(IMAGES, console)
    platform = Platform(cluster, Kube(cluster.kubeconfig, cluster.kubectl), images)
    with step(console, f"Installing the chart into {NAMESPACE}"):
        platform.kube.namespace(NAMESPACE)
        try:
            helm(platform, "upgrade", "--install", RELEASE, CHART, *_values(images), "--wait", "--timeout", WAIT)
        except CommandFailed as error:
            pods = platform.kube.kubectl("-n", NAMESPACE, "get", "pods", "-o", "wide", check=False)
            raise CommandFailed(f"{error}\n{pods}\n{platform.operator_logs()}") from error
    return platform


def helm(platform: Platform, *arguments: str | Path) -> None:
    """Run helm in the operator's namespace.

    Raises:
        CommandFailed: helm failed; the message has what it said.
    """
    log = cache_dir() / "logs" / "helm.log"
    run_logged([program("helm"), "--namespace", NAMESPACE, *arguments], log, env=platform.kube.environment())


def _values(images: dict[str, str]) -> list[str]:
    repository, _, tag = images["operator"].rpartition(":")
    values = {"image.repository": repository, "image.tag": tag}
    values |= {f"images.{name}": images[name] for name in ("service", "postgres", "redis", "llamacpp")}
    # As strings: a tag may look like a number.
    return [part for key, value in values.items() for part in ("--set-string", f"{key}={value}")]
