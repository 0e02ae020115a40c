"""Watches: the lines of a response that goes on."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable, Mapping

from aiapp_operator.api.manifest import Manifest
from aiapp_operator.kube.api_errors import Unavailable
from tests.unit.operator.simulation import answers
from tests.unit.operator.simulation.apiserver import ApiServer, Route, selected
from tests.unit.operator.simulation.clock import seconds
from tests.unit.operator.simulation.storage import Change

BOOKMARK_SECONDS = 60.0


def line(type_: str, document: Manifest) -> bytes:
    return json.dumps({"type": type_, "object": document}).encode()


async def watch(
    server: ApiServer,
    at: Route,
    params: Mapping[str, str],
    rng: random.Random,
    *,
    lag: Callable[[], float],
    breaks: float,
) -> AsyncIterator[bytes]:
    """Events of a collection after a version, each up to `lag()` seconds late, until `timeoutSeconds` are over.

    Raises:
        Unavailable: the connection broke, at the time `breaks` of the loop's clock.
    """
    storage = server.storage
    version = int(params["resourceVersion"])
    ends = seconds() + float(params["timeoutSeconds"])
    while True:
        if version < storage.version:
            await asyncio.sleep(rng.uniform(0.0, lag()))
        if version < storage.compacted:
            yield line("ERROR", answers.too_old(version, storage.version).status)
            return
        for change in list(storage.since(version)):
            version = change.version
            event = seen(change, at, params.get("labelSelector", ""))
            if event is not None:
                yield event
        if version < storage.version:
            continue
        left = min(ends, breaks) - seconds()
        try:
            async with asyncio.timeout(min(left, BOOKMARK_SECONDS)):
                await storage.changed()
        except TimeoutError:
            if seconds() >= breaks:
                raise Unavailable(0, "ClientPayloadError", "the watch broke") from None
            if left <= BOOKMARK_SECONDS:
                return
            yield line("BOOKMARK", {"kind": at.kind, "metadata": {"resourceVersion": str(version)}})


def seen(change: Change, at: Route, selector: str) -> bytes | None:
    """What a watch with this selector is told of a change; None when it is not concerned."""
    if change.place.kind != at.kind or at.namespace not in {"", change.place.namespace}:
        return None
    before, after = (m if m is not None and selected(m, selector) else None for m in (change.before, change.after))
    if after is not None:
        return line("ADDED" if before is None else "MODIFIED", after)
    if before is None:
        return None
    # The last state, under the version of its end.
    last = change.after or before
    return line("DELETED", {**last, "metadata": {**last["metadata"], "resourceVersion": str(change.version)}})
