"""What the router needs of a backend, whichever wire it is reached by."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol


class Endpoint(StrEnum):
    """Paths below /v1, and the `endpoint` label of metrics."""

    CHAT = "chat/completions"
    EMBEDDINGS = "embeddings"
    RESPONSES = "responses"


class Reason(StrEnum):
    """Why a backend did not serve a request; the label of ai_fallbacks_total."""

    CONNECT = "connect"
    TIMEOUT = "timeout"
    SERVER_ERROR = "server_error"
    RATE_LIMITED = "rate_limited"
    OUT_OF_QUOTA = "out_of_quota"
    REFUSED_KEY = "refused_key"
    MODEL_MISSING = "model_missing"
    BROKEN = "broken"
    CONTEXT_LENGTH = "context_length"
    UNSUPPORTED = "unsupported"


class BackendError(Exception):
    """A backend did not serve: the next one may. The message is fit for clients: it holds no secret.

    `retry_after` is what the backend said in its header of that name, `status` its HTTP status where it gave one.
    """

    def __init__(
        self, reason: Reason, message: str, retry_after: str | None = None, *, status: int | None = None
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.retry_after = retry_after
        self.status = status


@dataclass(frozen=True)
class Ask:
    """One request to one backend. `body` already names the backend's own model."""

    endpoint: Endpoint
    body: Mapping[str, Any]
    connect_seconds: float


class Reply(Protocol):
    """The answer, whose body comes in pieces."""

    @property
    def status(self) -> int:
        """HTTP status."""

    @property
    def content_type(self) -> str:
        """Media type, without parameters."""

    @property
    def retry_after(self) -> str | None:
        """The header of that name."""

    def chunks(self) -> AsyncIterator[bytes]:
        """The body. Raises BackendError when it breaks off."""


class Upstream(Protocol):
    """A place to send requests to."""

    @property
    def adds_usage(self) -> bool:
        """Whether streams may be asked for their usage though the client did not: not every server knows how."""

    @property
    def has_responses(self) -> bool:
        """Whether it speaks the Responses API itself; else it is asked for chats only."""

    def send(self, ask: Ask) -> AbstractAsyncContextManager[Reply]:
        """Send; leaving the context ends the request at once. Raises BackendError without an answer."""

    async def probe(self) -> None:
        """Ask whether it is there. Raises BackendError."""
