"""One process's way to the API server: delays, faults, its rights, and death at a chosen write."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from aiapp_operator.kube.api_errors import Unavailable, from_response
from aiapp_operator.kube.transport import Response
from tests.unit.operator.simulation import answers, watch
from tests.unit.operator.simulation.answers import Refusal
from tests.unit.operator.simulation.apiserver import ApiServer, Route, route
from tests.unit.operator.simulation.clock import seconds
from tests.unit.operator.simulation.faults import Fault, Faults

LATENCY_SECONDS = 0.01
# Writes by which the operator is not measured: the Lease is renewed for ever, Events are a courtesy.
UNCOUNTED = frozenset({"Lease", "Event"})


class Crash(BaseException):
    """The process is gone; no `except Exception` outlives it."""


class Request(NamedTuple):
    """One request that reached the API server, with the status of its answer."""

    at: float
    method: str
    route: Route
    code: int

    @property
    def writes(self) -> bool:
        return self.method != "GET" and self.route.kind not in UNCOUNTED

    def __str__(self) -> str:
        where = "/".join(part for part in (self.route.name, self.route.subresource) if part)
        return f"{self.at:10.3f} {self.method:6} {self.route.kind}/{where} {self.code}"


def _nothing(_request: Request) -> None:
    return


@dataclass
class Connection:
    """A transport. `log` hears of each request that arrived.

    With `dies_at` the process dies when that write, counted from 1, was carried out and before it hears of it.
    (Death before a write leaves the same cluster behind as death after the one before.)
    """

    server: ApiServer
    rng: random.Random
    faults: Faults
    dies_at: int = 0
    log: Callable[[Request], None] = _nothing
    requests: list[Request] = field(default_factory=list)
    dead: bool = False
    cut: bool = False  # nothing passes any more, in either direction
    closed: bool = False
    _writes: int = 0

    async def request(
        self, method: str, path: str, params: Mapping[str, str], headers: Mapping[str, str], body: bytes | None
    ) -> Response:
        at = route(path)
        await self._travel()
        fault = self.faults.of_request(method, collection=method == "GET" and not at.name)
        if fault is Fault.BROKEN:
            raise Unavailable(0, "ClientOSError", "the API server does not answer")
        response = self._refused(fault) or self._forbidden(method, at)
        if response is None:
            stale = fault is Fault.STALE
            response = self._stale(at, params) if stale else self.server.handle(method, path, params, headers, body)
        self._note(method, at, response)
        if self.requests[-1].writes:
            self._writes += 1
            if self._writes == self.dies_at:
                self.dead = True
        await self._travel()
        if fault is Fault.LOST_REPLY:
            raise Unavailable(0, "ServerDisconnectedError", "the API server does not answer")
        return response

    async def lines(self, path: str, params: Mapping[str, str]) -> AsyncIterator[bytes]:
        at = route(path)
        await self._travel()
        forbidden = self._forbidden("GET", at)
        refused = forbidden or self._refused(self.faults.of_request("GET", collection=True))
        self._note("GET", at, refused or answers.answer({}))
        if refused is not None:
            raise from_response(refused.status, refused.headers, refused.body)
        breaks = seconds() + self.faults.watch_seconds()
        async for line in watch.watch(self.server, at, params, self.rng, lag=self.faults.seconds_late, breaks=breaks):
            self._require_passage()
            yield line

    async def close(self) -> None:
        self.closed = True

    def writes(self) -> list[Request]:
        """What this process has written, as far as it counts."""
        return [request for request in self.requests if request.writes and request.code < 400]

    async def _travel(self) -> None:
        await asyncio.sleep(self.rng.uniform(0.0, LATENCY_SECONDS))
        self._require_passage()

    def _require_passage(self) -> None:
        if self.dead:
            raise Crash
        if self.cut:
            raise Unavailable(0, "ClientOSError", "the network is gone")

    def _note(self, method: str, at: Route, response: Response) -> None:
        request = Request(seconds(), method, at, response.status)
        self.requests.append(request)
        self.log(request)

    def _forbidden(self, method: str, at: Route) -> Response | None:
        """The operator's rights: Secrets are created and deleted, never read; of an AIApp only status is written."""
        allowed = True
        if at.kind == "Secret":
            allowed = method in {"POST", "DELETE"}
        if at.kind == "AIApp":
            allowed = method == "GET" or at.subresource == "status"
        message = f"cannot {method} {at.kind} {at.subresource}"
        return None if allowed else Refusal(403, "Forbidden", message).response

    def _refused(self, fault: Fault | None) -> Response | None:
        if fault is Fault.THROTTLED:
            return answers.answer({"message": "slow down"}, 429, {"retry-after": "1"})
        words = {
            Fault.CONFLICT: (409, "Conflict"),
            Fault.INTERNAL: (500, "InternalError"),
            Fault.OVERLOADED: (503, "ServiceUnavailable"),
            Fault.EXPIRED: (410, "Expired"),
        }
        return Refusal(*words[fault], "injected").response if fault in words else None

    def _stale(self, at: Route, params: Mapping[str, str]) -> Response:
        storage = self.server.storage
        version = self.rng.randint(max(storage.compacted, storage.version - 20), storage.version)
        return self.server.page(at, params, version)
