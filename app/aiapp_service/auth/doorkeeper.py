"""Who may come in, as one configuration says; what is known of keys and tokens outlives it."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import aiohttp

from aiapp_service.auth import key_file
from aiapp_service.auth.api_keys import KeyRing
from aiapp_service.auth.client_address import Proxies
from aiapp_service.auth.key_file import Client
from aiapp_service.config import JwtConfig, LimitScope, RateLimitConfig, ServiceConfig
from aiapp_service.http.errors import ApiError
from aiapp_service.pipeline.principal import Principal

if TYPE_CHECKING:
    from aiapp_service.auth.tokens import Tokens

MOST_CREDENTIAL = 16 * 1024
# Not a character of a file name in a Secret: a token's subject is never taken for an API key's client.
JWT_CLIENT = "jwt:"
_SCHEME = "bearer"
# Anthropic's SDKs send the first, Azure's the second.
_KEY_HEADERS = ("x-api-key", "api-key")


class Doorkeeper:
    """Tells who sent a request, or refuses it."""

    def __init__(self, config: ServiceConfig, keys: KeyRing | None, tokens: "Tokens | None", proxies: Proxies) -> None:
        self._anonymous = config.auth.anonymous
        self._keys = keys
        self._tokens = tokens
        self.proxies = proxies
        self._app_limits = config.rate_limit
        self._limits: dict[RateLimitConfig, RateLimitConfig] = {}

    async def admit(self, headers: Mapping[str, str], address: str) -> Principal:
        """Whoever has sent a request with these headers.

        Raises:
            ApiError: nobody who may.
        """
        if self._anonymous and self._keys is None and self._tokens is None:
            return Principal(address=address)
        try:
            return await self._known(headers, address)
        except ApiError:
            if self._anonymous:
                return Principal(address=address)
            raise

    async def _known(self, headers: Mapping[str, str], address: str) -> Principal:
        credential, is_bearer = _shown(headers)
        if not credential:
            raise _unknown("an API key or token is needed: Authorization: Bearer KEY")
        if len(credential) > MOST_CREDENTIAL:
            raise _unknown(f"the API key or token is longer than {MOST_CREDENTIAL} characters")
        digest = key_file.digest(credential)
        tokens = self._tokens
        if is_bearer and tokens is not None and (self._keys is None or tokens.is_one(credential, digest)):
            bearer = await tokens.verify(credential, digest)
            key = JWT_CLIENT + bearer.subject
            return Principal(key, bearer.tenant or key, bearer.subject, address)
        client = self._keys.client_of(digest) if self._keys is not None else None
        if client is None:
            raise _unknown("the API key is not valid")
        limits = self._limits_of(client)
        return Principal(client.name, client.tenant, client.user, address, client.models, limits, client.admin)

    def _limits_of(self, client: Client) -> RateLimitConfig | None:
        """The client's own limits; where it has some, those it does not name are the app's."""
        own = client.rate_limit
        if own is None:
            return None
        if own not in self._limits:
            given = own.model_dump(exclude_none=True)
            self._limits[own] = self._app_limits.model_copy(update={**given, "per": LimitScope.KEY})
        return self._limits[own]


class Entrance:
    """Makes doorkeepers. Verified tokens, fetched keys and read files are kept for the next configuration."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session
        self._keys: KeyRing | None = None
        self._tokens: Tokens | None = None

    def doorkeeper(self, config: ServiceConfig) -> Doorkeeper:
        """One for `config`."""
        auth = config.auth
        if auth.api_keys_dir is None:
            self._keys = None
        elif self._keys is None or self._keys.directory != auth.api_keys_dir:
            self._keys = KeyRing(auth.api_keys_dir)
        if auth.jwt is None:
            self._tokens = None
        elif self._tokens is None or self._tokens.config != auth.jwt:
            self._tokens = _tokens(auth.jwt, self._session)
        return Doorkeeper(config, self._keys, self._tokens, Proxies(config.trusted_proxies))


def _tokens(config: JwtConfig, session: aiohttp.ClientSession) -> "Tokens":
    # Cryptography is large: a service without tokens starts without it.
    from aiapp_service.auth.key_set import KeySet  # noqa: PLC0415  # for a light start
    from aiapp_service.auth.key_source import key_source  # noqa: PLC0415  # for a light start
    from aiapp_service.auth.tokens import Tokens  # noqa: PLC0415  # for a light start

    return Tokens(config, KeySet(key_source(config, session)))


def _shown(headers: Mapping[str, str]) -> tuple[str, bool]:
    """What the request shows, and whether as a bearer."""
    scheme, _, value = headers.get("Authorization", "").partition(" ")
    if scheme.lower() == _SCHEME and (value := value.strip()):
        return value, True
    for name in _KEY_HEADERS:
        if value := headers.get(name, "").strip():
            return value, False
    return "", False


def _unknown(why: str) -> ApiError:
    challenge = {"WWW-Authenticate": "Bearer"}
    return ApiError(401, why, type_="authentication_error", code="invalid_api_key", headers=challenge)
