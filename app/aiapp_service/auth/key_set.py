"""The keys of an identity provider as they are known now.

They are read again in the background while requests come, and at once for a kid that is not known: a provider that
rotates signs with a new key from one moment to the next. Kids are the client's to invent, so that is done at most
once in some seconds. While the provider cannot be asked the keys stay as they were.
"""

import asyncio
import logging
import time

from aiapp_service.auth.jwks import Key
from aiapp_service.auth.key_source import KeySource, NoKeys

log = logging.getLogger(__name__)


class KeySet:
    """Keys by kid. `generation` changes when one of them is no longer good."""

    def __init__(self, source: KeySource) -> None:
        self._source = source
        self._keys: dict[str, Key] = {}
        self._asked_at = float("-inf")
        self._read_at = float("-inf")
        self._failed = False
        self._reading: asyncio.Task[None] | None = None
        self.generation = 0

    async def keep_fresh(self) -> None:
        """Start reading where it is time; wait for it only when nobody has asked for long."""
        age = time.monotonic() - self._read_at
        if age < self._source.every:
            return
        if age < 2 * self._source.every or self._failed:
            self._start()
        else:
            await self._read_again()

    async def get(self, kid: str | None) -> Key | None:
        """The key; None: there is none of this name. Without a kid: the only one there is.

        Raises:
            NoKeys: no key has ever been read.
        """
        key = self._find(kid)
        if key is None:
            await self._read_again()
            key = self._find(kid)
        if key is None and not self._keys:
            raise NoKeys(f"no keys from {self._source.where}")
        return key

    def _find(self, kid: str | None) -> Key | None:
        if kid is not None:
            return self._keys.get(kid)
        return next(iter(self._keys.values())) if len(self._keys) == 1 else None

    async def _read_again(self) -> None:
        task = self._start()
        if task is not None:
            # Others wait for it too: a client that leaves does not stop it.
            await asyncio.shield(task)

    def _start(self) -> asyncio.Task[None] | None:
        """What reads now; None: it is too soon to ask again."""
        if self._reading is None:
            now = time.monotonic()
            if now - self._asked_at < self._source.again:
                return None
            self._asked_at = now
            self._reading = asyncio.create_task(self._read())
        return self._reading

    async def _read(self) -> None:
        try:
            keys = await self._source.read()
        except NoKeys as error:
            self._failed = True
            log.warning(
                "keys of the identity provider not read",
                extra={"source": self._source.where, "error": str(error), "kept": len(self._keys)},
            )
            return
        finally:
            self._reading = None
        self._failed = False
        self._read_at = time.monotonic()
        if any(keys.get(kid) is None or keys[kid].text != key.text for kid, key in self._keys.items()):
            self.generation += 1
        self._keys = keys
