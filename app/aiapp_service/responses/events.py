"""The events of one stream, numbered."""

import json
from typing import Any

# Made once: `json.dumps` makes one for each event.
_encode = json.JSONEncoder(separators=(",", ":")).encode


class Events:
    """Writes them as server-sent events, each with the next number."""

    def __init__(self) -> None:
        self._number = 0

    def write(self, type_: str, **fields: Any) -> bytes:
        """One event."""
        document = {"type": type_, "sequence_number": self._number, **fields}
        self._number += 1
        return f"event: {type_}\ndata: {_encode(document)}\n\n".encode()
