"""Removing what an AIApp no longer wants."""

import logging

from aiapp_operator.api.app import AIApp
from aiapp_operator.api.manifest import object_key
from aiapp_operator.api.plan import Plan
from aiapp_operator.kube.client import KubeClient
from aiapp_operator.kube.ownership import is_owned
from aiapp_operator.kube.store import AppKey, ChildStore

log = logging.getLogger(__name__)

# Pods are their controllers' business.
_NEVER = frozenset({"Pod"})


async def prune(client: KubeClient, store: ChildStore, app: AIApp, plan: Plan) -> bool:
    """Delete children that this AIApp owns and the plan neither applies nor holds; gives whether there were any.

    Data that is kept without an owner is never touched: it waits for an AIApp of the same name.

    Raises:
        ApiError: the API server cannot be asked, or refuses.
    """
    wanted = plan.hold | {object_key(manifest) for manifest in plan.apply}
    removed = False
    for key in store.keys(AppKey(app.namespace, app.name)):
        if key in wanted or key.kind in _NEVER:
            continue
        child = store.get(key.kind, app.namespace, key.name)
        if child is None or child["metadata"].get("deletionTimestamp") or not is_owned(child, app):
            continue
        if await client.delete(key.kind, app.namespace, key.name, child["metadata"]["uid"]):
            store.remove(child)
        log.info("pruned", extra={"app": f"{app.namespace}/{app.name}", "child": str(key)})
        removed = True
    return removed
