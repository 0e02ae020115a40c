"""The chunks of a chat completion -> the events of a message.

https://platform.claude.com/docs/en/build-with-claude/streaming
"""

import json
from typing import Any

from aiapp_service.http.anthropic.errors import error_document
from aiapp_service.http.anthropic.message import id_of, stop_of, usage_of
from aiapp_service.http.anthropic.tool_calls import ToolCalls
from aiapp_service.http.errors import ApiError
from aiapp_service.llm.chat_answer import thoughts_in
from aiapp_service.llm.sse import DONE, Splitter, data_of

_PING = b'event: ping\ndata: {"type": "ping"}\n\n'


class MessageStream:
    """One stream. Blocks come one after the other; a new one ends that before it."""

    def __init__(self, request_id: str, *, thoughts: bool) -> None:
        self._request_id = request_id
        self._thoughts = thoughts
        self._splitter = Splitter()
        self._begun = False
        self._blocks = 0
        self._open = ""  # the kind of the last block, as long as it goes on
        self._calls = ToolCalls()
        self._call_block = 0  # of the one that is being told
        self._finish: dict[str, Any] = {}
        self._usage: Any = None

    def feed(self, events: bytes) -> bytes:
        """The events of the message that these chunks make.

        Raises:
            ApiError: the backend sent something that is no chat.
        """
        try:
            return b"".join([made for event in self._splitter.feed(events) for made in self._events(event)])
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            message = "the answer is not complete: the backend sent something that is no chat"
            raise ApiError(502, message, type_="server_error", code="stream_truncated") from error

    def broken(self, error: ApiError) -> bytes:
        """An `error` event: no message_stop comes after it."""
        return _event(error_document(error.status, str(error), self._request_id))

    def _events(self, event: bytes) -> list[bytes]:
        data = data_of(event).strip()
        if not data:
            return [_PING] if self._begun else []
        if data == DONE:
            return self._done()
        chunk = json.loads(data)
        made = [] if self._begun else [self._begin(chunk)]
        self._usage = chunk.get("usage") or self._usage
        for choice in chunk.get("choices") or []:
            if choice.get("index", 0) != 0:
                continue
            delta = choice.get("delta") or {}
            if self._thoughts and (thought := thoughts_in(delta)):
                made += self._says("thinking", "thinking_delta", thought)
            if text := delta.get("content") or delta.get("refusal"):
                made += self._says("text", "text_delta", text)
            for call in delta.get("tool_calls") or []:
                self._calls.take(call)
            made += self._calls_tools()
            if choice.get("finish_reason"):
                self._finish = choice
        return made

    def _begin(self, chunk: dict[str, Any]) -> bytes:
        self._begun = True
        message: dict[str, Any] = {
            "id": id_of(chunk),
            "type": "message",
            "role": "assistant",
            "model": chunk.get("model"),
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": usage_of(None),
        }
        return _event({"type": "message_start", "message": message})

    def _says(self, kind: str, delta: str, text: str) -> list[bytes]:
        made: list[bytes] = []
        if self._open != kind:
            empty = {"type": kind, kind: "", **({"signature": ""} if kind == "thinking" else {})}
            made = self._opens(empty)
        return [*made, self._delta(self._blocks - 1, {"type": delta, kind: text})]

    def _calls_tools(self, *, at_the_end: bool = False) -> list[bytes]:
        made = self._arguments()
        while (call := self._calls.next(at_the_end=at_the_end)) is not None:
            made += self._opens({"type": "tool_use", "id": call.id, "name": call.name, "input": {}})
            self._call_block = self._blocks - 1
            made += self._arguments()
        return made

    def _arguments(self) -> list[bytes]:
        text = self._calls.arguments()
        return [self._delta(self._call_block, {"type": "input_json_delta", "partial_json": text})] if text else []

    def _opens(self, block: dict[str, Any]) -> list[bytes]:
        made = self._closes()
        self._open = block["type"]
        self._blocks += 1
        return [*made, _event({"type": "content_block_start", "index": self._blocks - 1, "content_block": block})]

    def _closes(self) -> list[bytes]:
        if not self._open:
            return []
        self._open = ""
        return [_event({"type": "content_block_stop", "index": self._blocks - 1})]

    def _delta(self, index: int, delta: dict[str, Any]) -> bytes:
        return _event({"type": "content_block_delta", "index": index, "delta": delta})

    def _done(self) -> list[bytes]:
        made = self._calls_tools(at_the_end=True)
        stop = stop_of(self._finish, calls=self._calls.any)
        end = {"type": "message_delta", "delta": stop, "usage": usage_of(self._usage)}
        return [*made, *self._closes(), _event(end), _event({"type": "message_stop"})]


def _event(document: dict[str, Any]) -> bytes:
    data = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    return f"event: {document['type']}\ndata: {data}\n\n".encode("utf-8", "replace")
