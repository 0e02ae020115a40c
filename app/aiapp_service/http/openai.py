"""The OpenAI REST API."""

import time

from aiohttp import web

from aiapp_service.config import ModelKind
from aiapp_service.gateway import Gateway
from aiapp_service.http import bodies
from aiapp_service.http.answers import respond
from aiapp_service.http.calls import CALL
from aiapp_service.http.errors import ApiError
from aiapp_service.http.faces import ChatFace
from aiapp_service.llm.route import Route
from aiapp_service.llm.upstream import Endpoint
from aiapp_service.pipeline.exchange import Exchange
from aiapp_service.telemetry.metrics import Metrics

_CHAT = ChatFace()


class OpenAIApi:
    """Handlers below /v1."""

    def __init__(self, gateway: Gateway, metrics: Metrics, owner: str) -> None:
        self._gateway = gateway
        self._metrics = metrics
        self._owner = owner
        self._created = int(time.time())

    def add_to(self, app: web.Application) -> None:
        """Register the paths."""
        app.router.add_post(f"/v1/{Endpoint.CHAT}", self.chat_completions)
        app.router.add_post(f"/v1/{Endpoint.EMBEDDINGS}", self.embeddings)
        app.router.add_get("/v1/models", self.list_models)
        app.router.add_get("/v1/models/{name:.+}", self.get_model)

    async def chat_completions(self, request: web.Request) -> web.StreamResponse:
        """POST /v1/chat/completions, streamed where `stream` is true."""
        with self._metrics.active.track_inprogress():
            call = request[CALL]
            call.endpoint = Endpoint.CHAT
            running = self._gateway.current
            body = await bodies.read_object(request)
            running.prompts.add_model(body)
            route = bodies.route_of(running.router, body, ModelKind.CHAT, call)
            bodies.require_messages(body)
            call.streamed = bodies.wants_stream(body)
            return await respond(request, Exchange(call, route, Endpoint.CHAT, body), running.run, _CHAT)

    async def embeddings(self, request: web.Request) -> web.StreamResponse:
        """POST /v1/embeddings."""
        with self._metrics.active.track_inprogress():
            call = request[CALL]
            call.endpoint = Endpoint.EMBEDDINGS
            running = self._gateway.current
            body = await bodies.read_object(request)
            route = bodies.route_of(running.router, body, ModelKind.EMBEDDING, call)
            bodies.require_input(body)
            body.pop("stream", None)
            return await respond(request, Exchange(call, route, Endpoint.EMBEDDINGS, body), running.run, _CHAT)

    async def list_models(self, request: web.Request) -> web.Response:
        """GET /v1/models: those that the caller may ask."""
        routes = self._gateway.current.router.routes.values()
        principal = request[CALL].principal
        allowed = [route for route in routes if route.open_to(principal.tenant, principal.may_ask)]
        return web.json_response({"object": "list", "data": [self._described(route) for route in allowed]})

    async def get_model(self, request: web.Request) -> web.Response:
        """GET /v1/models/NAME."""
        name = request.match_info["name"]
        route = self._gateway.current.router.routes.get(name)
        principal = request[CALL].principal
        if route is None or not route.open_to(principal.tenant, principal.may_ask):
            raise ApiError(404, f"there is no model {name[:100]!r}", code="model_not_found", param="model")
        return web.json_response(self._described(route))

    def _described(self, route: Route) -> dict[str, object]:
        return {"id": route.name, "object": "model", "created": self._created, "owned_by": self._owner}
