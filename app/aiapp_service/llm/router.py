"""Which backend answers: those of a model in its order, the next one as long as nothing has reached the client."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from aiapp_service.config import ModelKind, Strategy, TimeoutsConfig
from aiapp_service.llm.attempts import Attempts
from aiapp_service.llm.backend import Backend
from aiapp_service.llm.failures import TooLong
from aiapp_service.llm.place import Place, try_places
from aiapp_service.llm.replicas import ReplicaSet, conversation_key
from aiapp_service.llm.reply import read
from aiapp_service.llm.strategies import Wanted, ordered
from aiapp_service.llm.stream import ModelStream, with_usage
from aiapp_service.llm.upstream import Ask, BackendError, Endpoint, Reason
from aiapp_service.telemetry.metrics import Metrics

_EVENT_STREAM = "text/event-stream"
# Estimates of tokens are rough: only what is this many times too long is not sent at all.
_SURELY_TOO_LONG = 2

T = TypeVar("T")


@dataclass(frozen=True)
class Route:
    """A name that clients ask for, and who may answer.

    `tenant` is the only one that it is there for, None: all. It is allowed to whoever may ask `base`, where it has one.
    """

    name: str
    kind: ModelKind
    backends: Sequence[Backend]
    timeouts: TimeoutsConfig
    strategy: Strategy = Strategy.PRIORITY
    tenant: str | None = None
    base: str | None = None

    def open_to(self, tenant: str, may_ask: Callable[[str], bool]) -> bool:
        """Whether it is there for a caller of `tenant` that may ask these names."""
        return self.tenant in (None, tenant) and may_ask(self.base or self.name)

    @property
    def weighs_tokens(self) -> bool:
        """Whether the choice of backends depends on the length of a request."""
        return self.strategy is Strategy.COST or any(b.context_window is not None for b in self.backends)


@dataclass(frozen=True)
class Hints:
    """What helps to choose: whose request it is, and about how many tokens it has, 0: not known."""

    tenant: str = ""
    tokens: int = 0


NO_HINTS = Hints()


@dataclass(frozen=True)
class Answer:
    """A whole answer as `backend` gave it; also one that tells the client of its own mistake."""

    backend: Backend
    status: int
    content_type: str
    body: bytes


@dataclass(frozen=True)
class Opened:
    """A stream that has begun to speak."""

    place: Place
    stream: ModelStream

    @property
    def backend(self) -> Backend:
        """Whose stream it is."""
        return self.place.backend


@dataclass
class Asking:
    """Which backend works on a request right now; it is still there when the request is given up."""

    backend: Backend | None = None


class NoBackend(Exception):
    """Every backend of a model failed; `failures` says each one's reason, in the order tried."""

    def __init__(self, model: str, failures: Sequence[tuple[Backend, BackendError]]) -> None:
        tried = "; ".join(f"{backend.name} {error}" for backend, error in failures)
        super().__init__(f"no backend of model {model} could answer: {tried}")
        self.reasons = [error.reason for _, error in failures]
        self.retry_after = next((error.retry_after for _, error in failures if error.retry_after), None)


class Router:
    """Sends requests to the backends of their model."""

    def __init__(
        self,
        routes: Mapping[str, Route],
        metrics: Metrics,
        rng: random.Random | None = None,
        replica_sets: Sequence[ReplicaSet] = (),
    ) -> None:
        self.routes = routes
        self.replica_sets = replica_sets
        self._metrics = metrics
        # The system's generator takes longer than all else that a request takes here.
        seed = (rng or random.SystemRandom()).getrandbits(64)
        self._rng = random.Random(seed)  # noqa: S311  # it spreads load and guards nothing

    @property
    def backends(self) -> Sequence[Backend]:
        """All of them, each once, by name."""
        found = {id(backend.known): backend for route in self.routes.values() for backend in route.backends}
        return sorted(found.values(), key=lambda backend: backend.name)

    def succeed(self, before: "Router | None") -> None:
        """Take over from the router of the configuration before: series of backends that are gone go."""
        mine = {id(backend.known): backend for backend in self.backends}
        theirs = {id(backend.known): backend for backend in before.backends} if before is not None else {}
        gone = {theirs[one].name for one in theirs.keys() - mine.keys()}
        for name in gone:
            self._metrics.backend_up.remove(name)
        for one, backend in mine.items():
            if one not in theirs or backend.name in gone:
                backend.known.publish(self._metrics)

    async def answer(
        self,
        route: Route,
        endpoint: Endpoint,
        body: Mapping[str, Any],
        hints: Hints = NO_HINTS,
        asking: Asking | None = None,
    ) -> Answer:
        """A whole answer of the first backend that gives one; `asking` is kept up to date meanwhile.

        Raises:
            NoBackend: none did.
        """
        deadline = asyncio.get_running_loop().time() + route.timeouts.total

        async def attempt(place: Place) -> Answer:
            began = time.monotonic()
            ask = _ask(route, place.backend, endpoint, body)
            try:
                with place:
                    async with asyncio.timeout_at(deadline), place.upstream.send(ask) as reply:
                        content = await read(reply)
            except TimeoutError:
                raise BackendError(Reason.TIMEOUT, "took too long") from None
            if reply.status == 200:
                _measure(place, began, streamed=False)
            return Answer(place.backend, reply.status, reply.content_type, content)

        return await self._first(route, body, hints, deadline, attempt, asking or Asking())

    @asynccontextmanager
    async def stream(
        self,
        route: Route,
        endpoint: Endpoint,
        body: Mapping[str, Any],
        hints: Hints = NO_HINTS,
        asking: Asking | None = None,
    ) -> AsyncIterator[Opened | Answer]:
        """The stream of the first backend that begins one, or the answer of one that refuses the request.

        Raises:
            NoBackend: none did.
        """
        deadline = asyncio.get_running_loop().time() + route.timeouts.total
        async with AsyncExitStack() as opened:

            async def attempt(place: Place) -> Opened | Answer:
                began = time.monotonic()
                async with AsyncExitStack() as trial:
                    trial.enter_context(place)
                    result = await _begin(trial, route, place, endpoint, body, deadline)
                    if isinstance(result, Answer):
                        return result
                    opened.push_async_callback(trial.pop_all().aclose)
                _measure(place, began, streamed=True)
                return Opened(place, result)

            yield await self._first(route, body, hints, deadline, attempt, asking or Asking())

    async def _first(
        self,
        route: Route,
        body: Mapping[str, Any],
        hints: Hints,
        deadline: float,
        attempt: Callable[[Place], Awaitable[T]],
        asking: Asking,
    ) -> T | Answer:
        def conversation() -> bytes:
            return conversation_key(body, hints.tenant)

        attempts = Attempts(route.name, self._order(route, body, hints), deadline, self._metrics, self._rng)
        while (backend := await attempts.next()) is not None:
            asking.backend = backend
            turn = backend.begin()
            try:
                result = await _asked(backend, conversation, attempt, deadline)
            except BackendError as error:
                asking.backend = None
                backend.failed(error, turn)
                attempts.failed(backend, error)
            else:
                backend.answered(turn)
                return result
            finally:
                backend.over(turn)
        return _refused_by_all(route, attempts.failures)

    def _order(self, route: Route, body: Mapping[str, Any], hints: Hints) -> Sequence[Backend]:
        backends = route.backends
        if len(backends) < 2 or (route.strategy is Strategy.PRIORITY and not hints.tokens):
            return backends
        most = body.get("max_completion_tokens") or body.get("max_tokens")
        wanted = Wanted(
            streamed=bool(body.get("stream")),
            input_tokens=hints.tokens,
            output_tokens=most if isinstance(most, int) and most > 0 else 0,
        )
        found = ordered(route.strategy, backends, wanted, self._rng, time.monotonic())
        if not hints.tokens:
            return found
        fitting = [b for b in found if hints.tokens <= _SURELY_TOO_LONG * (b.context_window or hints.tokens)]
        # The refusal comes from a backend in any case: it says it in the words that clients know.
        return fitting or [max(found, key=lambda b: b.context_window or 0)]


async def _asked(
    backend: Backend, conversation: Callable[[], bytes], attempt: Callable[[Place], Awaitable[T]], until: float
) -> T:
    if backend.waking is None:
        return await try_places(backend, conversation, attempt)
    return await backend.waking.ask(lambda: try_places(backend, conversation, attempt), until)


def _refused_by_all(route: Route, failures: Sequence[tuple[Backend, BackendError]]) -> Answer:
    """The refusal of a request that is too long for whoever could be asked; raises NoBackend for all other failures."""
    too_long = [(backend, error) for backend, error in failures if isinstance(error, TooLong)]
    if not too_long or too_long[-1][1] is not failures[-1][1]:
        # Where a larger one failed otherwise, the request is not the client's mistake.
        raise NoBackend(route.name, failures)
    backend, refusal = too_long[0]
    return Answer(backend, refusal.status or 400, refusal.content_type, refusal.content)


def _measure(place: Place, began: float, *, streamed: bool) -> None:
    now = time.monotonic()
    place.backend.known.load.took(now - began, now, streamed=streamed)


def _ask(route: Route, backend: Backend, endpoint: Endpoint, body: Mapping[str, Any]) -> Ask:
    return Ask(endpoint, {**body, "model": backend.model}, route.timeouts.connect)


async def _begin(
    trial: AsyncExitStack,
    route: Route,
    place: Place,
    endpoint: Endpoint,
    body: Mapping[str, Any],
    deadline: float,
) -> ModelStream | Answer:
    """Send, and wait for the first token; what is open then belongs to `trial`."""
    first_token = asyncio.get_running_loop().time() + route.timeouts.first_token
    backend, upstream = place.backend, place.upstream
    body, hides_usage = with_usage(body) if upstream.adds_usage else (body, False)
    try:
        async with asyncio.timeout_at(min(first_token, deadline)):
            reply = await trial.enter_async_context(upstream.send(_ask(route, backend, endpoint, body)))
            if reply.status != 200:
                return Answer(backend, reply.status, reply.content_type, await read(reply))
            if reply.content_type != _EVENT_STREAM:
                raise BackendError(Reason.BROKEN, "did not stream")
            stream = ModelStream(reply, route.timeouts, deadline, hides_usage=hides_usage)
            await stream.start()
            return stream
    except TimeoutError:
        raise BackendError(Reason.TIMEOUT, "gave no token in time") from None
