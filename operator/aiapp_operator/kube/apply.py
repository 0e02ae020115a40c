"""Making the world as planned: server-side apply of what differs, with the cures for what an apply cannot mend."""

import json
import logging
from collections import OrderedDict
from collections.abc import Callable

from aiapp_operator.api.app import AIApp
from aiapp_operator.api.manifest import Manifest
from aiapp_operator.api.names import FIELD_MANAGER
from aiapp_operator.errors import Retry, Stalled, Waiting
from aiapp_operator.kube import ownership
from aiapp_operator.kube.api_errors import Conflict, Forbidden, Invalid
from aiapp_operator.kube.client import KubeClient
from aiapp_operator.kube.handover import leaves_replicas, without_replicas
from aiapp_operator.kube.intent import Difference, differences, has_foreign, intent_of, overlay, stamp
from aiapp_operator.kube.store import ChildStore

log = logging.getLogger(__name__)

# What may be made anew without its pods going away; anything else that is immutable is the user's to solve.
_REMADE = frozenset({"Deployment", "StatefulSet"})
QUOTA_SECONDS = 30.0
NAMESPACE_TERMINATING = "NamespaceTerminating"  # reason
_UNCOVERED_MOST = 10_000

Counted = Callable[[str, str], None]


class Applier:
    """Applies manifests for AIApps. `counted` hears of each result: kind and skipped, applied, replaced or remade."""

    def __init__(self, client: KubeClient, store: ChildStore, counted: Counted) -> None:
        self._client = client
        self._store = store
        self._counted = counted
        # Intents that the API server stores in other words than ours, by uid: applying them again is no help.
        self._uncovered: OrderedDict[str, str] = OrderedDict()

    async def apply(self, app: AIApp, manifest: Manifest) -> bool:
        """Bring one object to what `manifest` says; gives whether anything was written.

        Raises:
            Stalled: only the user can mend it; the message names object and field.
            Waiting: a predecessor is still there, or a quota refuses the object.
            Retry: the object moved meanwhile.
            ApiError: the API server cannot be asked.
        """
        kind, name = manifest["kind"], manifest["metadata"]["name"]
        intent = stamp(manifest, ownership.owner_reference(app))
        if self._store.holds(kind, app.namespace, name, intent_of(intent)):
            self._counted(kind, "skipped")
            return False
        observed = self._store.get(kind, app.namespace, name)
        known = observed or await self._client.get_metadata(kind, app.namespace, name)
        if known is not None:
            ownership.check(known, kind, app)
            if known["metadata"].get("deletionTimestamp"):
                raise Waiting("BeingDeleted", f"{kind} {name} is being deleted and is made anew then", seconds=2.0)
        if observed is not None and self._holds(observed, intent):
            self._counted(kind, "skipped")
            return False
        await self._write(app, intent, observed)
        return True

    def _holds(self, observed: Manifest, intent: Manifest) -> bool:
        if intent_of(observed) != intent_of(intent):
            return False
        found = list(differences(observed, intent))
        if found and self._uncovered.get(observed["metadata"]["uid"]) != _fingerprint(found):
            return False
        self._store.found_to_hold(observed, intent_of(intent))
        return True

    async def _write(self, app: AIApp, intent: Manifest, observed: Manifest | None) -> None:
        kind, name = intent["kind"], intent["metadata"]["name"]
        if observed is not None and leaves_replicas(intent, observed):
            await self._give_up_replicas(intent)
        try:
            result = await self._client.apply(intent)
        except Invalid as error:
            if observed is None:
                raise _refused(kind, name, error) from error
            result = await self._mend(intent, observed, error)
        except Forbidden as error:
            raise _forbidden(kind, name, error) from error
        if has_foreign(result, intent):
            result = await self._replace(intent, result)
        self._counted(kind, "applied")
        self._remember(intent, result)
        self._store.put(result)
        log.info(
            "applied",
            extra={"app": f"{app.namespace}/{app.name}", "child": f"{kind}/{name}", "was_there": observed is not None},
        )

    async def _give_up_replicas(self, intent: Manifest) -> None:
        """Leave the number of pods to an autoscaler, as it is."""
        kind, meta = intent["kind"], intent["metadata"]
        # What is cached has no managers.
        whole = await self._client.get(kind, meta["namespace"], meta["name"])
        managers = without_replicas(whole["metadata"].get("managedFields") or [])
        if managers is None:
            return
        try:
            await self._client.set_managers({**whole, "metadata": {**whole["metadata"], "managedFields": managers}})
        except Conflict as error:
            raise Retry("Conflict", f"{kind} {meta['name']} was changed meanwhile") from error

    async def _mend(self, intent: Manifest, observed: Manifest, error: Invalid) -> Manifest:
        """An apply was refused: foreign entries in the way are replaced, immutable workloads made anew."""
        kind, name = intent["kind"], intent["metadata"]["name"]
        if has_foreign(observed, intent):
            try:
                return await self._replace(intent, observed)
            except Invalid as again:
                error = again
        immutable = [cause.field for cause in error.causes if _says_immutable(cause.message)]
        if immutable and kind in _REMADE:
            meta = observed["metadata"]
            await self._client.delete(kind, meta["namespace"], name, meta["uid"], orphan=True)
            self._counted(kind, "remade")
            log.info("made anew", extra={"child": f"{kind}/{name}", "fields": immutable})
            message = f"{kind} {name} is made anew, since {', '.join(immutable)} cannot change in place"
            raise Waiting("MadeAnew", message, seconds=1.0) from error
        raise _refused(kind, name, error) from error

    async def _replace(self, intent: Manifest, observed: Manifest) -> Manifest:
        """Overwrite lists that are wholly ours, then leave the fields to the apply alone.

        What an update writes belongs to our name as an updater too, beside our name as an applier. A field that
        a later intent drops would then stay. So that second claim is given up.
        """
        kind, name = intent["kind"], intent["metadata"]["name"]
        try:
            await self._client.replace(overlay(observed, intent))
            result = await self._client.apply(intent)
            managers = result["metadata"].get("managedFields") or []
            kept = [entry for entry in managers if not _is_our_update(entry)]
            if len(kept) < len(managers):
                result = await self._client.set_managers(
                    {**result, "metadata": {**result["metadata"], "managedFields": kept}}
                )
        except Conflict as error:
            raise Retry("Conflict", f"{kind} {name} was changed meanwhile") from error
        self._counted(kind, "replaced")
        return result

    def _remember(self, intent: Manifest, result: Manifest) -> None:
        """Keep in mind where the server's words differ from ours, so that it is said once and not applied for ever."""
        uid = result["metadata"]["uid"]
        found = list(differences(result, intent))
        before = self._uncovered.pop(uid, "")
        if not found:
            return
        self._uncovered[uid] = _fingerprint(found)
        if len(self._uncovered) > _UNCOVERED_MOST:
            self._uncovered.popitem(last=False)
        if before != self._uncovered[uid]:
            child = f"{intent['kind']}/{intent['metadata']['name']}"
            fields = [difference.path for difference in found]
            log.warning("stored in other words than applied", extra={"child": child, "fields": fields})


def _fingerprint(found: list[Difference]) -> str:
    return json.dumps(found, sort_keys=True, default=str)


def _says_immutable(message: str) -> bool:
    return "immutable" in message or "forbidden" in message.lower()


def _is_our_update(entry: Manifest) -> bool:
    ours = entry.get("manager") == FIELD_MANAGER and entry.get("operation") == "Update"
    return ours and not entry.get("subresource")


def _refused(kind: str, name: str, error: Invalid) -> Stalled:
    fields = "; ".join(f"{cause.field}: {cause.message}" for cause in error.causes) or error.message
    return Stalled("ChildRefused", f"{kind} {name} is refused by the API server: {fields}")


def _forbidden(kind: str, name: str, error: Forbidden) -> Stalled | Waiting:
    if error.terminating:
        return Waiting(NAMESPACE_TERMINATING, "the namespace is being deleted", seconds=QUOTA_SECONDS)
    if "exceeded quota" in error.message:
        return Waiting("QuotaExceeded", f"{kind} {name}: a quota of the namespace refuses it", seconds=QUOTA_SECONDS)
    return Stalled("ChildForbidden", f"{kind} {name} is forbidden: {error.message}")
