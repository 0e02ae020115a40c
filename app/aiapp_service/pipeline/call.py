"""What is noted of each request: for the access log, the metrics, the ledger."""

import time
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from aiapp_service.llm.backend import Backend
from aiapp_service.llm.upstream import Endpoint
from aiapp_service.llm.usage import Usage
from aiapp_service.pipeline.principal import NOBODY, Principal
from aiapp_service.telemetry.metrics import UNKNOWN

REQUEST_ID = "x-request-id"


class Caching(StrEnum):
    """What a client lets caches do: give an answer and keep one, only keep one, or nothing."""

    USE = "use"
    REFRESH = "refresh"
    OFF = "off"


@dataclass
class Call:
    """One request to the API. `headers` go into its response."""

    request_id: str
    traceparent: str = ""  # the trace that the client is in, as W3C's header has it
    started: float = field(default_factory=time.perf_counter)
    endpoint: Endpoint | None = None
    model: str = UNKNOWN
    principal: Principal = NOBODY
    backend: Backend | None = None
    streamed: bool = False
    truncated: bool = False
    first_token_seconds: float | None = None
    pieces: int = 0  # pieces of a stream that were passed on
    worked: bool = False  # a backend has spent its time on it
    complete: bool = True  # it came to the end of what it had to say
    usage: Usage | None = None
    estimated: bool = False  # usage was not told by the backend
    cost: Decimal | None = None
    billed_apart: bool = False  # whoever made the call writes its row of the ledger
    rounds: "list[Call]" = field(default_factory=list)  # calls of backends that this one is made of, if there are
    caching: Caching = Caching.USE
    cache: str = ""  # "exact" or "semantic" where the answer came from there
    headers: dict[str, str] = field(default_factory=dict)

    def spoke(self) -> None:
        """The first token is here."""
        self.first_token_seconds = time.perf_counter() - self.started

    def response_headers(self) -> dict[str, str]:
        """What the response says besides its body."""
        return {REQUEST_ID: self.request_id, **self.headers}

    @property
    def seconds(self) -> float:
        """How long it has been under way."""
        return time.perf_counter() - self.started
