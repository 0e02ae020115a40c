"""Which backend answers: those of a model in order, the next one as long as nothing has reached the client."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from aiapp_service.config import ModelKind, TimeoutsConfig
from aiapp_service.llm.backend import Backend
from aiapp_service.llm.stream import ModelStream
from aiapp_service.llm.upstream import Ask, BackendError, Endpoint, Reason, Reply
from aiapp_service.telemetry.metrics import Metrics

MOST_ANSWER_BYTES = 64 * 1024 * 1024
_EVENT_STREAM = "text/event-stream"

T = TypeVar("T")


@dataclass(frozen=True)
class Route:
    """A name that clients ask for, and who may answer."""

    name: str
    kind: ModelKind
    backends: Sequence[Backend]
    timeouts: TimeoutsConfig


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

    backend: Backend
    stream: ModelStream


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


class _Refusal(Exception):
    """The backend says that the request itself is wrong: no other backend would think otherwise."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


class Router:
    """Sends requests to the backends of their model."""

    def __init__(self, routes: Mapping[str, Route], metrics: Metrics) -> None:
        self.routes = routes
        self._metrics = metrics

    @property
    def backends(self) -> Sequence[Backend]:
        """All of them, each once, by name."""
        found = {id(backend): backend for route in self.routes.values() for backend in route.backends}
        return sorted(found.values(), key=lambda backend: backend.name)

    async def answer(
        self, route: Route, endpoint: Endpoint, body: Mapping[str, Any], asking: Asking | None = None
    ) -> Answer:
        """A whole answer of the first backend that gives one; `asking` is kept up to date meanwhile.

        Raises:
            NoBackend: none did.
        """
        deadline = asyncio.get_running_loop().time() + route.timeouts.total

        async def attempt(backend: Backend) -> Answer:
            try:
                async with (
                    asyncio.timeout_at(deadline),
                    backend.upstream.send(_ask(route, backend, endpoint, body)) as r,
                ):
                    return await _read(backend, r)
            except TimeoutError:
                raise BackendError(Reason.TIMEOUT, "took too long") from None

        return await self._first(route, attempt, asking or Asking())

    @asynccontextmanager
    async def stream(
        self, route: Route, endpoint: Endpoint, body: Mapping[str, Any], asking: Asking | None = None
    ) -> AsyncIterator[Opened | Answer]:
        """The stream of the first backend that begins one, or the answer of one that refuses the request.

        Raises:
            NoBackend: none did.
        """
        deadline = asyncio.get_running_loop().time() + route.timeouts.total
        async with AsyncExitStack() as opened:

            async def attempt(backend: Backend) -> Opened:
                async with AsyncExitStack() as trial:
                    stream = await _begin(trial, route, backend, endpoint, body, deadline)
                    opened.push_async_callback(trial.pop_all().aclose)
                return Opened(backend, stream)

            try:
                result: Opened | Answer = await self._first(route, attempt, asking or Asking())
            except _Refusal as refusal:
                result = refusal.answer
            yield result

    async def _first(self, route: Route, attempt: Callable[[Backend], Awaitable[T]], asking: Asking) -> T:
        failures: list[tuple[Backend, BackendError]] = []
        for number, backend in enumerate(route.backends, start=1):
            asking.backend = backend
            try:
                result = await attempt(backend)
            except BackendError as error:
                asking.backend = None
                backend.failed(error)
                failures.append((backend, error))
                if number < len(route.backends):
                    following = route.backends[number].name
                    self._metrics.fallbacks.labels(route.name, backend.name, following, error.reason).inc()
                continue
            backend.answered()
            return result
        raise NoBackend(route.name, failures)


def _ask(route: Route, backend: Backend, endpoint: Endpoint, body: Mapping[str, Any]) -> Ask:
    return Ask(endpoint, {**body, "model": backend.model}, route.timeouts.connect)


async def _begin(
    trial: AsyncExitStack,
    route: Route,
    backend: Backend,
    endpoint: Endpoint,
    body: Mapping[str, Any],
    deadline: float,
) -> ModelStream:
    """Send, and wait for the first token; what is open then belongs to `trial`."""
    first_token = asyncio.get_running_loop().time() + route.timeouts.first_token
    body, hides_usage = _with_usage(body) if backend.upstream.adds_usage else (body, False)
    try:
        async with asyncio.timeout_at(min(first_token, deadline)):
            reply = await trial.enter_async_context(backend.upstream.send(_ask(route, backend, endpoint, body)))
            if reply.status != 200:
                raise _Refusal(await _read(backend, reply))
            if reply.content_type != _EVENT_STREAM:
                raise BackendError(Reason.BROKEN, "did not stream")
            stream = ModelStream(reply, route.timeouts, deadline, hides_usage=hides_usage)
            await stream.start()
            return stream
    except TimeoutError:
        raise BackendError(Reason.TIMEOUT, "gave no token in time") from None


def _with_usage(body: Mapping[str, Any]) -> tuple[Mapping[str, Any], bool]:
    """`body` asking for the stream's usage, and whether that was our idea."""
    given = body.get("stream_options")
    options = given if isinstance(given, dict) else {}
    if "include_usage" in options:
        return body, False
    return {**body, "stream_options": {**options, "include_usage": True}}, True


async def _read(backend: Backend, reply: Reply) -> Answer:
    """The whole answer; raises BackendError where it is one that another backend may do better."""
    failure = _failure(reply)
    if failure is not None:
        raise failure
    content = bytearray()
    async for chunk in reply.chunks():
        content += chunk
        if len(content) > MOST_ANSWER_BYTES:
            raise BackendError(Reason.BROKEN, f"answered with more than {MOST_ANSWER_BYTES} bytes")
    return Answer(backend, reply.status, reply.content_type, bytes(content))


_FAILURES = {
    401: (Reason.REFUSED_KEY, "refuses the API key (401)"),
    403: (Reason.REFUSED_KEY, "refuses the API key (403)"),
    404: (Reason.MODEL_MISSING, "does not have the model (404)"),
    408: (Reason.TIMEOUT, "answered 408"),
    429: (Reason.RATE_LIMITED, "is out of quota or asked too often (429)"),
    504: (Reason.TIMEOUT, "answered 504"),
}


def _failure(reply: Reply) -> BackendError | None:
    """What an HTTP status means for the choice of backends; None: this is the answer."""
    status = reply.status
    if status in _FAILURES:
        return BackendError(*_FAILURES[status], reply.retry_after)
    if status >= 500:
        return BackendError(Reason.SERVER_ERROR, f"answered {status}", reply.retry_after)
    return None if status == 200 or status >= 400 else BackendError(Reason.BROKEN, f"answered {status}")
