"""Where the keys of an identity provider come from: a file, a URL, or OpenID Connect discovery."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from yarl import URL

from aiapp_service.auth.jwks import Key, keys_of
from aiapp_service.config import JwtConfig

FETCH_SECONDS = 5.0
MOST_BYTES = 1024 * 1024
DISCOVERY = "/.well-known/openid-configuration"


class NoKeys(Exception):
    """The keys could not be read; the message says why."""


@dataclass(frozen=True)
class KeySource:
    """A JWKS: how often it is read (seconds), and how soon again for a kid that is not in it."""

    where: str
    document: Callable[[], Awaitable[Any]]
    every: float
    again: float

    async def read(self) -> dict[str, Key]:
        """The keys as they are there now.

        Raises:
            NoKeys: there are none to be had.
        """
        try:
            return keys_of(await self.document())
        except TimeoutError as error:
            raise NoKeys(f"no answer within {FETCH_SECONDS:g} s") from error
        except (aiohttp.ClientError, OSError, RuntimeError) as error:
            # Too deep a nesting is a RuntimeError, as is a session that is closed while the service stops.
            raise NoKeys(f"cannot be read: {type(error).__name__}") from error
        except ValueError as error:
            raise NoKeys(f"is not as it should be: {error}") from error


def key_source(config: JwtConfig, session: aiohttp.ClientSession) -> KeySource:
    """The one that `config` names."""
    if config.jwks_file is not None:
        file = config.jwks_file
        return KeySource(str(file), lambda: _in_file(file), every=5.0, again=1.0)
    if config.jwks_url is not None:
        url = config.jwks_url
        return KeySource(_named(url), lambda: _at(session, url), every=300.0, again=10.0)
    issuer = config.issuer
    return KeySource(_named(issuer), lambda: _discovered(session, issuer), every=300.0, again=10.0)


async def _in_file(file: Path) -> Any:
    return await asyncio.to_thread(_content, file)


def _content(file: Path) -> Any:
    if file.stat().st_size > MOST_BYTES:
        raise ValueError(f"it is larger than {MOST_BYTES} bytes")
    return json.loads(file.read_bytes())


async def _discovered(session: aiohttp.ClientSession, issuer: str) -> Any:
    found = await _at(session, issuer.rstrip("/") + DISCOVERY)
    if not isinstance(found, dict) or found.get("issuer") != issuer:
        # Else one provider could speak for another one (OpenID Connect Discovery, 4.3).
        raise ValueError("what was discovered is of another issuer than auth.jwt.issuer; they have to be the same text")
    url = found.get("jwks_uri")
    if not isinstance(url, str):
        raise ValueError("what was discovered has no jwks_uri")  # noqa: TRY004  # content of strangers, not a bug
    if URL(issuer).scheme == "https" and URL(url).scheme != "https":
        raise ValueError("the jwks_uri that was discovered is not https")
    return await _at(session, url)


async def _at(session: aiohttp.ClientSession, url: str) -> Any:
    timeout = aiohttp.ClientTimeout(total=FETCH_SECONDS)
    async with session.get(url, timeout=timeout, allow_redirects=False) as response:
        if response.status != 200:
            raise ValueError(f"the answer is {response.status}; redirects are not followed")
        body = bytearray()
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > MOST_BYTES:
                raise ValueError(f"the answer is larger than {MOST_BYTES} bytes")
    return json.loads(body)


def _named(url: str) -> str:
    """For logs: what is in front of an @ may be a password."""
    scheme, _, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    return f"{scheme}://{authority.rpartition('@')[2]}{slash}{path.partition('?')[0]}"
