"""The chunks of a streamed chat completion -> the events of a streamed response."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from aiapp_service.http.errors import ApiError
from aiapp_service.llm.chat_answer import thoughts_in
from aiapp_service.llm.sse import DONE, Splitter, data_of
from aiapp_service.llm.usage import Usage, usage_of
from aiapp_service.responses import answer, ids, items
from aiapp_service.responses.events import Events
from aiapp_service.responses.items import COMPLETED, IN_PROGRESS, INCOMPLETE
from aiapp_service.responses.speaking import Spoken, SpokenCall, SpokenMessage, SpokenReasoning, SpokenSearch
from aiapp_service.retrieval.tool.calls import MARK, SearchCall

_RATE_LIMITED = 429


class ResponseStream:
    """One response. `document` is it as far as it has come; it is complete only after `finish`."""

    def __init__(
        self, document: Mapping[str, Any], searches: Sequence[SearchCall] = (), *, results: bool = False
    ) -> None:
        self.document = dict(document)
        # Filled while the stream goes on; told with what was found where `results` says so.
        self._searches = searches
        self._results = results
        self._told = 0
        self._events = Events()
        self._splitter = Splitter()
        self._begun = False
        self._output: list[Spoken] = []
        # By the index that the backend gives them. Calls may be told in turns, so that they stay open to the end.
        self._calls: dict[int, SpokenCall] = {}
        # Of everything else only the last one is open.
        self._open: SpokenReasoning | SpokenMessage | None = None
        self._finish: object = None
        self._usage: Usage | None = None

    def feed(self, chunks: bytes) -> bytes:
        """The events that follow from these chunks, which are whole ones.

        Raises:
            ApiError: these are no chunks of a chat.
        """
        written = [] if self._begun else [self._begin()]
        try:
            for event in self._splitter.feed(chunks):
                data = data_of(event)
                if data and data.strip() != DONE:
                    written.extend(self._chunk(json.loads(data)))
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            why = "the answer is not complete: the backend sent something that is no chat"
            raise ApiError(502, why, type_="server_error", code="stream_truncated") from error
        return b"".join(written)

    def finish(self, usage: Usage | None) -> bytes:
        """The chat is complete: the events that end what is open. `usage` is used where no chunk told it."""
        # A response that says nothing begins and ends all the same.
        written = [] if self._begun else [self._begin()]
        for item in self._output:
            if item.status == IN_PROGRESS:
                # Where the model had to stop short it did so in the last one.
                last = item is self._output[-1]
                written.append(item.end(answer.status_after(self._finish) if last else COMPLETED))
        output = [item.document() for item in self._output]
        self.document = answer.ended(self.document, output, self._finish, self._usage or usage)
        return b"".join(written)

    def last(self) -> bytes:
        """The event after which nothing comes."""
        return self._events.write(f"response.{self.document['status']}", response=self.document)

    def failed(self, error: ApiError) -> bytes:
        """The event that ends a response that broke off; what was said until then is in it."""
        begun = b"" if self._begun else self._begin()
        code = "rate_limit_exceeded" if error.status == _RATE_LIMITED else "server_error"
        why = {"code": code, "message": str(error)}
        for item in self._output:
            item.status = INCOMPLETE if item.status == IN_PROGRESS else item.status
        output = [item.document() for item in self._output]
        self.document |= {"status": "failed", "error": why, "output": output, "store": False}
        return begun + self.last()

    def _begin(self) -> bytes:
        self._begun = True
        created = self._events.write("response.created", response=self.document)
        return created + self._events.write("response.in_progress", response=self.document)

    def _chunk(self, chunk: Any) -> list[bytes]:
        self._usage = usage_of(chunk) or self._usage
        self.document |= answer.tier(chunk)
        choices = chunk.get("choices")
        if not choices or choices[0].get("index"):
            return []
        choice = choices[0]
        self._finish = choice.get("finish_reason") or self._finish
        delta = choice.get("delta") or {}
        written = []
        if delta.get(MARK):
            written += [self._search(call) for call in self._searches[self._told :]]
            self._told = len(self._searches)
        if thoughts := thoughts_in(delta):
            written += [self._think(thoughts)]
        if text := delta.get("content"):
            message, opened = self._message()
            written += [opened, message.text(text, answer.logprobs_in(choice))]
        if refusal := delta.get("refusal"):
            message, opened = self._message()
            written += [opened, message.refusal(refusal)]
        for annotation in delta.get("annotations") or ():
            message, opened = self._message()
            written += [opened, message.cite(annotation)]
        written += [self._call(call) for call in delta.get("tool_calls") or ()]
        return written

    def _think(self, text: str) -> bytes:
        if isinstance(self._open, SpokenReasoning):
            return self._open.more(text)
        ended = self._end_open()
        self._open = SpokenReasoning(self._events, *self._place("rs"))
        self._output.append(self._open)
        return ended + self._open.begin() + self._open.more(text)

    def _search(self, call: SearchCall) -> bytes:
        ended = self._end_open()
        item = SpokenSearch(self._events, *self._place("fs"), call, results=self._results)
        self._output.append(item)
        return ended + item.begin() + item.end(items.status_of(call))

    def _message(self) -> tuple[SpokenMessage, bytes]:
        if isinstance(self._open, SpokenMessage):
            return self._open, b""
        ended = self._end_open()
        message = SpokenMessage(self._events, *self._place("msg"))
        self._open = message
        self._output.append(message)
        return message, ended + message.begin()

    def _call(self, piece: Mapping[str, Any]) -> bytes:
        index, call_id = piece.get("index") or 0, piece.get("id")
        function = piece.get("function") or {}
        call, begun = self._calls.get(index), b""
        # Some servers give all calls the same index.
        if call is None or (call_id and call_id != call.call_id):
            begun = self._end_open()
            name, place = self._place("fc")
            call = SpokenCall(self._events, name, place, call_id or f"call_{name}", function.get("name") or "")
            self._calls[index] = call
            self._output.append(call)
            begun += call.begin()
        arguments = function.get("arguments")
        return begun + call.more(arguments) if arguments else begun

    def _place(self, prefix: str) -> tuple[str, int]:
        index = len(self._output)
        return ids.of_item(prefix, self.document["id"], index), index

    def _end_open(self) -> bytes:
        ended, self._open = self._open, None
        return b"" if ended is None else ended.end(COMPLETED)
