"""Where one attempt goes: a backend, or one of its replicas and then the next, before the next backend's turn."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from aiapp_service.llm.backend import Backend
from aiapp_service.llm.replicas import Replica
from aiapp_service.llm.standing import Turn
from aiapp_service.llm.upstream import BackendError, Reason, Upstream

MOST_REPLICAS = 3
# Other replicas would say the same.
_OF_ALL = frozenset({Reason.REFUSED_KEY, Reason.MODEL_MISSING, Reason.OUT_OF_QUOTA, Reason.CONTEXT_LENGTH})

T = TypeVar("T")


@dataclass(slots=True)
class Place:
    """A backend, and which of its replicas where it has several.

    As a context it counts one more request under way while it lasts.
    """

    backend: Backend
    replica: Replica | None = None

    @property
    def upstream(self) -> Upstream:
        """Where to send to."""
        return self.backend.upstream if self.replica is None else self.replica.upstream

    def __enter__(self) -> None:
        self.backend.known.load.__enter__()
        if self.backend.waking is not None:
            self.backend.waking.begin()
        if self.replica is not None:
            self.replica.load.__enter__()

    def __exit__(self, *_error: object) -> None:
        self.backend.known.load.__exit__()
        if self.backend.waking is not None:
            self.backend.waking.end()
        if self.replica is not None:
            self.replica.load.__exit__()

    def broke(self, error: BackendError) -> None:
        """A stream that it had begun did not reach its end."""
        if self.replica is None:
            self.backend.failed(error)
        else:
            now = time.monotonic()
            self.replica.standing.failed(Turn(now), error, now)


async def try_places(
    backend: Backend, conversation: Callable[[], bytes], attempt: Callable[[Place], Awaitable[T]]
) -> T:
    """What `attempt` gives for `backend`, or for the first of its replicas that serves.

    Raises:
        BackendError: none did.
    """
    replicas = backend.replicas
    if replicas is None or len(replicas.replicas) < 2:
        return await attempt(Place(backend))
    failure: BackendError | None = None
    for replica in replicas.order(conversation(), time.monotonic())[:MOST_REPLICAS]:
        turn = replica.standing.begin(time.monotonic())
        try:
            result = await attempt(Place(backend, replica))
        except BackendError as error:
            if error.reason in _OF_ALL:
                raise
            replica.standing.failed(turn, error, time.monotonic())
            failure = error
        else:
            replica.standing.answered(turn, time.monotonic())
            return result
        finally:
            replica.standing.over(turn)
    if failure is None:
        raise BackendError(Reason.CONNECT, "has no replicas")
    if failure.reason is Reason.CONNECT and replicas.balanced:
        # Addresses outlive their pods in caches of names; the Service knows which ones are ready.
        return await attempt(Place(backend))
    raise failure
