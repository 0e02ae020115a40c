"""A model server that has to stop first finishes what it works on.

Kubernetes takes the pod out of its Service and runs this before it tells the engine to stop. The script asks the
engine's own metrics, by whatever its image has for that, and ends when nothing runs and nothing waits.
"""

from aiapp_operator.api.inference import Inference
from aiapp_operator.api.manifest import Manifest
from aiapp_operator.build.inference.engine import EngineSpec, drain_seconds
from aiapp_operator.build.scripts import DRAIN, shell

# Proxies and the gateway learn of a stopping pod within this time (seconds).
ENDPOINT_LAG = 5
# Between the signal to stop and the end of the process.
STOP_SECONDS = 30


def lifecycle(inference: Inference, engine: EngineSpec) -> Manifest:
    """Fields of the container; none where the engine's metrics are not known."""
    metrics = engine.metrics
    if metrics is None:
        return {}
    times = [str(drain_seconds(inference)), str(ENDPOINT_LAG)]
    arguments = [str(inference.port), metrics.path, *times, metrics.running, metrics.waiting]
    return {"lifecycle": {"preStop": {"exec": {"command": shell(DRAIN, "drain", *arguments)}}}}


def grace_seconds(inference: Inference) -> int:
    """terminationGracePeriodSeconds: beyond it the pod is killed, whatever it works on."""
    return ENDPOINT_LAG + drain_seconds(inference) + STOP_SECONDS
