"""Server-sent events as bytes: cut into whole events, looked into only where that is needed.

Format: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

import re
from collections.abc import Iterator

DONE = b"[DONE]"
# An event that does not end within this many bytes is no event of a model.
MOST_BYTES = 16 * 1024 * 1024
_BLANK_LINE = re.compile(rb"\r\n\r\n|\n\n|\n\r\n|\r\r")


class EventTooLong(ValueError):
    """The end of an event did not come."""


class Splitter:
    """Cuts a stream of bytes into events, wherever its chunks begin and end."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """The events that are complete now, each with the blank line that ends it.

        Raises:
            EventTooLong: more than MOST_BYTES came without an end.
        """
        buffer = self._rest + chunk if self._rest else chunk
        start = 0
        # The blank line may have begun in the bytes that were there before.
        for match in _BLANK_LINE.finditer(buffer):
            yield buffer[start : match.end()]
            start = match.end()
        self._rest = buffer[start:]
        if len(self._rest) > MOST_BYTES:
            raise EventTooLong(f"an event of more than {MOST_BYTES} bytes")

    def whole(self, chunk: bytes) -> bytes:
        """All events that are complete now, as they came, in one piece.

        Raises:
            EventTooLong: more than MOST_BYTES came without an end.
        """
        buffer = self._rest + chunk if self._rest else chunk
        end = 0
        if b"\r" not in buffer:
            # By far the most usual, and found without looking at each event.
            last = buffer.rfind(b"\n\n")
            end = last + 2 if last >= 0 else 0
        else:
            for match in _BLANK_LINE.finditer(buffer):
                end = match.end()
        self._rest = buffer[end:]
        if len(self._rest) > MOST_BYTES:
            raise EventTooLong(f"an event of more than {MOST_BYTES} bytes")
        return buffer[:end]

    @property
    def rest(self) -> bytes:
        """Bytes of an event that is not complete."""
        return self._rest


def events_of(whole: bytes) -> Iterator[tuple[bytes, int]]:
    """Each of some whole events, and where it ends."""
    start = 0
    for match in _BLANK_LINE.finditer(whole):
        yield whole[start : match.end()], match.end()
        start = match.end()


def data_of(event: bytes) -> bytes:
    """The data of an event, its lines joined; empty for comments and keep-alives."""
    lines = (line[5:].removeprefix(b" ") for line in event.splitlines() if line.startswith(b"data:"))
    return b"\n".join(lines)


def event_of(data: bytes) -> bytes:
    """An event with one line of data."""
    return b"data: " + data + b"\n\n"
