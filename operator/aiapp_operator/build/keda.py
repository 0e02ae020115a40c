"""Scaling inference to zero pods: a ScaledObject of KEDA, which wakes it by requests that wait in the gateway.

A HorizontalPodAutoscaler cannot leave zero. Without KEDA such an entry has one pod, and no autoscaler.
"""

from aiapp_operator.api import names
from aiapp_operator.api.app import AIApp
from aiapp_operator.api.inference import Inference
from aiapp_operator.api.manifest import Manifest
from aiapp_operator.api.names import ComponentName
from aiapp_operator.build import autoscaler
from aiapp_operator.build.metadata import child
from aiapp_operator.config import Settings

KIND = "ScaledObject"
METRIC = "ai_inference_requests"  # of the service: requests that are under way or wait
# How soon a request that waits is noticed, in seconds; Prometheus has to scrape as often.
_POLL_SECONDS = 5


def to_zero(entry: Inference) -> bool:
    """Whether `entry` may have no pods."""
    return entry.autoscaling is not None and entry.autoscaling.min_replicas == 0


def scaled_objects(app: AIApp, settings: Settings) -> list[Manifest]:
    """One for each entry that may have no pods."""
    return [_scaled_object(app, settings, entry) for entry in app.spec.inference if to_zero(entry)]


def without_it(app: AIApp, manifest: Manifest) -> Manifest:
    """`manifest` where KEDA is missing: one pod, if it may have none otherwise."""
    meta = manifest["metadata"]
    idle = {names.part(app.name, ComponentName.INFERENCE, e.name) for e in app.spec.inference if to_zero(e)}
    if manifest["kind"] != "Deployment" or meta["name"] not in idle:
        return manifest
    return {**manifest, "spec": {"replicas": 1, **manifest["spec"]}}


def _scaled_object(app: AIApp, settings: Settings, entry: Inference) -> Manifest:
    autoscaling = entry.autoscaling
    assert autoscaling is not None  # noqa: S101  # to_zero
    name = names.part(app.name, ComponentName.INFERENCE, entry.name)
    manifest = child(app, KIND, name, ComponentName.INFERENCE, entry.name)
    labels = f'namespace="{app.namespace}",aiapp="{app.name}",inference="{entry.name}"'
    manifest["spec"] = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
        "pollingInterval": _POLL_SECONDS,
        "cooldownPeriod": autoscaling.idle_seconds,
        "minReplicaCount": 0,
        "maxReplicaCount": autoscaling.max_replicas,
        "triggers": [
            {
                "type": "prometheus",
                "metadata": {
                    "serverAddress": settings.prometheus_url,
                    "query": f"sum({METRIC}{{{labels}}})",
                    "threshold": str(autoscaling.target_waiting_requests),
                    "activationThreshold": "0",
                },
            }
        ],
    }
    behavior = autoscaler.behavior(autoscaling.behavior)
    if behavior:
        manifest["spec"]["advanced"] = {"horizontalPodAutoscalerConfig": {"behavior": behavior}}
    return manifest
