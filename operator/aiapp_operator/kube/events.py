"""Kubernetes Events: one for each condition that moved, none otherwise."""

import logging
import random

from aiapp_operator.api.app import GROUP, KIND, VERSION, AIApp
from aiapp_operator.api.conditions import Transition
from aiapp_operator.kube.api_errors import ApiError
from aiapp_operator.kube.client import KubeClient

log = logging.getLogger(__name__)

_NOTE_CHARACTERS = 1024
_REASON_CHARACTERS = 128


async def publish(
    client: KubeClient, app: AIApp, transition: Transition, *, now: str, identity: str, rng: random.Random
) -> None:
    """Send one Event about `app`. Events are a courtesy: one that cannot be sent is logged and forgotten."""
    event = {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": f"{app.name}.{rng.getrandbits(64):016x}", "namespace": app.namespace},
        "eventTime": now,
        "type": "Normal" if transition.normal else "Warning",
        "reason": transition.reason[:_REASON_CHARACTERS],
        "note": f"{transition.type}: {transition.message}"[:_NOTE_CHARACTERS],
        "action": "Reconcile",
        "reportingController": f"{GROUP}/operator",
        "reportingInstance": identity[:_REASON_CHARACTERS],
        "regarding": {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": KIND,
            "name": app.name,
            "namespace": app.namespace,
            "uid": app.uid,
        },
    }
    try:
        await client.create(event)
    except ApiError as error:
        log.warning("event not sent", extra={"app": f"{app.namespace}/{app.name}", "error": error.reason})
