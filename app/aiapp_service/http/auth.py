"""Who calls: API keys as bearer tokens."""

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from aiapp_service.config import AuthConfig
from aiapp_service.credentials import KeyRing
from aiapp_service.http.calls import CALL
from aiapp_service.http.errors import ApiError
from aiapp_service.pipeline.principal import Principal

_SCHEME = "bearer"


def authenticating(config: AuthConfig) -> Middleware:
    """Middleware that lets known clients to /v1; without keys and without `anonymous` that is nobody."""
    keys = KeyRing(config.api_keys_dir) if config.api_keys_dir is not None else None

    @web.middleware
    async def authenticate(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.startswith("/v1/"):
            request[CALL].principal = _principal(request, keys, anonymous=config.anonymous)
        return await handler(request)

    return authenticate


def _principal(request: web.Request, keys: KeyRing | None, *, anonymous: bool) -> Principal:
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    given = key.strip() if scheme.lower() == _SCHEME else ""
    client = keys.client_of(given) if keys is not None and given else None
    if client is None and not anonymous:
        raise ApiError(
            401,
            "the API key is not valid" if given else "an API key is needed: Authorization: Bearer KEY",
            type_="authentication_error",
            code="invalid_api_key",
            headers={"WWW-Authenticate": "Bearer"},
        )
    return Principal(key=client or "", tenant=client or "", address=request.remote or "")
