"""The tool calls of a stream, put in a row.

In a message one block follows the other. Servers of chats may tell several calls in turns, so a call that has begun
goes on until its arguments are a whole JSON text; what comes of the next ones meanwhile waits for that. Some servers
give all calls the same index: then the identifier tells them apart.
"""

import json
from dataclasses import dataclass, field
from typing import Any

from aiapp_service.http.anthropic.message import call_id


@dataclass
class Call:
    """One call. `waiting` are pieces of its arguments that are not told yet."""

    name: Any
    given_id: Any
    waiting: list[str] = field(default_factory=list)
    arguments: str = ""

    def __post_init__(self) -> None:
        self.id = call_id(self.given_id)

    @property
    def is_whole(self) -> bool:
        """Whether its arguments are complete. Those of a call without any are not known to be, before the end."""
        try:
            json.loads(self.arguments)
        except ValueError:
            return False
        return True


class ToolCalls:
    """Of one stream: `told` is the one that is being told."""

    def __init__(self) -> None:
        self.told: Call | None = None
        self._by_index: dict[int, Call] = {}
        self._waiting: list[Call] = []

    @property
    def any(self) -> bool:
        """Whether there are calls at all."""
        return bool(self._by_index)

    def take(self, piece: dict[str, Any]) -> None:
        """A piece of one of them, as a chunk has it."""
        index, name = piece.get("index") or 0, piece.get("id")
        function = piece.get("function") or {}
        call = self._by_index.get(index)
        if call is None or (name and call.given_id and name != call.given_id):
            call = self._by_index[index] = Call(function.get("name"), name)
            self._waiting.append(call)
        if arguments := function.get("arguments"):
            call.waiting.append(arguments)

    def next(self, *, at_the_end: bool = False) -> Call | None:
        """The call to begin with now; None as long as the one before goes on, or there is none."""
        if not self._waiting or (self.told is not None and not at_the_end and not self.told.is_whole):
            return None
        self.told = self._waiting.pop(0)
        return self.told

    def arguments(self) -> str:
        """What is to be told now of the call that is being told."""
        if self.told is None:
            return ""
        text, self.told.waiting = "".join(self.told.waiting), []
        self.told.arguments += text
        return text
