"""Making the world as planned: server-side apply of what differs, with the cures for what an apply cannot mend."""

import logging
from collections.abc import Callable

from aiapp_operator.api.app import AIApp
from aiapp_operator.api.manifest import Manifest
from aiapp_operator.errors import Retry, Stalled, Waiting
from aiapp_operator.kube import ownership
from aiapp_operator.kube.api_errors import Conflict, Forbidden, Invalid
from aiapp_operator.kube.client import KubeClient
from aiapp_operator.kube.intent import carries, covers, differences, has_foreign, overlay, stamp
from aiapp_operator.kube.store import ChildStore

log = logging.getLogger(__name__)

# What may be made anew without its pods going away; anything else that is immutable is the user's to solve.
_REMADE = frozenset({"Deployment", "StatefulSet"})
QUOTA_SECONDS = 30.0

Counted = Callable[[str, str], None]


class Applier:
    """Applies manifests for AIApps. `counted` hears of each result: kind and skipped, applied, replaced or remade."""

    def __init__(self, client: KubeClient, store: ChildStore, counted: Counted) -> None:
        self._client = client
        self._store = store
        self._counted = counted
        # Intents that the API server stores in other words than ours, by uid: applying them again is no help.
        self._uncovered: dict[str, tuple[str, ...]] = {}

    async def apply(self, app: AIApp, manifest: Manifest) -> None:
        """Bring one object to what `manifest` says; does nothing where it already is that.

        Raises:
            Stalled: only the user can mend it; the message names object and field.
            Waiting: a predecessor is still there, or a quota refuses the object.
            Retry: the object moved meanwhile.
            ApiError: the API server cannot be asked.
        """
        kind, name = manifest["kind"], manifest["metadata"]["name"]
        intent = stamp(manifest, ownership.owner_reference(app))
        observed = self._store.get(kind, app.namespace, name)
        if observed is None:
            observed = await self._client.get_metadata(kind, app.namespace, name)
            if observed is not None:
                ownership.check(observed, kind, app)
            await self._write(app, intent, None)
            return
        ownership.check(observed, kind, app)
        if observed["metadata"].get("deletionTimestamp"):
            raise Waiting("BeingDeleted", f"{kind} {name} is being deleted and is made anew then", seconds=2.0)
        if self._holds(observed, intent):
            self._counted(kind, "skipped")
            return
        await self._write(app, intent, observed)

    def _holds(self, observed: Manifest, intent: Manifest) -> bool:
        if not carries(observed, intent):
            return False
        found = tuple(differences(observed, intent))
        return not found or self._uncovered.get(observed["metadata"]["uid"]) == found

    async def _write(self, app: AIApp, intent: Manifest, observed: Manifest | None) -> None:
        kind, name = intent["kind"], intent["metadata"]["name"]
        try:
            result = await self._client.apply(intent)
            self._counted(kind, "applied")
        except Invalid as error:
            if observed is None:
                raise _refused(kind, name, error) from error
            result = await self._mend(intent, observed, error)
        except Forbidden as error:
            raise _forbidden(kind, name, error) from error
        if has_foreign(result, intent):
            result = await self._replace(intent, result)
        self._remember(intent, result)
        self._store.put(result)
        log.info(
            "applied",
            extra={"app": f"{app.namespace}/{app.name}", "child": f"{kind}/{name}", "was_there": observed is not None},
        )

    async def _mend(self, intent: Manifest, observed: Manifest, error: Invalid) -> Manifest:
        """An apply was refused: foreign entries in the way are replaced, immutable workloads made anew."""
        kind, name = intent["kind"], intent["metadata"]["name"]
        if has_foreign(observed, intent):
            try:
                return await self._replace(intent, observed)
            except Invalid as again:
                error = again
        immutable = [
            cause.field
            for cause in error.causes
            if "immutable" in cause.message or "forbidden" in cause.message.lower()
        ]
        if immutable and kind in _REMADE:
            meta = observed["metadata"]
            await self._client.delete(kind, meta["namespace"], name, meta["uid"], orphan=True)
            self._counted(kind, "remade")
            log.info("made anew", extra={"child": f"{kind}/{name}", "fields": immutable})
            message = f"{kind} {name} is made anew, since {', '.join(immutable)} cannot change in place"
            raise Waiting("MadeAnew", message, seconds=1.0) from error
        raise _refused(kind, name, error) from error

    async def _replace(self, intent: Manifest, observed: Manifest) -> Manifest:
        try:
            result = await self._client.replace(overlay(observed, intent))
        except Conflict as error:
            raise Retry("Conflict", f"{intent['kind']} {intent['metadata']['name']} was changed meanwhile") from error
        self._counted(intent["kind"], "replaced")
        return result

    def _remember(self, intent: Manifest, result: Manifest) -> None:
        """Keep in mind where the server's words differ from ours, so that it is said once and not applied for ever."""
        uid = result["metadata"]["uid"]
        if covers(result, intent):
            self._uncovered.pop(uid, None)
            return
        found = tuple(differences(result, intent))
        if self._uncovered.get(uid) != found:
            self._uncovered[uid] = found
            child = f"{intent['kind']}/{intent['metadata']['name']}"
            log.warning("stored in other words than applied", extra={"child": child, "fields": list(found)})


def _refused(kind: str, name: str, error: Invalid) -> Stalled:
    fields = "; ".join(f"{cause.field}: {cause.message}" for cause in error.causes) or error.message
    return Stalled("ChildRefused", f"{kind} {name} is refused by the API server: {fields}")


def _forbidden(kind: str, name: str, error: Forbidden) -> Stalled | Waiting:
    if error.terminating:
        return Waiting("NamespaceTerminating", "the namespace is being deleted", seconds=QUOTA_SECONDS)
    if "exceeded quota" in error.message:
        return Waiting("QuotaExceeded", f"{kind} {name}: a quota of the namespace refuses it", seconds=QUOTA_SECONDS)
    return Stalled("ChildForbidden", f"{kind} {name} is forbidden: {error.message}")
