"""The way of a stream through guardrails, whatever form its events have."""

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Protocol

from aiapp_service.guardrails import report
from aiapp_service.guardrails.passage import Unavailable
from aiapp_service.llm.sse import Splitter


class Watcher(Protocol):
    """The state of one stream. `over`: nothing more is to come, because of a guardrail."""

    over: bool

    async def event(self, event: bytes) -> bytes:
        """What may be shown for this event."""


async def watched(events: AsyncIterator[bytes], watcher: Watcher, last: bytes = b"") -> AsyncGenerator[bytes, None]:
    """The events that may be shown; `last` follows where a guardrail ends the stream.

    Raises:
        ApiError: a guardrail's judge could not be asked.
    """
    splitter = Splitter()
    try:
        async for piece in events:
            shown = [await watcher.event(event) for event in splitter.feed(piece) if not watcher.over]
            if watcher.over:
                shown.append(last)
            if out := b"".join(shown):
                yield out
            if watcher.over:
                return
    except Unavailable as error:
        raise report.unavailable(error) from error
    finally:
        if isinstance(events, AsyncGenerator):
            await events.aclose()
