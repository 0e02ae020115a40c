"""KEDA's API appears on a real API server: it takes what we make for it, and no pod moves by that."""

from pathlib import Path

from tests.cluster.gotools import module_dir
from tests.integration.operator.conftest import Simulated, assistant
from tests.integration.operator.process import operator
from tests.integration.operator.test_operator import wait_quiet
from tests.stack.aiapp import AppHandle
from tests.stack.wait import wait_until

SCALED = {
    "minReplicas": 0,
    "maxReplicas": 3,
    "idleSeconds": 60,
    "behavior": {"scaleDown": {"stabilizationWindowSeconds": 30}},
}
LLAMA = {
    "name": "llama",
    "engine": "llamaCpp",
    "model": {"source": "image://models:1#/llama.gguf"},
    "autoscaling": SCALED,
}
NAME = "app-inference-llama"
CRD = "keda.sh_scaledobjects.yaml"


def test_without_keda_there_is_one_pod_and_with_it_a_scaled_object(
    simulated: Simulated, namespace: str, tmp_path: Path
) -> None:
    kube = simulated.kube
    models = [{"name": "chat", "backends": [{"inference": "llama"}]}]
    kube.apply(assistant("app", namespace, api={"auth": {"anonymous": True}}, inference=[LLAMA], models=models))
    app = AppHandle(kube, namespace, "app")
    crd = module_dir("keda", "github.com/kedacore/keda/v2") / "config" / "crd" / "bases" / CRD
    with operator(simulated.kubeconfig, namespace, tmp_path):
        app.wait_ready()
        missing = app.wait_condition("AutoscalingActive", "False", reason="KEDAMissing")
        assert "install it (https://keda.sh)" in missing["message"]
        assert app.read()["status"]["inference"] == "1/1"
        try:
            kube.install_crd(crd)
            wait_until("a ScaledObject", lambda: kube.get("ScaledObject", NAME, namespace), seconds=60)
            app.wait_condition("AutoscalingActive", "Unknown", reason="Starting")
            wait_quiet(simulated, namespace)
            made = kube.get("ScaledObject", NAME, namespace)
            assert made is not None
            assert made["spec"]["minReplicaCount"] == 0
            assert (
                f'namespace="{namespace}",aiapp="app",inference="llama"'
                in made["spec"]["triggers"][0]["metadata"]["query"]
            )
            deployment = kube.get("Deployment", NAME, namespace)
            assert deployment is not None
            assert deployment["spec"]["replicas"] == 1, "the number of pods is KEDA's now, and did not move"
            app.wait_ready()
        finally:
            kube.kubectl("delete", "-f", str(crd), "--wait=true")
        app.wait_condition("AutoscalingActive", "False", reason="KEDAMissing", seconds=90)
