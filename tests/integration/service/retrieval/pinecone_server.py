"""Pinecone's data plane as its client speaks it, in the shapes of its API reference, with brute force behind them.

Shapes: https://docs.pinecone.io/reference/api/2025-10/data-plane (upsert, query, fetch, delete).
It is no Pinecone: that the real one does what its reference says is not tested here.
"""

import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from tests.integration.service.listening import listening

KEY = "pcsk-test"
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "$eq": lambda have, want: have == want,
    "$ne": lambda have, want: have != want,
    "$gt": lambda have, want: _is_number(have) and have > want,
    "$gte": lambda have, want: _is_number(have) and have >= want,
    "$lt": lambda have, want: _is_number(have) and have < want,
    "$lte": lambda have, want: _is_number(have) and have <= want,
    "$in": lambda have, want: have in want,
    "$nin": lambda have, want: have not in want,
}


class PineconeServer:
    """One index; `status` is what it answers with instead of doing anything."""

    def __init__(self) -> None:
        self.namespaces: dict[str, dict[str, dict[str, Any]]] = {}
        self.status = 200

    @asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        """Gives its URL."""
        app = web.Application(middlewares=[self._checked])
        app.router.add_post("/vectors/upsert", self._upsert)
        app.router.add_post("/vectors/delete", self._delete)
        app.router.add_get("/vectors/fetch", self._fetch)
        app.router.add_post("/query", self._query)
        app.router.add_post("/describe_index_stats", self._stats)
        async with listening(app) as base:
            yield base

    @web.middleware
    async def _checked(self, request: web.Request, handler: Any) -> web.StreamResponse:
        status = self.status if request.headers.get("Api-Key") == KEY else 401
        if status != 200:
            return web.json_response({"error": {"code": "X", "message": "no"}, "status": status}, status=status)
        return await handler(request)

    async def _upsert(self, request: web.Request) -> web.Response:
        body = await request.json()
        space = self.namespaces.setdefault(body.get("namespace", ""), {})
        for vector in body["vectors"]:
            assert set(vector) <= {"id", "values", "metadata"}
            assert all(isinstance(value, (str, int, float, bool)) for value in vector["metadata"].values())
            space[vector["id"]] = vector
        return web.json_response({"upsertedCount": len(body["vectors"])})

    async def _delete(self, request: web.Request) -> web.Response:
        body = await request.json()
        space = self.namespaces.get(body.get("namespace", ""), {})
        doomed = body.get("ids") or [id_ for id_, v in space.items() if _fits(v["metadata"], body["filter"])]
        for id_ in doomed:
            space.pop(id_, None)
        return web.json_response({})

    async def _fetch(self, request: web.Request) -> web.Response:
        space = self.namespaces.get(request.query.get("namespace", ""), {})
        found = {id_: space[id_] for id_ in request.query.getall("ids") if id_ in space}
        return web.json_response({"vectors": found, "namespace": request.query.get("namespace", "")})

    async def _query(self, request: web.Request) -> web.Response:
        body = await request.json()
        space = self.namespaces.get(body.get("namespace", ""), {})
        fitting = [v for v in space.values() if _fits(v["metadata"], body.get("filter", {}))]
        scored = sorted(((_cosine(v["values"], body["vector"]), v["id"]) for v in fitting), reverse=True)
        matches = [{"id": id_, "score": score} for score, id_ in scored[: body["topK"]]]
        return web.json_response(
            {"matches": matches, "namespace": body.get("namespace", ""), "usage": {"readUnits": 1}}
        )

    async def _stats(self, _request: web.Request) -> web.Response:
        counts = {name: {"vectorCount": len(space)} for name, space in self.namespaces.items()}
        total = sum(len(space) for space in self.namespaces.values())
        return web.json_response({"namespaces": counts, "dimension": 4, "indexFullness": 0, "totalVectorCount": total})


def _fits(metadata: dict[str, Any], filter_: dict[str, Any]) -> bool:
    for key, wanted in filter_.items():
        if key == "$and":
            fits = all(_fits(metadata, part) for part in wanted)
        elif key == "$or":
            fits = any(_fits(metadata, part) for part in wanted)
        else:
            fits = all(_COMPARE[operator](metadata.get(key), value) for operator, value in wanted.items())
        if not fits:
            return False
    return True


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _cosine(one: list[float], other: list[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True)) / (math.hypot(*one) * math.hypot(*other) or 1)
