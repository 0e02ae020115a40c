"""One process of the operator, from its start to its stop, its loss of the Lease, or its crash."""

import asyncio
import random
from collections.abc import Awaitable, Callable

from aiapp_operator.api.manifest import Manifest
from aiapp_operator.config import Settings
from aiapp_operator.kube.api_errors import ApiError
from aiapp_operator.kube.client import KubeClient
from aiapp_operator.runtime.metrics import Metrics
from aiapp_operator.runtime.operator import Operator, Seen
from aiapp_operator.runtime.reconciler import Surroundings
from tests.unit.operator.simulation.clock import wall_clock
from tests.unit.operator.simulation.connection import Connection, Crash

CRASHED = -1

Ask = Callable[[str], Awaitable[Manifest]]


class Process:
    """A running operator."""

    def __init__(self, connection: Connection, settings: Settings, rng: random.Random, ask: Ask) -> None:
        self.connection = connection
        client = KubeClient(connection)
        surroundings = Surroundings(settings, settings.identity, wall_clock, rng)

        async def watch_apps(seen: Seen, _namespaces: tuple[str, ...]) -> None:
            await watching(client, seen, rng)

        self.operator = Operator(client, watch_apps, ask, Metrics(), surroundings)
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> int:
        code = CRASHED
        try:
            code = await self.operator.run()
        except* Crash:
            pass
        return code

    @property
    def ended(self) -> bool:
        return self._task.done()

    async def exit_code(self) -> int:
        """How it ended; waits for it."""
        return await self._task

    async def stop(self) -> int:
        """SIGTERM."""
        self.operator.stop()
        return await self._task

    async def kill(self) -> None:
        """SIGKILL: nothing reaches the API server any more."""
        self.connection.dead = True
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


async def watching(client: KubeClient, seen: Seen, rng: random.Random) -> None:
    """kopf's watch of AIApps, with its gap: what is deleted before it lists anew is never told of."""
    while True:
        try:
            listing = await client.list("AIApp", None, "")
            for item in listing.items:
                seen(None, item)
            version = listing.resource_version
            while True:
                async for event in client.watch("AIApp", None, "", version):
                    version = event.object["metadata"]["resourceVersion"]
                    if event.type != "BOOKMARK":
                        seen(event.type, event.object)
        except ApiError:
            await asyncio.sleep(rng.uniform(0.1, 1.0))
