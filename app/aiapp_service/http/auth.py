"""Who calls: the gateway's doorkeeper of now is asked before anything else of a request is looked at."""

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from aiapp_service.auth import client_address
from aiapp_service.gateway import Gateway
from aiapp_service.http.calls import CALL


def authenticating(gateway: Gateway) -> Middleware:
    """Middleware that lets to /v1 whom the current configuration knows."""

    @web.middleware
    async def authenticate(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.startswith("/v1/"):
            doorkeeper = gateway.current.doorkeeper
            forwarded = request.headers.getall(client_address.HEADER, ())
            address = doorkeeper.proxies.client(request.remote or "", forwarded)
            request[CALL].principal = await doorkeeper.admit(request.headers, address)
        return await handler(request)

    return authenticate
