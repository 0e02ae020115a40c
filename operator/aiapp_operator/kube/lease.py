"""Leader election through a Lease: one operator works, others stand by.

Times are judged by the local clock alone: a Lease counts as abandoned when its version has not
changed for its duration as seen from here, so clocks that differ between nodes do no harm. What is
held is held from the moment the request was sent: the answer may be long under way.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiapp_operator.api.manifest import Manifest
from aiapp_operator.kube.api_errors import AlreadyExists, ApiError, Conflict, NotFound
from aiapp_operator.kube.client import KubeClient

log = logging.getLogger(__name__)

DURATION_SECONDS = 15
RENEW_SECONDS = 10.0
RETRY_SECONDS = 2.0

Write = Callable[[Manifest], Awaitable[Manifest]]


class LeaseLost(Exception):
    """Somebody else may be working now: this process has to end."""


@dataclass(frozen=True)
class LeaseName:
    """Which Lease, and who we are."""

    namespace: str
    name: str
    identity: str


class Elector:
    """Takes a Lease, keeps it, gives it back."""

    def __init__(self, client: KubeClient, lease: LeaseName, now: Callable[[], str], rng: random.Random) -> None:
        self._client = client
        self._lease = lease
        self._now = now
        self._rng = rng
        self._held: Manifest | None = None
        self._since = 0.0  # when the last request that was granted was sent
        self._seen: tuple[str, float] = ("", 0.0)

    async def acquire(self) -> None:
        """Wait until the Lease is ours."""
        while True:
            try:
                if await self._try() and asyncio.get_running_loop().time() < self._until:
                    log.info("leading", extra={"lease": self._lease.name, "identity": self._lease.identity})
                    return
            except ApiError as error:
                log.warning("lease not reached", extra={"error": error.reason})
            await asyncio.sleep(RETRY_SECONDS * self._rng.uniform(0.8, 1.2))

    async def keep(self) -> None:
        """Renew until cancelled.

        Raises:
            LeaseLost: it could not be renewed in time, or somebody else has it.
        """
        while True:
            await asyncio.sleep(RETRY_SECONDS)
            try:
                async with asyncio.timeout_at(self._until):
                    await self._renew()
            except TimeoutError as error:
                raise LeaseLost("the Lease could not be renewed in time") from error
            except ApiError as error:
                log.warning("lease not renewed", extra={"error": error.reason})

    async def release(self) -> None:
        """Give the Lease back, so that the next one need not wait."""
        if self._held is None:
            return
        try:
            await self._client.replace(self._wanted(self._held, holder=""))
        except ApiError as error:
            log.warning("lease not released", extra={"error": error.reason})
        self._held = None

    @property
    def _until(self) -> float:
        """Until when we may work, on the loop's clock; well before others may take the Lease."""
        return self._since + RENEW_SECONDS

    async def _take(self, found: Manifest, write: Write) -> None:
        sent = asyncio.get_running_loop().time()
        self._held = await write(self._wanted(found, holder=self._lease.identity))
        self._since = sent

    async def _try(self) -> bool:
        try:
            found = await self._client.get("Lease", self._lease.namespace, self._lease.name)
        except NotFound:
            return await self._create()
        holder = found["spec"].get("holderIdentity", "")
        if holder and holder != self._lease.identity and not self._abandoned(found):
            return False
        try:
            await self._take(found, self._client.replace)
        except Conflict:
            return False
        return True

    async def _create(self) -> bool:
        empty: Manifest = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": self._lease.name, "namespace": self._lease.namespace},
            "spec": {},
        }
        try:
            await self._take(empty, self._client.create)
        except AlreadyExists:
            return False
        return True

    async def _renew(self) -> None:
        if self._held is None:
            raise LeaseLost("the Lease was never taken")
        try:
            await self._take(self._held, self._client.replace)
        except (Conflict, NotFound):
            await self._look_again()

    async def _look_again(self) -> None:
        """The Lease moved: by us, when the reply to a renewal was lost; by hand; or somebody else has it."""
        found = await self._client.get("Lease", self._lease.namespace, self._lease.name)
        if found["spec"].get("holderIdentity") != self._lease.identity:
            raise LeaseLost(f"the Lease was taken by {found['spec'].get('holderIdentity') or 'nobody'}")
        await self._take(found, self._client.replace)

    def _abandoned(self, found: Manifest) -> bool:
        now = asyncio.get_running_loop().time()
        version = str(found["metadata"].get("resourceVersion"))
        if self._seen[0] != version:
            self._seen = (version, now)
            return False
        return now - self._seen[1] > float(found["spec"].get("leaseDurationSeconds") or DURATION_SECONDS)

    def _wanted(self, found: Manifest, *, holder: str) -> Manifest:
        spec = dict(found["spec"])
        if spec.get("holderIdentity") != holder:
            spec["leaseTransitions"] = int(spec.get("leaseTransitions") or 0) + 1
            spec["acquireTime"] = self._now()
        spec |= {"holderIdentity": holder, "renewTime": self._now(), "leaseDurationSeconds": DURATION_SECONDS}
        return {**found, "spec": spec}
