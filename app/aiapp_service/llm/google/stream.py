"""The chunks of :streamGenerateContent -> the chunks of a chat completion.

There is no mark of the end: a stream is complete when every candidate has said why it ended, which some servers say
with each chunk. Hence the end is told when the connection ends.
"""

import json
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

from aiapp_service.llm.google.answer import blocked, finish_reason, logprobs_of, spoken, usage_of_answer
from aiapp_service.llm.google.errors import failure_of
from aiapp_service.llm.sse import DONE, data_of, event_of
from aiapp_service.llm.translated import as_json, chat_events, dicts
from aiapp_service.llm.upstream import BackendError, Reason


async def chat_stream(chunks: AsyncIterator[bytes], *, with_usage: bool) -> AsyncIterator[bytes]:
    """The events of a chat, with `[DONE]` only after a complete answer.

    Raises:
        BackendError: the stream reports an error, breaks off, or is none of Gemini's.
    """
    chat = ChatChunks(with_usage=with_usage)
    async for events in chat_events(chunks, chat.feed):
        yield events
    yield chat.end()


class ChatChunks:
    """Translates the chunks of one answer, one after the other."""

    def __init__(self, *, with_usage: bool) -> None:
        self._with_usage = with_usage
        self._head: dict[str, Any] = {"id": None, "object": "chat.completion.chunk", "created": int(time.time())}
        self._usage: dict[str, Any] = {}
        self._calls: dict[int, int] = {}  # tool calls so far, by choice
        self._finish: dict[int, Any] = {}  # by choice, as the API told it

    def feed(self, event: bytes) -> bytes:
        """The chunks that say what an event says.

        Raises:
            BackendError: it is an error, or nothing that belongs into an answer, or the model failed.
        """
        data = data_of(event)
        if not data:
            return b""
        try:
            document = json.loads(data)
            if document.get("error"):
                raise failure_of(document["error"])
            self._head["id"] = document.get("responseId") or self._head["id"]
            self._head["model"] = document.get("modelVersion") or self._head.get("model")
            # Counts are totals; those that are left out stay as they were.
            self._usage.update(document.get("usageMetadata") or {})
            if not document.get("candidates") and (document.get("promptFeedback") or {}).get("blockReason"):
                return self._blocked(document)
            return b"".join([self._candidate(candidate) for candidate in dicts(document.get("candidates"))])
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise BackendError(Reason.BROKEN, "sent something that is no answer of a model") from error

    def end(self) -> bytes:
        """Why it ended, the usage, and `[DONE]`.

        Raises:
            BackendError: not everything has come.
        """
        if not self._finish or self._calls.keys() - self._finish.keys():
            raise BackendError(Reason.BROKEN, "the answer ended too early")
        ends = [
            self._event(choices=[{"index": index, "delta": {}, "logprobs": None, "finish_reason": finish}])
            for index, finish in sorted(self._finish.items())
        ]
        usage = self._event(choices=[], usage=usage_of_answer(self._usage)) if self._with_usage else b""
        return b"".join(ends) + usage + event_of(DONE)

    def _candidate(self, candidate: Mapping[str, Any]) -> bytes:
        index = candidate.get("index", 0)
        said = self._begun(index, spoken(candidate))
        calls = said.get("tool_calls", [])
        for number, call in enumerate(calls, start=self._calls[index]):
            call["index"] = number
        self._calls[index] += len(calls)
        if told := candidate.get("finishReason"):
            self._finish[index] = finish_reason(told, calls=self._calls[index] > 0)
        if not said:
            return b""
        choice = {"index": index, "delta": said, "logprobs": logprobs_of(candidate), "finish_reason": None}
        return self._event(choices=[choice])

    def _blocked(self, document: Mapping[str, Any]) -> bytes:
        said = self._begun(0, {"refusal": blocked(document)})
        self._finish[0] = "content_filter"
        return self._event(choices=[{"index": 0, "delta": said, "logprobs": None, "finish_reason": None}])

    def _begun(self, index: int, said: dict[str, Any]) -> dict[str, Any]:
        if index in self._calls:
            return said
        self._calls[index] = 0
        return {"role": "assistant", "content": "", **said}

    def _event(self, **fields: Any) -> bytes:
        return event_of(as_json({**self._head, **fields}))
