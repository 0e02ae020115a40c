"""Anthropic's Messages API: the same models, pipeline and keys, asked in another language."""

import json
from typing import Any

from aiohttp import web

from aiapp_service.config import ModelKind
from aiapp_service.gateway import Gateway
from aiapp_service.http import bodies
from aiapp_service.http.answers import respond
from aiapp_service.http.anthropic.face import MessagesFace
from aiapp_service.http.anthropic.request import chat_messages, chat_request, chat_tools, wants_thoughts
from aiapp_service.http.calls import CALL
from aiapp_service.http.shapes import MESSAGES_PATH
from aiapp_service.llm.upstream import Endpoint
from aiapp_service.pipeline.accounting import estimated_input
from aiapp_service.pipeline.exchange import Exchange
from aiapp_service.telemetry.metrics import Metrics


class MessagesApi:
    """Handlers below /v1/messages."""

    def __init__(self, gateway: Gateway, metrics: Metrics) -> None:
        self._gateway = gateway
        self._metrics = metrics

    def add_to(self, app: web.Application) -> None:
        """Register the paths."""
        app.router.add_post(MESSAGES_PATH, self.create)
        app.router.add_post(f"{MESSAGES_PATH}/count_tokens", self.count_tokens)

    async def create(self, request: web.Request) -> web.StreamResponse:
        """POST /v1/messages, streamed where `stream` is true. In metrics and limits it is a chat completion."""
        with self._metrics.active.track_inprogress():
            call = request[CALL]
            call.endpoint = Endpoint.CHAT
            call.headers["request-id"] = call.request_id
            running = self._gateway.current
            body = await bodies.read_object(request)
            route = bodies.route_of(running.router, body, ModelKind.CHAT, call)
            call.streamed = bodies.wants_stream(body)
            exchange = Exchange(call, route, Endpoint.CHAT, chat_request(body))
            face = MessagesFace(call.request_id, thoughts=wants_thoughts(body))
            return await respond(request, exchange, running.run, face)

    async def count_tokens(self, request: web.Request) -> web.Response:
        """POST /v1/messages/count_tokens: an estimate by length, as no backend is asked; images count nothing."""
        body = await bodies.read_object(request)
        bodies.route_of(self._gateway.current.router, body, ModelKind.CHAT, request[CALL])
        asked: list[Any] = [*chat_messages(body), json.dumps(chat_tools(body).get("tools", []), ensure_ascii=False)]
        return web.json_response({"input_tokens": estimated_input(Endpoint.CHAT, {"messages": asked})})
