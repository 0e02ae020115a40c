"""The OpenAI REST API."""

import time

from aiohttp import web

from aiapp_service.config import ModelKind
from aiapp_service.http import answers, bodies
from aiapp_service.http.calls import CALL
from aiapp_service.http.errors import ApiError
from aiapp_service.llm.router import Route, Router
from aiapp_service.llm.upstream import Endpoint
from aiapp_service.telemetry.metrics import Metrics


class OpenAIApi:
    """Handlers below /v1."""

    def __init__(self, router: Router, metrics: Metrics, owner: str) -> None:
        self._router = router
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
            body = await bodies.read_object(request)
            route = bodies.route_of(self._router, body, ModelKind.CHAT)
            call.model = route.name
            bodies.require_messages(body)
            if bodies.wants_stream(body):
                return await answers.streamed(request, self._router, route, body)
            return await answers.whole(request, self._router, route, Endpoint.CHAT, body)

    async def embeddings(self, request: web.Request) -> web.StreamResponse:
        """POST /v1/embeddings."""
        with self._metrics.active.track_inprogress():
            call = request[CALL]
            call.endpoint = Endpoint.EMBEDDINGS
            body = await bodies.read_object(request)
            route = bodies.route_of(self._router, body, ModelKind.EMBEDDING)
            call.model = route.name
            bodies.require_input(body)
            return await answers.whole(request, self._router, route, Endpoint.EMBEDDINGS, body)

    async def list_models(self, _request: web.Request) -> web.Response:
        """GET /v1/models."""
        data = [self._described(route) for route in self._router.routes.values()]
        return web.json_response({"object": "list", "data": data})

    async def get_model(self, request: web.Request) -> web.Response:
        """GET /v1/models/NAME."""
        name = request.match_info["name"]
        route = self._router.routes.get(name)
        if route is None:
            raise ApiError(404, f"there is no model {name[:100]!r}", code="model_not_found", param="model")
        return web.json_response(self._described(route))

    def _described(self, route: Route) -> dict[str, object]:
        return {"id": route.name, "object": "model", "created": self._created, "owned_by": self._owner}
