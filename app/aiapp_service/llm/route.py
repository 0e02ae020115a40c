"""A name that clients ask for, and what it means when none of its backends answers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from aiapp_service.config import ModelKind, Strategy, TimeoutsConfig
from aiapp_service.llm.backend import Backend
from aiapp_service.llm.failures import Refused
from aiapp_service.llm.upstream import BackendError, Reason


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

    @property
    def has_responses(self) -> bool:
        """Whether one of the backends speaks the Responses API."""
        return any(backend.upstream.has_responses for backend in self.backends)


class NoBackend(Exception):
    """Every backend of a model failed; `failures` says each one's reason, in the order tried."""

    def __init__(self, model: str, failures: Sequence[tuple[Backend, BackendError]]) -> None:
        tried = "; ".join(f"{backend.name} {error}" for backend, error in failures)
        super().__init__(f"no backend of model {model} could answer: {tried}")
        # What cannot be said to a backend is no failure of it, where another one could be told.
        self.reasons = [error.reason for _, error in failures if error.reason is not Reason.UNSUPPORTED]
        self.retry_after = next((error.retry_after for _, error in failures if error.retry_after), None)


def refused_by_all(route: Route, failures: Sequence[tuple[Backend, BackendError]]) -> tuple[Backend, Refused]:
    """The refusal that is the answer, and whose it is: the client's mistake wherever the request could be sent.

    Raises:
        NoBackend: for all other failures.
    """
    # That one backend cannot be told something says nothing of those that could.
    telling = [failure for failure in failures if failure[1].reason is not Reason.UNSUPPORTED] or failures
    refused = [(backend, error) for backend, error in telling if isinstance(error, Refused)]
    if not refused or refused[-1][1] is not telling[-1][1]:
        # Where a larger one failed otherwise, the request is not the client's mistake.
        raise NoBackend(route.name, failures)
    return refused[0]
