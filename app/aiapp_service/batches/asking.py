"""One request of a batch on its way through the gateway's stages, as if it had come to the API."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aiapp_service.billing.row import UsageRow, row_of
from aiapp_service.config import ModelKind
from aiapp_service.gateway import Running
from aiapp_service.http import bodies
from aiapp_service.http.answers import unavailable
from aiapp_service.http.caching import caching_of
from aiapp_service.http.counting import Counting
from aiapp_service.llm.route import NoBackend
from aiapp_service.llm.upstream import Endpoint
from aiapp_service.pipeline.accounting import is_billable
from aiapp_service.pipeline.call import Call
from aiapp_service.pipeline.exchange import Exchange, Next, Outcome, Whole
from aiapp_service.pipeline.principal import Principal
from aiapp_service.responses.asking import turn_of
from aiapp_service.telemetry.metrics import Metrics


@dataclass(frozen=True)
class Answer:
    """What came of one try; `row` is for the ledger, whoever takes the answer writes it."""

    status: int
    body: bytes
    request_id: str
    row: UsageRow | None


class Asker:
    """Asks for one principal."""

    def __init__(self, metrics: Metrics, endpoint: Endpoint, principal: Principal) -> None:
        self._metrics = metrics
        self._counting = Counting(metrics)
        self._endpoint = endpoint
        self._principal = principal

    async def ask(self, running: Running, body: Mapping[str, Any], request_id: str) -> Answer:
        """The answer, which may tell of a mistake in the request.

        Raises:
            ApiError: there is none.
            StoreDown: a response that the request goes on with cannot be looked up.
        """
        call = Call(request_id, endpoint=self._endpoint, principal=self._principal, billed_apart=True)
        status = 500
        try:
            with self._metrics.active.track_inprogress():
                answer = await self._answer(running, dict(body), call)
            status = answer.status
        finally:
            self._counting.count(call, status)
        return Answer(answer.status, answer.body, request_id, row_of(call) if is_billable(call) else None)

    async def _answer(self, running: Running, body: dict[str, Any], call: Call) -> Whole:
        exchange, run = await self._exchange(running, body, call)
        call.caching = caching_of({}, exchange.body)
        async with exchange.cleanup:
            try:
                outcome = await run(exchange)
            except NoBackend as error:
                raise unavailable(error) from error
            assert isinstance(outcome, Whole)  # noqa: S101  # nothing was asked to be streamed
            return outcome

    async def _exchange(self, running: Running, body: dict[str, Any], call: Call) -> tuple[Exchange, Next]:
        if self._endpoint is Endpoint.EMBEDDINGS:
            route = bodies.route_of(running.router, body, ModelKind.EMBEDDING, call)
            bodies.require_input(body)
            body.pop("stream", None)
            return Exchange(call, route, self._endpoint, body), running.run
        running.prompts.add_model(body)
        route = bodies.route_of(running.router, body, ModelKind.CHAT, call)
        body.pop("stream", None)
        if self._endpoint is Endpoint.CHAT:
            bodies.require_messages(body)
            return Exchange(call, route, self._endpoint, body), running.run
        # Nobody goes on with thousands of them, as long as nobody says so.
        body.setdefault("store", False)
        turn = await turn_of(running, route, body, call)

        async def respond(exchange: Exchange) -> Outcome:
            return await turn.run(exchange, running.run)

        return Exchange(call, route, turn.endpoint, turn.body), respond
