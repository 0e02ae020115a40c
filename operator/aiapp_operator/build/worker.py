"""Background workers: one Deployment for each entry of spec.workers."""

from aiapp_operator.api.app import AIApp
from aiapp_operator.api.manifest import Manifest
from aiapp_operator.api.names import ComponentName
from aiapp_operator.api.serving import Worker
from aiapp_operator.build import service_pod
from aiapp_operator.build.resources import resources
from aiapp_operator.build.service_config import RenderedConfig
from aiapp_operator.config import Settings
from aiapp_service.config import WORKER_PORT

REPLICAS = 1


def deployment(app: AIApp, settings: Settings, config: RenderedConfig, worker: Worker) -> Manifest:
    """The pods that take jobs from the queues of `worker`."""
    return service_pod.deployment(
        app,
        settings,
        config,
        component=ComponentName.WORKER,
        entry=worker.name,
        replicas=REPLICAS if worker.autoscaling is None else None,
        role=["worker", "--name", worker.name, "--host", "0.0.0.0"],  # noqa: S104  # kubelet asks from outside
        port=WORKER_PORT,
        resources=resources(worker.resources, cpu="50m", memory="192Mi", limit="512Mi"),
    )
