"""Removing what an AIApp no longer wants."""

import logging

from aiapp_operator.api.app import AIApp
from aiapp_operator.api.manifest import ObjectKey, object_key
from aiapp_operator.api.plan import Plan
from aiapp_operator.kube.client import KubeClient
from aiapp_operator.kube.ownership import is_owned
from aiapp_operator.kube.store import AppKey, ChildStore

log = logging.getLogger(__name__)

# Pods are their controllers' business.
_NEVER = frozenset({"Pod"})


async def prune(client: KubeClient, store: ChildStore, app: AIApp, plan: Plan) -> list[ObjectKey]:
    """Delete children that this AIApp owns and the plan neither applies nor holds; gives their keys.

    Data that is kept without an owner is never touched: it waits for an AIApp of the same name.

    Raises:
        ApiError: the API server cannot be asked, or refuses.
    """
    wanted = plan.hold | {object_key(manifest) for manifest in plan.apply}
    removed: list[ObjectKey] = []
    for child in store.children(AppKey(app.namespace, app.name)):
        key = object_key(child)
        meta = child["metadata"]
        if key in wanted or key.kind in _NEVER or meta.get("deletionTimestamp") or not is_owned(child, app):
            continue
        await client.delete(key.kind, app.namespace, key.name, meta["uid"])
        log.info("pruned", extra={"app": f"{app.namespace}/{app.name}", "child": str(key)})
        removed.append(key)
    return removed
