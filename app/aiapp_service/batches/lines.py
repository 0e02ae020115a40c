"""A file that comes in chunks -> its lines, one after the other."""

from collections.abc import AsyncIterator

# As much as one request to the API may have.
MOST_LINE_BYTES = 20 * 1024 * 1024


class LineTooLong(Exception):
    """`number` is the line's."""

    def __init__(self, number: int) -> None:
        super().__init__(f"line {number} has more than {MOST_LINE_BYTES} bytes")
        self.number = number


async def lines_of(chunks: AsyncIterator[bytes]) -> AsyncIterator[tuple[int, bytes]]:
    """Number, from 1, and text of each line that is not blank.

    Raises:
        LineTooLong: so that no file takes more memory than one line of it.
    """
    number, rest = 0, b""
    async for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            number += 1
            if len(line) > MOST_LINE_BYTES:
                raise LineTooLong(number)
            if line.strip():
                yield number, line
        if len(rest) > MOST_LINE_BYTES:
            raise LineTooLong(number + 1)
    if rest.strip():
        yield number + 1, rest
