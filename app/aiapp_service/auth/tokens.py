"""JSON Web Tokens of an identity provider: verified once, then known until they expire.

Of a token's header only `alg` and `kid` are looked at, and both only choose among keys that are known: `jku`, `x5u`
and `jwk` would let the client bring its own.
"""

import time
from dataclasses import dataclass
from typing import Any

import jwt

from aiapp_service.auth.key_set import KeySet
from aiapp_service.auth.key_source import NoKeys
from aiapp_service.config import JwtConfig
from aiapp_service.http.errors import ApiError

SKEW_SECONDS = 60
MOST_BYTES = 16 * 1024
MOST_KNOWN = 10_000
MOST_NAME = 256
_RETRY_SECONDS = "10"

_WHY: tuple[tuple[type[jwt.PyJWTError], str], ...] = (
    (jwt.ExpiredSignatureError, "the token has expired"),
    (jwt.ImmatureSignatureError, "the token is not valid yet"),
    (jwt.InvalidAudienceError, "the token is for another audience"),
    (jwt.InvalidIssuerError, "the token is of another issuer"),
    (jwt.MissingRequiredClaimError, "the token lacks one of the claims exp, iss, aud, sub"),
)


@dataclass(frozen=True)
class Bearer:
    """Who a token speaks for, until `expires` (seconds since 1970)."""

    subject: str
    tenant: str | None
    expires: float


class Tokens:
    """Verifies tokens as `config` says, with the keys of `keys`."""

    def __init__(self, config: JwtConfig, keys: KeySet) -> None:
        self.config = config
        self._keys = keys
        self._claim = config.tenant_claim.split(".") if config.tenant_claim else []
        self._known: dict[bytes, Bearer] = {}
        self._generation = keys.generation

    def is_one(self, text: str, digest: bytes) -> bool:
        """Whether `text`, of that SHA-256, is a token rather than an API key; it need not be a good one."""
        if digest in self._known:
            return True
        if text.count(".") != 2:
            return False
        try:
            jwt.get_unverified_header(text)
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
            return False
        return True

    async def verify(self, token: str, digest: bytes) -> Bearer:
        """Who `token`, of that SHA-256, speaks for.

        Raises:
            ApiError: it is refused.
        """
        await self._keys.keep_fresh()
        if self._generation != self._keys.generation:
            # A key has been withdrawn, and with it what it has signed.
            self._generation = self._keys.generation
            self._known.clear()
        known = self._known.get(digest)
        if known is not None:
            if known.expires > time.time():
                return known
            del self._known[digest]
        bearer = self._bearer(await self._claims(token))
        if len(self._known) >= MOST_KNOWN:
            del self._known[next(iter(self._known))]
        self._known[digest] = bearer
        return bearer

    async def _claims(self, token: str) -> dict[str, Any]:
        try:
            header = jwt.get_unverified_header(token)
            kid = header.get("kid")
            key = await self._keys.get(kid if isinstance(kid, str) else None)
            algorithm = header.get("alg")
            if key is None or algorithm not in key.algorithms:
                raise refused("the token is not signed with a key of the issuer")
            return jwt.decode(
                token,
                key=key.value,
                algorithms=[algorithm],
                issuer=self.config.issuer,
                audience=self.config.audiences,
                leeway=SKEW_SECONDS,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except NoKeys as error:
            message = "tokens cannot be verified: the identity provider's keys are not there; try again"
            headers = {"Retry-After": _RETRY_SECONDS}
            raise ApiError(503, message, type_="server_error", code="keys_unavailable", headers=headers) from error
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError) as error:
            raise refused(_why(error)) from None

    def _bearer(self, claims: dict[str, Any]) -> Bearer:
        subject = claims["sub"]
        if not _is_name(subject):
            raise refused("the claim sub is not a name")
        expires = float(min(int(claims["exp"]), 2**53)) + SKEW_SECONDS
        if not self._claim:
            return Bearer(subject, None, expires)
        tenant: Any = claims
        for part in self._claim:
            tenant = tenant.get(part) if isinstance(tenant, dict) else None
        if not _is_name(tenant):
            message = f"the token does not name a tenant: the claim {self.config.tenant_claim} has to be a text"
            raise ApiError(403, message, type_="permission_error", code="no_tenant")
        return Bearer(subject, tenant, expires)


def refused(why: str) -> ApiError:
    """401 for a token."""
    challenge = {"WWW-Authenticate": 'Bearer error="invalid_token"'}
    return ApiError(401, why, type_="authentication_error", code="invalid_token", headers=challenge)


def _why(error: Exception) -> str:
    return next((why for kind, why in _WHY if isinstance(error, kind)), "the token is not valid")


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= MOST_NAME and value.isprintable()
