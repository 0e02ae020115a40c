"""An API server in memory: what it does with each request, without connections and their trouble."""

import copy
import json
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, NamedTuple

from aiapp_operator.api.crd import crd
from aiapp_operator.api.manifest import Manifest
from aiapp_operator.kube.resources import RESOURCES
from aiapp_operator.kube.transport import Response
from tests.unit.operator.simulation import answers, managed_fields, rules
from tests.unit.operator.simulation.answers import Refusal, answer
from tests.unit.operator.simulation.clock import wall_clock
from tests.unit.operator.simulation.managed_fields import Claims
from tests.unit.operator.simulation.storage import Place, Storage

_KINDS = {resource.plural: resource for resource in RESOURCES.values()}


class Route(NamedTuple):
    """What a URL path names; an empty name stands for a collection."""

    kind: str
    namespace: str
    name: str
    subresource: str

    @property
    def place(self) -> Place:
        return Place(self.kind, self.namespace, self.name)


def route(path: str) -> Route:
    parts = path.split("/")[2:] if path.startswith("/api/") else path.split("/")[3:]
    namespace = ""
    if len(parts) > 3 and parts[1] == "namespaces":
        namespace, parts = parts[2], [parts[0], *parts[3:]]
    plural, name, subresource = (*parts[1:], "", "")[:3]
    return Route(_KINDS[plural].kind, namespace, name, subresource)


class ApiServer:
    """Requests in, responses out.

    `terminating` names namespaces in which nothing can be created any more, `absent` kinds whose API is not served.
    """

    def __init__(self) -> None:
        self.storage = Storage()
        self.terminating: set[str] = set()
        self.absent: set[str] = set()
        self._claims: dict[str, Claims] = {}
        self._uids = 0
        self.create(_installed())

    def handle(
        self, method: str, path: str, params: Mapping[str, str], headers: Mapping[str, str], body: bytes | None
    ) -> Response:
        """Answer a request other than a watch."""
        at = route(path)
        document = json.loads(body) if body else {}
        if at.kind in self.absent:
            return Refusal(404, "NotFound", "the server could not find the requested resource").response
        try:
            if method == "GET":
                return self._read(at, params, headers)
            if method == "POST":
                return answer(self.create({**document}, params.get("fieldManager", "")), 201)
            if method == "DELETE":
                return self._delete(at, document)
            return answer(self._changed(method, at, params, headers, document))
        except Refusal as refusal:
            return refusal.response

    def get(self, kind: str, name: str, namespace: str = "team") -> Manifest | None:
        """An object, for tests and controllers."""
        return self.storage.get(Place(kind, namespace, name))

    def create(self, manifest: Manifest, manager: str = "test") -> Manifest:
        """Create an object. Raises Refusal."""
        kind, meta = manifest["kind"], manifest["metadata"]
        place = Place(kind, meta.get("namespace", ""), meta["name"])
        if place.namespace in self.terminating:
            raise answers.terminating(kind, place.name, place.namespace)
        if self.storage.get(place) is not None:
            raise answers.already_exists(kind, place.name)
        paths = frozenset(managed_fields.fields(manifest))
        return self._store_new(place, manifest, {(manager, "Update"): paths})

    def set_status(self, place: Place, status: Manifest) -> None:
        """What a controller says of an object, if it is still there."""
        live = self.storage.get(place)
        if live is not None:
            self._put(place, live, {**live, "status": status})

    def change(self, place: Place, edit: Callable[[Manifest], None], manager: str = "test") -> Manifest | None:
        """Change an object in place as somebody else would; None where there is none."""
        live = self.storage.get(place)
        if live is None:
            return None
        after = copy.deepcopy(live)
        edit(after)
        return self._store(place, live, after, manager)

    def delete(self, place: Place) -> Manifest | None:
        """Delete an object; what is left of it while finalizers hold it."""
        live = self.storage.get(place)
        if live is None:
            return None
        if live["metadata"].get("finalizers"):
            stamp = wall_clock().strftime("%Y-%m-%dT%H:%M:%SZ")
            meta = {"deletionTimestamp": stamp, **live["metadata"]}
            return self._put(place, live, {**live, "metadata": meta})
        self.storage.remove(place)
        return None

    def _read(self, at: Route, params: Mapping[str, str], headers: Mapping[str, str]) -> Response:
        if not at.name:
            return self.page(at, params, self.storage.version)
        found = self._existing(at)
        if "PartialObjectMetadata" in headers.get("Accept", ""):
            found = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": found["metadata"]}
        return answer(found)

    def page(self, at: Route, params: Mapping[str, str], version: int) -> Response:
        """A page of a collection as it was at `version`."""
        start = int(params.get("continue") or 0)
        limit = int(params.get("limit") or 500)
        found = [
            {key: value for key, value in manifest.items() if key not in {"kind", "apiVersion"}}
            for manifest in self.storage.at(version, at.kind)
            if at.namespace in {"", manifest["metadata"]["namespace"]}
            and selected(manifest, params.get("labelSelector", ""))
        ]
        meta = {"resourceVersion": str(version)}
        if len(found) > start + limit:
            meta["continue"] = str(start + limit)
        return answer({"kind": f"{at.kind}List", "metadata": meta, "items": found[start : start + limit]})

    def _delete(self, at: Route, options: Manifest) -> Response:
        found = self._existing(at)
        uid = (options.get("preconditions") or {}).get("uid")
        if uid not in {None, found["metadata"]["uid"]}:
            raise answers.conflict(at.kind, at.name, "the UID in the precondition does not match")
        left = self.delete(at.place)
        return answer(left or {"kind": "Status", "apiVersion": "v1", "status": "Success"})

    def _changed(
        self, method: str, at: Route, params: Mapping[str, str], headers: Mapping[str, str], document: Manifest
    ) -> Manifest:
        manager = params.get("fieldManager", "")
        if method == "PATCH" and "apply-patch" in headers.get("Content-Type", ""):
            return self._apply(at, document, manager)
        live = self._existing(at)
        expected = document["metadata"].get("resourceVersion")
        if expected not in {None, live["metadata"]["resourceVersion"]}:
            raise answers.conflict(at.kind, at.name, "the object has been modified")
        if document["metadata"].get("uid") not in {None, live["metadata"]["uid"]}:
            raise answers.conflict(at.kind, at.name, "Precondition failed: UID in precondition")
        if at.subresource == "status":
            return self._put(at.place, live, {**live, "status": merge_patch(live.get("status"), document["status"])})
        if method == "PATCH":
            return self._set_managers(at.place, live, document["metadata"]["managedFields"])
        return self._store(at.place, live, {**document, "status": live.get("status")}, manager)

    def _apply(self, at: Route, intent: Manifest, manager: str) -> Manifest:
        live = self.storage.get(at.place)
        if live is None:
            if at.namespace in self.terminating:
                raise answers.terminating(at.kind, at.name, at.namespace)
            return self._store_new(at.place, intent, {(manager, "Apply"): frozenset(managed_fields.fields(intent))})
        uid = live["metadata"]["uid"]
        after, claims = managed_fields.applied(live, intent, self._claims[uid], manager)
        stored = self._put(at.place, live, after, claims)
        self._claims[uid] = claims
        return stored

    def _store_new(self, place: Place, manifest: Manifest, claims: Claims) -> Manifest:
        self._uids += 1
        uid = f"uid-{self._uids}"
        self._claims[uid] = claims
        meta: Manifest = {**manifest["metadata"], "uid": uid, "generation": 1}
        if rules.finalizers(place.kind):
            meta["finalizers"] = rules.finalizers(place.kind)
        meta["managedFields"] = _entries(claims)
        return self.storage.put(place, rules.defaulted({**manifest, "metadata": meta}))

    def _store(self, place: Place, live: Manifest, after: Manifest, manager: str) -> Manifest:
        uid = live["metadata"]["uid"]
        gone = managed_fields.fields(live).keys() - managed_fields.fields(after).keys()
        claims = managed_fields.updated(self._claims[uid], managed_fields.changed(live, after), manager, gone)
        stored = self._put(place, live, after, claims)
        self._claims[uid] = claims
        return stored

    def _set_managers(self, place: Place, live: Manifest, entries: list[Manifest]) -> Manifest:
        uid = live["metadata"]["uid"]
        kept = {(entry["manager"], entry["operation"]): managed_fields.told(entry) for entry in entries}
        self._claims[uid] = {
            key: paths - (managed_fields.TOLD - kept[key]) for key, paths in self._claims[uid].items() if key in kept
        }
        return self._put(place, live, live, self._claims[uid])

    def _put(self, place: Place, live: Manifest, after: Manifest, claims: Claims | None = None) -> Manifest:
        """Store under a new version unless nothing changes; let go of what no finalizer holds."""
        causes = list(rules.refused(live, after))
        if causes:
            raise answers.invalid(place.kind, place.name, causes)
        meta = {**after["metadata"], **{k: live["metadata"][k] for k in ("uid", "generation", "resourceVersion")}}
        if claims is not None:
            meta["managedFields"] = _entries(claims)
        if after.get("spec") != live.get("spec") or ("deletionTimestamp" in meta) != (
            "deletionTimestamp" in live["metadata"]
        ):
            meta["generation"] += 1
        after = rules.defaulted({key: value for key, value in after.items() if value is not None} | {"metadata": meta})
        if after == live:
            return live
        stored = self.storage.put(place, after)
        if meta.get("deletionTimestamp") and not meta.get("finalizers"):
            self.storage.remove(place)
        return stored

    def _existing(self, at: Route) -> Manifest:
        found = self.storage.get(at.place)
        if found is None:
            raise answers.not_found(at.kind, at.name)
        return found


@cache
def _installed() -> Manifest:
    return crd()


def selected(manifest: Manifest, selector: str) -> bool:
    """Whether the labels are as `selector` says: `key=value` joined by commas."""
    labels = manifest["metadata"].get("labels") or {}
    wanted = (term.partition("=") for term in selector.split(",") if term)
    return all(labels.get(key) == value for key, _, value in wanted)


def merge_patch(value: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(patch, dict):
        return patch
    result = dict(value) if isinstance(value, dict) else {}
    for key, change in patch.items():
        if change is None:
            result.pop(key, None)
        else:
            result[key] = merge_patch(result.get(key), change)
    return result


def _entries(claims: Claims) -> list[Manifest]:
    return [
        {
            "manager": manager,
            "operation": operation,
            "fieldsType": "FieldsV1",
            "fieldsV1": managed_fields.fields_v1(paths),
        }
        for (manager, operation), paths in sorted(claims.items())
    ]
