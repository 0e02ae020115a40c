"""The events of a message -> the chunks of a chat completion.

https://platform.claude.com/docs/en/build-with-claude/streaming
"""

import json
import time
from typing import Any

from aiapp_service.llm.anthropic.answer import ending, usage_of_message
from aiapp_service.llm.anthropic.errors import failure_of
from aiapp_service.llm.sse import DONE, data_of, event_of
from aiapp_service.llm.translated import as_json
from aiapp_service.llm.upstream import BackendError, Reason

# A comment: clients skip it, and whoever waits sees that the other side lives.
_PING = b": ping\n\n"


class ChatChunks:
    """Translates the events of one message, one after the other; `[DONE]` comes only after the message's own end."""

    def __init__(self, *, with_usage: bool) -> None:
        self._with_usage = with_usage
        self._head: dict[str, Any] = {"id": None, "object": "chat.completion.chunk", "created": int(time.time())}
        self._usage: dict[str, Any] = {}
        self._calls: dict[int, int] = {}  # number of a block -> of a tool call
        self._without_input: set[int] = set()  # blocks of calls whose arguments have not begun
        self._handlers = {
            "content_block_delta": self._delta,
            "content_block_start": self._start,
            "content_block_stop": self._stop,
            "message_start": self._begin,
            "message_delta": self._end,
        }

    def feed(self, event: bytes) -> bytes:
        """The chunks that say what an event says; events of kinds that are not known say nothing.

        Raises:
            BackendError: it is an error, or nothing that belongs into a message.
        """
        data = data_of(event)
        if not data:
            return b""
        try:
            document = json.loads(data)
            kind = document["type"]
            if kind == "ping":
                return _PING
            if kind == "error":
                raise failure_of(document.get("error"))
            if kind == "message_stop":
                return self._done()
            handler = self._handlers.get(kind)
            return handler(document) if handler is not None else b""
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise BackendError(Reason.BROKEN, "sent something that is no message") from error

    def _begin(self, event: dict[str, Any]) -> bytes:
        message = event["message"]
        self._head.update(id=message.get("id"), model=message.get("model"))
        self._usage.update(message.get("usage") or {})
        return self._chunk({"role": "assistant", "content": ""})

    def _start(self, event: dict[str, Any]) -> bytes:
        block, number = event["content_block"], event["index"]
        if block["type"] == "text":
            return self._chunk({"content": block["text"]}) if block.get("text") else b""
        if block["type"] != "tool_use":
            return b""
        call = self._calls[number] = len(self._calls)
        given = json.dumps(block["input"], ensure_ascii=False) if block.get("input") else ""
        if not given:
            self._without_input.add(number)
        function = {"name": block["name"], "arguments": given}
        return self._chunk(
            {"tool_calls": [{"index": call, "id": block["id"], "type": "function", "function": function}]}
        )

    def _delta(self, event: dict[str, Any]) -> bytes:
        delta = event["delta"]
        match delta["type"]:
            case "text_delta":
                return self._chunk({"content": delta["text"]})
            case "input_json_delta" if delta["partial_json"] and event["index"] in self._calls:
                self._without_input.discard(event["index"])
                return self._arguments(event["index"], delta["partial_json"])
            case "thinking_delta" if delta["thinking"]:
                return self._chunk({"reasoning_content": delta["thinking"]})
            case _:
                return b""

    def _stop(self, event: dict[str, Any]) -> bytes:
        number = event["index"]
        if number not in self._without_input:
            return b""
        # Clients parse the arguments also of a tool that takes none.
        self._without_input.discard(number)
        return self._arguments(number, "{}")

    def _end(self, event: dict[str, Any]) -> bytes:
        # Counts are totals; those that are left out stay as they were at the start.
        self._usage.update({name: value for name, value in (event.get("usage") or {}).items() if value is not None})
        if not event["delta"].get("stop_reason"):
            return b""
        return self._event(choices=[{"index": 0, "delta": {}, **ending(event["delta"])}])

    def _done(self) -> bytes:
        usage = self._event(choices=[], usage=usage_of_message(self._usage)) if self._with_usage else b""
        return usage + event_of(DONE)

    def _arguments(self, number: int, text: str) -> bytes:
        return self._chunk({"tool_calls": [{"index": self._calls[number], "function": {"arguments": text}}]})

    def _chunk(self, delta: dict[str, Any]) -> bytes:
        return self._event(choices=[{"index": 0, "delta": delta, "finish_reason": None}])

    def _event(self, **fields: Any) -> bytes:
        return event_of(as_json({**self._head, **fields}))
