"""Embeddings of questions, from one of the app's own models."""

import json
import math
from dataclasses import dataclass
from typing import Any

from aiapp_service.cache.canonical import digest
from aiapp_service.llm.route import NoBackend, Route
from aiapp_service.llm.router import Answer, Router
from aiapp_service.llm.upstream import Endpoint
from aiapp_service.llm.usage import cost_of, usage_of
from aiapp_service.stores.breaker import Breaker
from aiapp_service.telemetry.metrics import Metrics

# A request waits no longer than this to learn that it was not asked before.
DEADLINE_SECONDS = 1.0


class NoVector(Exception):
    """The model gave none."""


@dataclass(frozen=True)
class Vector:
    """`literal` as pgvector reads it. Only vectors of one space can be compared."""

    literal: str
    space: bytes


class Embedder:
    """Asks `route`; `fingerprint` is that of its backends."""

    def __init__(self, router: Router, route: Route, fingerprint: bytes, metrics: Metrics) -> None:
        self._router = router
        self._route = route
        self._fingerprint = fingerprint
        self._metrics = metrics
        self._breaker = Breaker(f"model {route.name}", DEADLINE_SECONDS, (NoBackend, NoVector))

    async def embed(self, text: str) -> Vector:
        """The vector of `text`.

        Raises:
            StoreDown: the model does not answer in time, or did not a moment ago.
        """
        self._breaker.require()
        return await self._breaker.run(self._embed(text))

    async def _embed(self, text: str) -> Vector:
        body = {"input": text, "encoding_format": "float"}
        answer = await self._router.answer(self._route, Endpoint.EMBEDDINGS, body)
        if answer.status != 200:
            raise NoVector
        try:
            document = json.loads(answer.body)
            values = [float(value) for value in document["data"][0]["embedding"]]
        except (ValueError, TypeError, LookupError) as error:
            raise NoVector from error
        self._count(document, answer)
        if not values or not all(map(math.isfinite, values)):
            raise NoVector
        # Each backend of a model may have an embedding model of its own.
        space = digest(self._fingerprint, answer.backend.name, str(len(values)))
        return Vector(f"[{','.join(map(repr, values))}]", space)

    def _count(self, document: Any, answer: Answer) -> None:
        usage = usage_of(document)
        if usage is None:
            return
        for type_, count in usage.by_type().items():
            self._metrics.tokens.labels(self._route.name, type_, Endpoint.EMBEDDINGS).inc(count)
        cost = cost_of(usage, answer.backend.price)
        if cost is not None:
            self._metrics.cost.labels(self._route.name).inc(float(cost))
