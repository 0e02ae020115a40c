"""The real CloudNativePG on a cluster of the tests: its own manifest, with images that are built here."""

import yaml
from rich.console import Console

from tests.cluster.gotools import module_dir
from tests.cluster.steps import step
from tests.stack.install import CHART, RELEASE, WAIT, Platform, helm
from tests.stack.kube import load_manifests

MODULE = "github.com/cloudnative-pg/cloudnative-pg"
VERSION = "1.28.1"
NAMESPACE = "cnpg-system"
_DEPLOYMENT = "cnpg-controller-manager"


def install(platform: Platform, console: Console) -> None:
    """Install it, and tell our operator of the image for instances. Again is fine.

    Raises:
        RuntimeError: it did not come up.
    """
    images = platform.cluster.load_images(("cnpg-operator", "cloudnativepg"), console)
    with step(console, f"Installing CloudNativePG {VERSION}"):
        # First: a Cluster whose first pod cannot pull its image does not take another one.
        chosen = f"images.cloudnativepg={images['cloudnativepg']}"
        values = ("--reuse-values", "--set-string", chosen)
        helm(platform, "upgrade", RELEASE, CHART, *values, "--wait", "--timeout", WAIT)
        path = module_dir("cloudnativepg", MODULE) / "releases" / f"cnpg-{VERSION}.yaml"
        documents = load_manifests(path)
        for document in documents:
            if document["kind"] == "Deployment":
                container = document["spec"]["template"]["spec"]["containers"][0]
                container["image"] = images["cnpg-operator"]
                container["imagePullPolicy"] = "IfNotPresent"
                # A tenth of a CPU makes a failover wait for it.
                container["resources"]["limits"].pop("cpu")
                name = next(entry for entry in container["env"] if entry["name"] == "OPERATOR_IMAGE_NAME")
                name["value"] = images["cnpg-operator"]
        apply = ("apply", "--server-side", "--force-conflicts", "-f", "-")
        platform.kube.kubectl(*apply, stdin=yaml.safe_dump_all(documents))
        platform.kube.kubectl(
            "-n", NAMESPACE, "rollout", "status", f"deployment/{_DEPLOYMENT}", "--timeout=180s", seconds=200
        )
