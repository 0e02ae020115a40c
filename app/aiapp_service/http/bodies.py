"""Reading requests: what is wrong is said with the name of the field."""

from typing import Any

from aiohttp import web

from aiapp_service.config import ModelKind
from aiapp_service.http import incoming, json_text
from aiapp_service.http.errors import ApiError, bad_request
from aiapp_service.llm.route import Route
from aiapp_service.llm.router import Router
from aiapp_service.pipeline.call import Call


async def read_object(request: web.Request) -> dict[str, Any]:
    """The JSON object of the body.

    Raises:
        ApiError: it is none; says what is wrong where.
    """
    try:
        body = json_text.parse(await incoming.read(request))
    except ValueError as error:
        raise bad_request(f"the body is not valid JSON: {error}") from error
    if not isinstance(body, dict):
        raise bad_request("the body has to be a JSON object")
    return body


def route_of(router: Router, body: dict[str, Any], kind: ModelKind, call: Call) -> Route:
    """The model a request names, noted on `call`.

    Raises:
        ApiError: it names none, one that is not there or not for this caller, or one of another kind.
    """
    name = body.get("model")
    if not isinstance(name, str) or not name:
        raise bad_request("model is required, and has to be a string", "model")
    route = router.routes.get(name)
    principal = call.principal
    if route is None or not route.open_to(principal.tenant, principal.may_ask):
        message = f"there is no model {name[:100]!r}; GET /v1/models lists those there are"
        raise ApiError(404, message, code="model_not_found", param="model")
    if route.kind is not kind:
        wanted = "chat completions" if kind is ModelKind.CHAT else "embeddings"
        raise bad_request(f"model {name!r} is not one for {wanted}", "model", "model_kind_mismatch")
    call.model = route.name
    return route


def require_messages(body: dict[str, Any]) -> None:
    """Raise ApiError unless there is something to answer; a prompt has messages of its own."""
    messages = body.get("messages")
    if messages is None and body.get("prompt") is not None:
        return
    if not isinstance(messages, list) or not messages:
        raise bad_request("messages is required, and has to be a list with at least one message", "messages")
    for number, message in enumerate(messages):
        if not isinstance(message, dict):
            raise bad_request(f"messages[{number}] has to be an object", f"messages[{number}]")


def require_input(body: dict[str, Any]) -> None:
    """Raise ApiError unless there is something to embed."""
    if not body.get("input") or not isinstance(body["input"], (str, list)):
        raise bad_request("input is required, and has to be a text or a list of texts that is not empty", "input")


def wants_stream(body: dict[str, Any]) -> bool:
    """Whether the answer shall be streamed.

    Raises:
        ApiError: `stream` is something else than true, false or null.
    """
    stream = body.get("stream")
    if stream is not None and not isinstance(stream, bool):
        raise bad_request("stream has to be true or false", "stream")
    return bool(stream)
