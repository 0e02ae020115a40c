"""OpenAI's Responses API."""

from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp import web

from aiapp_service.config import ModelKind
from aiapp_service.gateway import Gateway
from aiapp_service.http import bodies
from aiapp_service.http.answers import respond
from aiapp_service.http.calls import CALL
from aiapp_service.http.errors import ApiError, bad_request, not_now
from aiapp_service.llm.upstream import Endpoint
from aiapp_service.pipeline.exchange import Exchange, Outcome
from aiapp_service.responses.asking import turn_of
from aiapp_service.responses.request import no_response
from aiapp_service.responses.store import Record
from aiapp_service.stores.breaker import StoreDown
from aiapp_service.telemetry.metrics import Metrics

_PATH = f"/v1/{Endpoint.RESPONSES}"
_ONE = f"{_PATH}/{{name}}"
_RETRY_SECONDS = "2"
_MOST_ITEMS = 100
_ITEMS = 20


class ResponsesApi:
    """Handlers below /v1/responses."""

    def __init__(self, gateway: Gateway, metrics: Metrics) -> None:
        self._gateway = gateway
        self._metrics = metrics

    def add_to(self, app: web.Application) -> None:
        """Register the paths."""
        app.router.add_post(_PATH, self.create)
        app.router.add_get(_ONE, self.retrieve)
        app.router.add_delete(_ONE, self.delete)
        app.router.add_get(f"{_ONE}/input_items", self.input_items)

    async def create(self, request: web.Request) -> web.StreamResponse:
        """POST /v1/responses, streamed where `stream` is true."""
        with self._metrics.active.track_inprogress():
            call = request[CALL]
            call.endpoint = Endpoint.RESPONSES
            running = self._gateway.current
            body = await bodies.read_object(request)
            running.prompts.add_model(body)
            route = bodies.route_of(running.router, body, ModelKind.CHAT, call)
            call.streamed = bodies.wants_stream(body)
            try:
                turn = await turn_of(running, route, body, call)
            except StoreDown as error:
                raise _not_now(error) from error

            async def run(exchange: Exchange) -> Outcome:
                return await turn.run(exchange, running.run)

            return await respond(request, Exchange(call, route, turn.endpoint, turn.body), run, turn)

    async def retrieve(self, request: web.Request) -> web.Response:
        """GET /v1/responses/NAME."""
        if request.query.get("stream") == "true":
            message = "stream is not supported here: a response is kept when it is complete; leave it out"
            raise bad_request(message, "stream", "unsupported_parameter")
        return web.json_response((await self._record(request)).response)

    async def delete(self, request: web.Request) -> web.Response:
        """DELETE /v1/responses/NAME."""
        name = request.match_info["name"]
        try:
            found = await self._gateway.current.responses.delete(request[CALL].principal.tenant, name)
        except StoreDown as error:
            raise _not_now(error) from error
        if not found:
            raise no_response(name)
        return web.json_response({"id": name, "object": "response", "deleted": True})

    async def input_items(self, request: web.Request) -> web.Response:
        """GET /v1/responses/NAME/input_items: what came with the request, the latest first unless `order` is asc."""
        items = list((await self._record(request)).input)
        order = request.query.get("order", "desc")
        if order not in ("asc", "desc"):
            raise bad_request("order has to be asc or desc", "order")
        return web.json_response(_page(items if order == "asc" else items[::-1], request.query))

    async def _record(self, request: web.Request) -> Record:
        name = request.match_info["name"]
        try:
            found = await self._gateway.current.responses.read(request[CALL].principal.tenant, [name])
        except StoreDown as error:
            raise _not_now(error) from error
        if name not in found:
            raise no_response(name)
        return found[name]


def _page(items: Sequence[Mapping[str, Any]], query: Mapping[str, str]) -> dict[str, Any]:
    limit = query.get("limit", str(_ITEMS))
    if not limit.isdecimal() or not 1 <= int(limit) <= _MOST_ITEMS:
        raise bad_request(f"limit has to be a number from 1 to {_MOST_ITEMS}", "limit")
    after = query.get("after")
    start = next((n for n, item in enumerate(items, start=1) if item["id"] == after), 0)
    if after and not start:
        raise bad_request("after has to name an item of this response", "after")
    page = items[start : start + int(limit)]
    ends = {"first_id": page[0]["id"] if page else None, "last_id": page[-1]["id"] if page else None}
    return {"object": "list", "data": page, **ends, "has_more": start + len(page) < len(items)}


def _not_now(error: StoreDown) -> ApiError:
    message = f"stored responses cannot be looked up now: {error}; try again, or send the conversation as input"
    return not_now(message)
