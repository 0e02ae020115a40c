"""An identity provider of the test's own: keys, tokens, a JWKS and discovery over HTTP."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from tests.integration.service.listening import listening

AUDIENCE = "assistant"


@cache
def rsa_key(number: int) -> rsa.RSAPrivateKey:
    """They take long to make."""
    return rsa.generate_private_key(65537, 2048)


EC_KEY = ec.generate_private_key(ec.SECP256R1())
ED_KEY = ed25519.Ed25519PrivateKey.generate()
ALGORITHMS: dict[str, Any] = {"RS256": RSAAlgorithm, "ES256": ECAlgorithm, "EdDSA": OKPAlgorithm}


@dataclass
class IdentityProvider:
    """What it does is set on it; what it was asked is counted."""

    keys: dict[str, tuple[str, Any]] = field(
        default_factory=lambda: {"rsa": ("RS256", rsa_key(0)), "ec": ("ES256", EC_KEY), "ed": ("EdDSA", ED_KEY)}
    )
    status: int = 200
    seconds: float = 0.0
    asked: int = 0
    issuer_told: str | None = None
    url: str = ""

    @asynccontextmanager
    async def running(self, port: int = 0) -> AsyncIterator["IdentityProvider"]:
        """Listen on loopback; the port is free for another start later."""
        app = web.Application()
        app.router.add_get("/jwks", self._jwks)
        app.router.add_get("/.well-known/openid-configuration", self._discovery)
        async with listening(app, port=port) as base:
            self.url = base
            yield self

    def jwks(self) -> dict[str, Any]:
        """The public keys."""
        entries = [
            {**json.loads(ALGORITHMS[algorithm].to_jwk(key.public_key())), "kid": kid, "use": "sig"}
            for kid, (algorithm, key) in self.keys.items()
        ]
        return {"keys": entries}

    def claims(self, **changes: Any) -> dict[str, Any]:
        """What a good token says; None takes a claim out."""
        now = time.time()
        claims = {"iss": self.url, "aud": AUDIENCE, "sub": "u-1", "iat": now, "exp": now + 300, **changes}
        return {name: value for name, value in claims.items() if value is not None}

    def token(self, kid: str = "rsa", headers: dict[str, Any] | None = None, **changes: Any) -> str:
        """A signed token."""
        algorithm, key = self.keys[kid]
        # Not jwt.encode: it does not write what is wrong.
        claims = json.dumps(self.claims(**changes)).encode()
        return jwt.api_jws.encode(claims, key, algorithm, headers={"kid": kid, "typ": "JWT", **(headers or {})})

    async def _jwks(self, _request: web.Request) -> web.Response:
        self.asked += 1
        await asyncio.sleep(self.seconds)
        return web.json_response(self.jwks(), status=self.status)

    async def _discovery(self, _request: web.Request) -> web.Response:
        found = {"issuer": self.issuer_told or self.url, "jwks_uri": f"{self.url}/jwks"}
        return web.json_response(found, status=self.status)
