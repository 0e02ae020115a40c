"""Downloads against a real API server: each Job is made once, a new model takes over, the old one is forgotten."""

from pathlib import Path
from typing import Any

from tests.integration.operator.conftest import Simulated, assistant
from tests.integration.operator.process import operator
from tests.integration.operator.test_operator import wait_quiet
from tests.stack.aiapp import AppHandle
from tests.stack.wait import wait_until

STORE = {"endpoint": "https://s3.example.com", "credentialsSecretRef": {"name": "models"}}


def entry(revision: str) -> dict[str, Any]:
    model = {"source": "hf://org/model", "revision": revision, "secretRef": {"name": "hub", "key": "token"}}
    adapter = {"name": "support", "source": "s3://models/support/", "s3": STORE}
    return {"name": "llama", "engine": "vLLM", "model": model, "adapters": [adapter], "cache": {"size": "5Gi"}}


def test_a_new_revision_takes_over_and_then_it_is_quiet(simulated: Simulated, namespace: str, tmp_path: Path) -> None:
    kube = simulated.kube
    kube.secret("hub", namespace, {"token": "t"})
    kube.secret("models", namespace, {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"})
    backends = [{"inference": "llama", "model": "support"}, {"inference": "llama"}]
    models = [
        {"name": "chat", "backends": backends},
        {"name": "embed", "kind": "Embedding", "backends": [{"provider": "fake", "model": "mock-embedding"}]},
    ]
    kube.apply(assistant("app", namespace, inference=[entry("v1")], models=models))
    app = AppHandle(kube, namespace, "app")

    def jobs() -> set[str]:
        found = kube.list("Job", namespace, "aiapp.dev/component=model")
        return {job["metadata"]["name"] for job in found}

    with operator(simulated.kubeconfig, namespace, tmp_path):
        app.wait_ready()
        before = jobs()
        assert len(before) == 2, "the model and its adapter"
        pods = {pod["metadata"]["uid"] for pod in app.pods("inference")}
        app.patch_spec({"inference": [entry("v2")]})
        wait_until(
            "the new model instead of the old one, the adapter as it was",
            lambda: len(now := jobs()) == 2 and len(now & before) == 1,
            seconds=90,
            seen=app.describe,
        )
        app.wait_ready()
        assert not pods & {pod["metadata"]["uid"] for pod in app.pods("inference")}
        wait_quiet(simulated, namespace)
        component = next(c for c in app.read()["status"]["components"] if c["name"] == "inference/llama")
        assert (component["model"], component["revision"]) == ("hf://org/model", "v2")
