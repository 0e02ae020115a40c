"""Round after round: the model is asked, searches, and is asked again with what was found, until it has answered.

Where it calls functions of the client's in the same breath the client gets these calls, and the search is dropped: the
conversation cannot go on before they are answered, and the model can search again then.
"""

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

from aiapp_service.http.errors import bad_request
from aiapp_service.llm.usage import Usage
from aiapp_service.pipeline.accounting import complete
from aiapp_service.pipeline.call import Caching
from aiapp_service.pipeline.exchange import Exchange, Next, Outcome
from aiapp_service.retrieval.service import VectorStores
from aiapp_service.retrieval.tool.request import Tool, first_body, next_body
from aiapp_service.retrieval.tool.searcher import Searcher

MOST_ROUNDS = 5


class Rounds:
    """Of one request."""

    def __init__(self, exchange: Exchange, following: Next, searcher: Searcher) -> None:
        self.exchange = exchange
        self.searcher = searcher
        self._following = following
        self._body = first_body(exchange.body)
        self._open: AsyncExitStack | None = None

    @classmethod
    async def of(cls, exchange: Exchange, following: Next, stores: VectorStores) -> "Rounds":
        """Look at the tool.

        Raises:
            ApiError: it is wrong, or names a vector store that is not there.
        """
        if exchange.body.get("n") not in (None, 1):
            raise bad_request("n has to be 1 with the tool file_search", "n")
        tool = Tool.of(exchange.body["tools"])
        rounds = cls(exchange, following, await Searcher.of(stores, tool, exchange.call))
        exchange.cleanup.push_async_callback(rounds.end)
        return rounds

    async def ask(self) -> Outcome:
        """What the model answers next. What it has used is known after `end`."""
        outer = self.exchange
        call = replace(outer.call, rounds=[], caching=Caching.OFF)
        outer.call.rounds.append(call)
        stack = AsyncExitStack()
        inner = replace(outer, call=call, body=self._body, searches=None, cleanup=AsyncExitStack())
        # In this order when it is over: what the backend told is noted, then it is counted.
        stack.callback(complete, inner)
        await stack.enter_async_context(inner.cleanup)
        self._open = stack
        outcome = await self._following(inner)
        outer.call.backend = call.backend
        if outer.call.first_token_seconds is None:
            outer.call.first_token_seconds = call.first_token_seconds
        return outcome

    async def end(self) -> None:
        """The round that is under way is over."""
        stack, self._open = self._open, None
        if stack is not None:
            await stack.aclose()
            # For faces that tell it at the end of a stream, before the call is over.
            self.exchange.call.usage = self.used

    async def search(self, message: Mapping[str, Any], calls: Sequence[Mapping[str, Any]]) -> None:
        """Answer the calls of a message that only searches, so that the model can be asked again."""
        said: list[Mapping[str, Any]] = [{"role": "assistant", "content": None, **message, "tool_calls": list(calls)}]
        said += [await self.searcher.run(dict(call)) for call in calls]
        last = len(self.exchange.call.rounds) >= MOST_ROUNDS
        self._body = next_body(self._body, said, last=last)
        if self.exchange.searches is not None:
            self.exchange.searches[:] = self.searcher.calls

    @property
    def under_way(self) -> bool:
        """Whether a round is."""
        return self._open is not None

    @property
    def used(self) -> Usage:
        """What all rounds that are over have used."""
        told = [call.usage for call in self.exchange.call.rounds if call.usage is not None]
        return sum(told, Usage())
