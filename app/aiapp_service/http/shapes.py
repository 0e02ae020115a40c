"""Errors in the shape of the API that was asked, wherever in the service they come from."""

from aiohttp import web

from aiapp_service.http.anthropic.errors import error_document
from aiapp_service.http.errors import ApiError

MESSAGES_PATH = "/v1/messages"


def error_response(error: ApiError, path: str, request_id: str) -> web.Response:
    """Anthropic's shape below /v1/messages, OpenAI's everywhere else."""
    if path != MESSAGES_PATH and not path.startswith(f"{MESSAGES_PATH}/"):
        return error.response()
    document = error_document(error.status, str(error), request_id)
    return web.json_response(document, status=error.status, headers={**error.headers, "request-id": request_id})
