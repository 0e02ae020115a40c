"""What answers while the app sleeps: one small process that knows no configuration, no Secret and no database.

Every request gets 503 with `Retry-After`, in the shape of the API that it was for. Nothing is forwarded or kept.
"""

import logging
import uuid

from aiohttp import web
from prometheus_client import CollectorRegistry

from aiapp_service.http.anthropic.errors import error_document
from aiapp_service.http.errors import ApiError
from aiapp_service.http.probes import add_probes
from aiapp_service.http.server import listen, stop_signals

log = logging.getLogger(__name__)

MESSAGE = "this app sleeps: whoever runs it has set it to sleep, and nothing answers until it is woken"
CODE = "app_sleeping"
_ANTHROPIC = "/v1/messages"
# Its answers are short, so it need not wait long for them.
_DRAIN_SECONDS = 5.0
_HEALTH = {"status": "unhealthy", "checks": {"app": {"status": "error", "message": MESSAGE}}}


def application(retry_seconds: int) -> web.Application:
    """Answers everything; probes say that this process is well, and /health that the app is not there."""
    app = web.Application()

    async def asleep(request: web.Request) -> web.Response:
        request_id = f"req_{uuid.uuid4().hex}"
        headers = {"Retry-After": str(retry_seconds), "x-request-id": request_id}
        if request.path.startswith(_ANTHROPIC):
            return web.json_response(error_document(503, MESSAGE, request_id), status=503, headers=headers)
        return ApiError(503, MESSAGE, type_="server_error", code=CODE, headers=headers).response()

    add_probes(app, live=lambda: "", ready=lambda: "", health=lambda: _HEALTH, registry=CollectorRegistry())
    app.router.add_route("*", "/{path:.*}", asleep)
    return app


async def serve(host: str, port: int, retry_seconds: int) -> None:
    """Answer until told to stop."""
    stop = stop_signals()
    runner = await listen(application(retry_seconds), host, port, drain_seconds=_DRAIN_SECONDS)
    await stop.wait()
    await runner.cleanup()
