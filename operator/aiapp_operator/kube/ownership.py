"""Whose object is it? Children are never adopted from others, and never overwritten."""

from aiapp_operator.api.app import GROUP, KIND, VERSION, AIApp
from aiapp_operator.api.manifest import Manifest
from aiapp_operator.api.names import MANAGED_BY, app_of
from aiapp_operator.errors import Stalled, Waiting

PREDECESSOR_SECONDS = 2.0


def owner_reference(app: AIApp) -> Manifest:
    """The ownerReference that makes an object a child of `app`."""
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": KIND,
        "name": app.name,
        "uid": app.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def controller_of(existing: Manifest) -> Manifest | None:
    """The ownerReference of the object's controller."""
    references = existing["metadata"].get("ownerReferences") or ()
    return next((reference for reference in references if reference.get("controller")), None)


def is_owned(existing: Manifest, app: AIApp) -> bool:
    """Whether `app` is the controller of the object."""
    controller = controller_of(existing)
    return controller is not None and controller.get("uid") == app.uid


def check(existing: Manifest, kind: str, app: AIApp) -> None:
    """Raise unless the existing object may be applied to for `app`.

    Data of an earlier AIApp of the same name carries our labels and no owner: it is adopted.

    Raises:
        Stalled: it belongs to somebody else; the message names it and its owner.
        Waiting: it belongs to an earlier AIApp of this name and is being removed.
    """
    name = existing["metadata"]["name"]
    controller = controller_of(existing)
    ours = (existing["metadata"].get("labels") or {}).get("app.kubernetes.io/managed-by") == MANAGED_BY
    if controller is None and ours and app_of(existing) == app.name:
        return
    if controller is not None and controller.get("uid") == app.uid:
        return
    if controller is not None and controller.get("kind") == KIND and controller.get("name") == app.name:
        message = f"{kind} {name} of an earlier AIApp {app.name} is still being removed"
        raise Waiting("PredecessorRemains", message, seconds=PREDECESSOR_SECONDS)
    owner = f"{controller.get('kind')} {controller.get('name')}" if controller else "nobody"
    message = f"{kind} {name} exists and belongs to {owner}: delete or rename it, or rename this AIApp"
    raise Stalled("NameConflict", message)
