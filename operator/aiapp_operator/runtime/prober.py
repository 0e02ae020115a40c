"""Asking each AIApp's API how its backends are: what only the service can know.

Failing to ask is no news: it is remembered as unknown and turns nothing else. Until an API was asked
for the first time, what the status says still holds: a restart of the operator must not make it unknown.
"""

import asyncio
import json
import logging
import random
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp

from aiapp_operator.api.conditions import ConditionType
from aiapp_operator.api.database_load import DatabaseLoad
from aiapp_operator.api.facts import BackendHealth, HealthStatus
from aiapp_operator.api.manifest import Manifest
from aiapp_operator.api.names import ComponentName, part
from aiapp_operator.kube.store import AppKey, AppStore, ChildStore
from aiapp_operator.status import pressure
from aiapp_operator.status.backends import NOT_SERVED

log = logging.getLogger(__name__)

ASK_SECONDS = 2.0
AT_ONCE = 16
_MOST_BYTES = 256 * 1024
# What each reason of the condition tells of.
_TOLD = {**{status.value.capitalize(): status for status in HealthStatus}, NOT_SERVED: HealthStatus.UNHEALTHY}

Ask = Callable[[str], Awaitable[Any]]
Changed = Callable[[AppKey], None]


class HttpAsker:
    """GET of a JSON document over the cluster's network."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def __call__(self, url: str) -> Any:
        """The document at `url`, whatever the status of the response.

        Raises:
            ValueError: it is no JSON, or too long.
            aiohttp.ClientError, TimeoutError, OSError: there is no answer.
        """
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=ASK_SECONDS), trust_env=False, cookie_jar=aiohttp.DummyCookieJar()
            )
        async with self._session.get(url, allow_redirects=False) as answer:
            content = bytearray()
            async for part in answer.content.iter_any():
                content += part
                if len(content) > _MOST_BYTES:
                    raise ValueError("the document is too long")
            return json.loads(content)

    async def close(self) -> None:
        """Give up all connections."""
        if self._session is not None:
            await self._session.close()


class Prober:
    """Keeps what the APIs last said. `changed` hears of each AIApp for which it differs from before."""

    def __init__(
        self,
        apps: AppStore,
        children: ChildStore,
        ask: Ask,
        changed: Changed,
        *,
        interval: float,
        url: Callable[[AppKey], str],
        rng: random.Random,
    ) -> None:
        self._apps = apps
        self._children = children
        self._ask = ask
        self._changed = changed
        self._interval = interval
        self._url = url
        self._rng = rng
        self._known: dict[AppKey, BackendHealth | None] = {}
        self._gate = asyncio.Semaphore(AT_ONCE)

    def __call__(self, key: AppKey) -> BackendHealth | None:
        """What the API of this AIApp last said, to this process or to one before it; None: it could not be asked."""
        return self._known[key] if key in self._known else told_by((self._apps.get(key) or {}).get("status"))

    async def run(self) -> None:
        """Ask all of them, each about once an interval, until cancelled."""
        while True:
            await asyncio.sleep(self._interval * self._rng.uniform(0.1, 0.3))
            keys = list(self._apps)
            for gone in self._known.keys() - set(keys):
                del self._known[gone]
            async with asyncio.TaskGroup() as group:
                for key in keys:
                    group.create_task(self._look_later(key))

    async def _look_later(self, key: AppKey) -> None:
        """Spread over the interval: they must not all be asked at once."""
        await asyncio.sleep(self._interval * self._rng.uniform(0.0, 0.8))
        await self.look(key)

    async def look(self, key: AppKey) -> None:
        """Ask one of them, if it has a pod that could answer."""
        found = await self._asked(key) if self._serves(key) else None
        before = self(key)
        self._known[key] = found
        if found != before:
            self._changed(key)

    def _serves(self, key: AppKey) -> bool:
        deployment = self._children.get("Deployment", key.namespace, part(key.name, ComponentName.API))
        return bool(deployment and (deployment.get("status") or {}).get("readyReplicas"))

    async def _asked(self, key: AppKey) -> BackendHealth | None:
        try:
            async with self._gate:
                return BackendHealth.from_document(await self._ask(self._url(key)))
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            log.debug("health not known", extra={"app": str(key), "error": type(error).__name__})
            return None


def told_by(status: Manifest | None) -> BackendHealth | None:
    """The health that BackendsHealthy tells of, in its words, and PostgresReady; None where it is unknown."""
    conditions = (status or {}).get("conditions") or ()
    told = next((c for c in conditions if c["type"] == ConditionType.BACKENDS_HEALTHY), None)
    health = _TOLD.get(told["reason"]) if told is not None else None
    if told is None or health is None:
        return None
    short = any(c["type"] == ConditionType.POSTGRES_READY and c["reason"] in pressure.REASONS for c in conditions)
    database = None if short else DatabaseLoad()
    if health is HealthStatus.HEALTHY:
        return BackendHealth(health, database=database)
    return BackendHealth(health, words=(told["reason"], told["message"]), database=database)
