"""Keeping answers: what comes from inside passes at once; when it is over it is looked at, shared and written."""

import contextlib
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from aiapp_service.cache import responses
from aiapp_service.cache.exact import ExactCache
from aiapp_service.cache.flights import Lead
from aiapp_service.cache.policy import may_keep
from aiapp_service.cache.question import Question
from aiapp_service.cache.recording import Recording, Room, Unfit
from aiapp_service.cache.semantic import Place, SemanticCache
from aiapp_service.cache.stored import MOST_BYTES, Stored
from aiapp_service.cache.writes import Writes
from aiapp_service.llm.upstream import Endpoint
from aiapp_service.llm.usage import Usage
from aiapp_service.pipeline.exchange import Exchange, Outcome, Streaming
from aiapp_service.stores.breaker import StoreDown


@dataclass
class Asked:
    """One request that may be answered from a cache. With `lead` others may wait for its answer."""

    key: bytes
    tenant: str
    model: str
    question: Question | None
    place: Place | None = None
    lead: Lead | None = None

    def nothing_to_share(self) -> None:
        """Let those go who wait."""
        if self.lead is not None:
            self.lead.close()


class Keeping:
    """Writes to the caches that there are."""

    def __init__(self, exact: ExactCache | None, semantic: SemanticCache | None, writes: Writes) -> None:
        self._exact = exact
        self._semantic = semantic
        self._writes = writes
        self._room = Room()

    def keep(self, exchange: Exchange, asked: Asked, outcome: Outcome) -> Outcome:
        """The same outcome, kept when it is over and fit for it."""
        if isinstance(outcome, Streaming):
            events = self._recorded(exchange, asked, outcome.events)
            # Where the client leaves, what is inside is closed before others look at what it noted.
            exchange.cleanup.push_async_callback(events.aclose)
            return Streaming(events)
        if outcome.status != 200 or len(outcome.body) > MOST_BYTES:
            asked.nothing_to_share()
        else:
            self._later(asked, partial(_of_whole, exchange.endpoint, outcome.body, exchange.call.usage))
        return outcome

    async def _recorded(
        self, exchange: Exchange, asked: Asked, events: AsyncIterator[bytes]
    ) -> AsyncGenerator[bytes, None]:
        recording = Recording(self._room)
        try:
            async for passed in events:
                recording.add(passed)
                yield passed
        except BaseException as error:  # a client that leaves cancels this
            recording.forget()
            # Where the client has left, somebody else may lead.
            if isinstance(error, Exception):
                asked.nothing_to_share()
            raise
        finally:
            if isinstance(events, AsyncGenerator):
                await events.aclose()
        if not self._later(asked, partial(_of_stream, exchange.endpoint, recording, exchange.call.usage)):
            recording.forget()

    def _later(self, asked: Asked, look: Callable[[], Awaitable[Stored | None]]) -> bool:
        """Look and keep in the background; False: there is too much of that already."""
        if asked.lead is not None:
            asked.lead.hand_over()
        started = self._writes.start(partial(self._finish, asked, look))
        if not started:
            asked.nothing_to_share()
        return started

    async def _finish(self, asked: Asked, look: Callable[[], Awaitable[Stored | None]]) -> None:
        try:
            stored = await look()
            if stored is None:
                return
            if asked.lead is not None:
                asked.lead.share(stored)
            await self._put(asked, stored)
        finally:
            # Not before it is written: else whoever comes in between finds it nowhere.
            asked.nothing_to_share()

    async def _put(self, asked: Asked, stored: Stored) -> None:
        if self._exact is not None:
            with contextlib.suppress(StoreDown):
                await self._exact.put(asked.key, stored)
        if self._semantic is not None and asked.question is not None:
            with contextlib.suppress(StoreDown):
                place = asked.place or await self._semantic.place(asked.tenant, asked.model, asked.question)
                await self._semantic.put(place, stored)


async def _of_whole(endpoint: Endpoint, body: bytes, usage: Usage | None) -> Stored | None:
    try:
        document = json.loads(body)
    except ValueError:
        return None
    return Stored(body, usage, time.time()) if _fit(endpoint, document) else None


def _fit(endpoint: Endpoint, document: Any) -> bool:
    if endpoint is Endpoint.EMBEDDINGS:
        return isinstance(document, dict) and bool(document.get("data"))
    return responses.may_keep(document) if endpoint is Endpoint.RESPONSES else may_keep(document)


async def _of_stream(endpoint: Endpoint, recording: Recording, usage: Usage | None) -> Stored | None:
    try:
        is_response = endpoint is Endpoint.RESPONSES
        document = responses.in_stream(recording.taken()) if is_response else await recording.whole(usage)
    except Unfit:
        return None
    finally:
        recording.forget()
    body = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
    return Stored(body, usage, time.time()) if _fit(endpoint, document) and len(body) <= MOST_BYTES else None
