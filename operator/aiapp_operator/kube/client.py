"""The one class through which every byte to and from the API server goes."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from aiapp_operator.api.manifest import Manifest
from aiapp_operator.api.names import FIELD_MANAGER
from aiapp_operator.kube.api_errors import Gone, NotFound, Throttled, from_response
from aiapp_operator.kube.resources import RESOURCES
from aiapp_operator.kube.store import Listing
from aiapp_operator.kube.transport import Transport

PAGE = 500
WATCH_SECONDS = 290
THROTTLED_TRIES = 5
THROTTLED_SECONDS = 10.0
_APPLY = "application/apply-patch+yaml"
_MERGE = "application/merge-patch+json"
_JSON = "application/json"
_METADATA_ONLY = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"

Count = Callable[[str, str, int], None]


@dataclass(frozen=True)
class WatchEvent:
    """One event of a watch; `object` of a BOOKMARK holds nothing but its version."""

    type: str
    object: Manifest


def _ignore(_verb: str, _kind: str, _status: int) -> None:
    return


class KubeClient:
    """Typed requests over a transport. `count` hears of each finished request: verb, kind, status."""

    def __init__(self, transport: Transport, count: Count = _ignore) -> None:
        self._transport = transport
        self._count = count

    async def close(self) -> None:
        """Give up all connections."""
        await self._transport.close()

    async def get(self, kind: str, namespace: str | None, name: str) -> Manifest:
        """The whole object. Raises NotFound."""
        return await self._send("get", kind, "GET", RESOURCES[kind].path(namespace, name))

    async def get_metadata(self, kind: str, namespace: str, name: str) -> Manifest | None:
        """metadata alone of an object of any owner; None where there is none."""
        try:
            return await self._send(
                "get", kind, "GET", RESOURCES[kind].path(namespace, name), headers={"Accept": _METADATA_ONLY}
            )
        except NotFound:
            return None

    async def list(self, kind: str, namespace: str | None, selector: str) -> Listing:
        """All objects, read in pages of 500."""
        items: list[Manifest] = []
        resource = RESOURCES[kind]
        params = {"limit": str(PAGE)}
        if selector:
            params["labelSelector"] = selector
        while True:
            page = await self._send("list", kind, "GET", resource.path(namespace), params=params)
            # Items of a list carry neither kind nor version of their own.
            own = {"apiVersion": resource.api_version, "kind": kind}
            items += [{**own, **item} for item in page.get("items") or ()]
            meta = page.get("metadata") or {}
            if not meta.get("continue"):
                return Listing(items, str(meta.get("resourceVersion", "")))
            params["continue"] = meta["continue"]

    async def watch(
        self, kind: str, namespace: str | None, selector: str, resource_version: str
    ) -> AsyncIterator[WatchEvent]:
        """Events after `resource_version`, until the server ends the watch, about every five minutes.

        Raises:
            Gone: the version is too old: list again.
            Unavailable: the connection broke or was silent for too long.
        """
        params = {
            "watch": "1",
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(WATCH_SECONDS),
            "resourceVersion": resource_version,
        }
        if selector:
            params["labelSelector"] = selector
        async for line in self._transport.lines(RESOURCES[kind].path(namespace), params):
            event = json.loads(line)
            if event["type"] == "ERROR":
                status = event["object"]
                if status.get("code") == 410:
                    raise Gone(410, "Gone", str(status.get("message", "")))
                raise from_response(int(status.get("code") or 500), {}, json.dumps(status).encode())
            yield WatchEvent(event["type"], event["object"])

    async def apply(self, manifest: Manifest) -> Manifest:
        """Server-side apply as our field manager, with force."""
        resource = RESOURCES[manifest["kind"]]
        path = resource.path(manifest["metadata"]["namespace"], manifest["metadata"]["name"])
        params = {"fieldManager": FIELD_MANAGER, "force": "true"}
        return await self._send("apply", resource.kind, "PATCH", path, params=params, body=manifest, content=_APPLY)

    async def create(self, manifest: Manifest) -> Manifest:
        """Create. Raises AlreadyExists."""
        resource = RESOURCES[manifest["kind"]]
        path = resource.path(manifest["metadata"].get("namespace"))
        params = {"fieldManager": FIELD_MANAGER}
        return await self._send("create", resource.kind, "POST", path, params=params, body=manifest)

    async def replace(self, manifest: Manifest) -> Manifest:
        """Update the whole object at its metadata.resourceVersion. Raises Conflict."""
        resource = RESOURCES[manifest["kind"]]
        path = resource.path(manifest["metadata"].get("namespace"), manifest["metadata"]["name"])
        params = {"fieldManager": FIELD_MANAGER}
        return await self._send("update", resource.kind, "PUT", path, params=params, body=manifest)

    async def set_managers(self, manifest: Manifest) -> Manifest:
        """Write metadata.managedFields of exactly this version of the object. Raises Conflict."""
        meta = manifest["metadata"]
        resource = RESOURCES[manifest["kind"]]
        body = {"metadata": {"resourceVersion": meta["resourceVersion"], "managedFields": meta["managedFields"]}}
        path = resource.path(meta.get("namespace"), meta["name"])
        params = {"fieldManager": FIELD_MANAGER}
        return await self._send("patch", resource.kind, "PATCH", path, params=params, body=body, content=_MERGE)

    async def annotate(self, kind: str, namespace: str, name: str, annotations: Mapping[str, str]) -> Manifest:
        """Set annotations; for the command line, as its user. The operator itself never writes those of an AIApp."""
        path = RESOURCES[kind].path(namespace, name)
        params = {"fieldManager": "aiapp"}
        body = {"metadata": {"annotations": dict(annotations)}}
        return await self._send("patch", kind, "PATCH", path, params=params, body=body, content=_MERGE)

    async def patch_status(self, kind: str, namespace: str, name: str, uid: str, status: Manifest) -> Manifest:
        """Replace the status of exactly the object with this uid. Raises Conflict for another one of that name."""
        # A merge patch of single fields could not remove conditions: every top-level field is given.
        body = {"metadata": {"uid": uid}, "status": status}
        path = RESOURCES[kind].path(namespace, name, "status")
        params = {"fieldManager": FIELD_MANAGER}
        return await self._send("patch-status", kind, "PATCH", path, params=params, body=body, content=_MERGE)

    async def delete(self, kind: str, namespace: str, name: str, uid: str, *, orphan: bool = False) -> bool:
        """Delete exactly the object with this uid; False while something still holds it. `orphan` leaves its pods.

        An empty uid is whichever object has the name.

        Raises Conflict for another object of that name.
        """
        body = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Orphan" if orphan else "Background",
            **({"preconditions": {"uid": uid}} if uid else {}),
        }
        try:
            answer = await self._send("delete", kind, "DELETE", RESOURCES[kind].path(namespace, name), body=body)
        except NotFound:
            return True
        return "deletionTimestamp" not in (answer.get("metadata") or {})

    async def _send(
        self,
        verb: str,
        kind: str,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: Any = None,
        content: str = _JSON,
    ) -> Manifest:
        data = None if body is None else json.dumps(body, separators=(",", ":")).encode()
        sent = {**(headers or {}), **({"Content-Type": content} if data is not None else {})}
        for attempt in range(THROTTLED_TRIES):
            response = await self._transport.request(method, path, params or {}, sent, data)
            self._count(verb, kind, response.status)
            if response.status < 400:
                answer: Manifest = json.loads(response.body)
                return answer
            error = from_response(response.status, response.headers, response.body)
            if not isinstance(error, Throttled) or attempt == THROTTLED_TRIES - 1:
                break
            # The server says when to come back; every request that is throttled was not carried out.
            await asyncio.sleep(min(error.retry_after, THROTTLED_SECONDS))
        raise error
