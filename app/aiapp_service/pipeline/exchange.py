"""One request on its way through the stages, and what comes back.

Everything between the faces (OpenAI's chat, its responses, Anthropic's messages) and the backends speaks the
wire format of OpenAI's chat completions: `Exchange.body` is such a request, `Whole.body` such an answer,
`Streaming.events` such server-sent events, whole ones, as bytes. Embeddings are the same with their own bodies.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiapp_service.llm.route import Route
from aiapp_service.llm.upstream import Endpoint
from aiapp_service.pipeline.call import Call

if TYPE_CHECKING:
    from aiapp_service.retrieval.tool.calls import SearchCall

JSON = "application/json"


@dataclass
class Exchange:
    """One request. Stages may change `body`; what is put on `cleanup` runs when the response is out or given up."""

    call: Call
    route: Route
    endpoint: Endpoint
    body: dict[str, Any]
    variables: Sequence[str] = ()  # texts that the client put into a prompt
    # Searches of the tool `file_search`, for a face that tells of them; None: it does not.
    searches: "list[SearchCall] | None" = None
    cleanup: AsyncExitStack = field(default_factory=AsyncExitStack)

    @property
    def streamed(self) -> bool:
        """Whether the client wants the answer piece by piece."""
        return bool(self.body.get("stream"))


@dataclass(frozen=True)
class Whole:
    """An answer in one piece; one that is not 200 tells the client of its own mistake, in the backend's words."""

    status: int
    body: bytes
    content_type: str = JSON


@dataclass(frozen=True)
class Streaming:
    """An answer that has begun. Iterating raises BackendError when it breaks off; it ends only after `[DONE]`."""

    events: AsyncIterator[bytes]


Outcome = Whole | Streaming
Next = Callable[[Exchange], Awaitable[Outcome]]
Stage = Callable[[Exchange, Next], Awaitable[Outcome]]


def pipeline(stages: Sequence[Stage], last: Next) -> Next:
    """`stages` from the outermost to the innermost, around `last`.

    A stage raises ApiError to answer the client, and NoBackend passes through it.
    """
    following = last
    for stage in reversed(stages):
        following = _around(stage, following)
    return following


def _around(stage: Stage, following: Next) -> Next:
    # No coroutine around the stage's own.
    return lambda exchange: stage(exchange, following)
