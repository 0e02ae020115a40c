"""Cross-origin requests of browsers: which pages may call, and what they may see of an answer.

Errors and streams carry the headers too, else a page learns of a 429 only that something went wrong.
"""

import re
from collections.abc import Awaitable, Callable

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from aiapp_service.gateway import Gateway
from aiapp_service.http.errors import ApiError

METHODS = "GET, POST, DELETE"
KNOWN_SECONDS = "600"
ANY = "*"
API = "/v1/"
_DEFAULT_HEADERS = "authorization, content-type, x-api-key"
_HEADER_NAMES = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~, -]{1,4096}")


def preflights(gateway: Gateway) -> Middleware:
    """Middleware that answers what browsers ask before a request; that question carries no credentials."""

    @web.middleware
    async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not _is_preflight(request):
            return await handler(request)
        if not _allowed(gateway, request.headers.get(hdrs.ORIGIN, "")):
            raise ApiError(403, "pages of this origin may not call; see cors.allowedOrigins", code="origin_not_allowed")
        wanted = request.headers.get(hdrs.ACCESS_CONTROL_REQUEST_HEADERS, "")
        headers = {
            hdrs.ACCESS_CONTROL_ALLOW_METHODS: METHODS,
            # SDKs send many of their own. Which they are is no secret, and what they do is checked later.
            hdrs.ACCESS_CONTROL_ALLOW_HEADERS: wanted if _HEADER_NAMES.fullmatch(wanted) else _DEFAULT_HEADERS,
            hdrs.ACCESS_CONTROL_MAX_AGE: KNOWN_SECONDS,
        }
        return web.Response(status=204, headers=headers)

    return answer


def sharing(gateway: Gateway) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]]:
    """Signal that lets the page of an allowed origin read the response."""

    async def share(request: web.Request, response: web.StreamResponse) -> None:
        origins = gateway.current.config.cors.allowed_origins
        if not origins or not request.path.startswith(API):
            return
        if ANY not in origins:
            response.headers.add(hdrs.VARY, hdrs.ORIGIN)
        origin = request.headers.get(hdrs.ORIGIN, "")
        if not origin or not _allowed(gateway, origin):
            return
        if ANY in origins:
            response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = ANY
        else:
            response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = origin
            response.headers[hdrs.ACCESS_CONTROL_ALLOW_CREDENTIALS] = "true"
        if exposed := [name for name in response.headers if _is_told(name.lower())]:
            response.headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = ", ".join(exposed)

    return share


def _is_preflight(request: web.Request) -> bool:
    return (
        request.method == hdrs.METH_OPTIONS
        and hdrs.ACCESS_CONTROL_REQUEST_METHOD in request.headers
        and request.path.startswith(API)
    )


def _allowed(gateway: Gateway, origin: str) -> bool:
    origins = gateway.current.config.cors.allowed_origins
    return origin in origins or (ANY in origins and bool(origin))


def _is_told(name: str) -> bool:
    return name == "retry-after" or (name.startswith("x-") and name != "x-accel-buffering")
