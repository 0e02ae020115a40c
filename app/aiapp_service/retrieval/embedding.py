"""Vectors of texts, from a model of the app. What is made for jobs is billed by whoever asks for it."""

import base64
import json
import math
import struct
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from aiapp_service.config import ModelKind
from aiapp_service.llm.failures import retry_seconds
from aiapp_service.llm.route import NoBackend, Route
from aiapp_service.llm.router import Router
from aiapp_service.llm.upstream import Endpoint, Reason
from aiapp_service.llm.usage import Usage, cost_of, usage_of
from aiapp_service.pipeline.accounting import estimated_input
from aiapp_service.pipeline.call import Call
from aiapp_service.pipeline.principal import Principal
from aiapp_service.stores.breaker import StoreDown, StoreRefused
from aiapp_service.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from aiapp_service.billing.ledger import Ledger

MOST_TEXTS = 128
# What a backend says in Retry-After is believed up to this.
_MOST_RETRY_AFTER = 300.0

Note = Callable[[Call], None]


class ModelBusy(StoreDown):
    """The model has taken enough for now; it takes more in `seconds`, None: it does not say when."""

    def __init__(self, seconds: float | None) -> None:
        super().__init__("the embedding model is busy: its provider limits how much it takes")
        self.seconds = seconds


class Embedder:
    """Asks the routes of a router; each call is passed to `note`, for the ledger and the metrics."""

    def __init__(self, router: Router, note: Note) -> None:
        self._router = router
        self._note = note

    def require(self, model: str) -> Route:
        """The route of an embedding model.

        Raises:
            StoreRefused: the app has none of this name, any more.
        """
        route = self._router.routes.get(model)
        if route is None or route.kind is not ModelKind.EMBEDDING:
            raise StoreRefused(
                f"this vector store was made with the embedding model {model!r}, which spec.models no longer has:"
                " add it again, or make a new vector store"
            )
        return route

    async def embed(self, model: str, texts: Sequence[str], principal: Principal, request: str) -> list[list[float]]:
        """A vector for each of at most MOST_TEXTS texts. `request` names the call in the ledger.

        Raises:
            ModelBusy: the model has taken enough for now.
            StoreDown: the model does not answer.
            StoreRefused: there is none, or it refuses.
        """
        route = self.require(model)
        body: dict[str, Any] = {"input": list(texts), "encoding_format": "base64"}
        call = Call(request, endpoint=Endpoint.EMBEDDINGS, model=route.name, principal=principal)
        try:
            answer = await self._router.answer(route, Endpoint.EMBEDDINGS, body)
        except NoBackend as error:
            if Reason.RATE_LIMITED in error.reasons:
                asked = retry_seconds(error.retry_after)
                raise ModelBusy(None if asked is None else min(asked, _MOST_RETRY_AFTER)) from error
            raise StoreDown(f"embedding model {model}: {error}") from error
        if answer.status != 200:
            raise StoreRefused(f"embedding model {model}: backend {answer.backend.name} refuses ({answer.status})")
        try:
            document = json.loads(answer.body)
            vectors = _vectors(document, len(texts))
        except (ValueError, LookupError, TypeError, struct.error) as error:
            raise StoreDown(
                f"embedding model {model}: the answer is none that has an embedding for each text"
            ) from error
        call.backend, call.worked, call.usage = answer.backend, True, usage_of(document)
        if call.usage is None:
            call.usage, call.estimated = Usage(input=estimated_input(Endpoint.EMBEDDINGS, body)), True
        call.cost = cost_of(call.usage, answer.backend.price)
        self._note(call)
        return vectors


def _vectors(document: Any, count: int) -> list[list[float]]:
    data = sorted(document["data"], key=lambda entry: entry["index"])
    vectors = [_vector(entry["embedding"]) for entry in data]
    if len(vectors) != count or not vectors[0] or any(len(vector) != len(vectors[0]) for vector in vectors):
        raise ValueError
    return vectors


def _vector(given: Any) -> list[float]:
    if isinstance(given, str):
        raw = base64.b64decode(given, validate=True)
        found = list(struct.unpack(f"<{len(raw) // 4}f", raw))
    else:
        # Not every server knows the shorter form.
        found = [float(value) for value in given]
    if not all(map(math.isfinite, found)):
        raise ValueError
    return found


def noting(metrics: Metrics, ledger: "Ledger | None") -> Note:
    """For an Embedder: counts its calls, and bills them where there is a ledger."""

    def note(call: Call) -> None:
        if call.usage is not None:
            for type_, count in call.usage.by_type().items():
                metrics.tokens.labels(call.model, type_, Endpoint.EMBEDDINGS).inc(count)
        if call.cost is not None:
            metrics.cost.labels(call.model).inc(float(call.cost))
        if ledger is not None:
            ledger.note(call)

    return note
