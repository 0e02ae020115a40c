"""Tokens, as the sizes of chunks are counted: OpenAI's cl100k_base, whose table is part of the library's wheel."""

import warnings
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import bpe_openai

ENCODING = "cl100k_base"
# The library takes no more than a million characters at once, and memory grows with the longest piece.
_PIECE = 50_000


@cache
def _encoding() -> "bpe_openai.Encoding":
    """Loaded with the first text: the library reads all of its tables, which take 90 MB of memory."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import bpe_openai  # noqa: PLC0415  # for a light start

    return bpe_openai.get_encoding(ENCODING)


def load() -> None:
    """Load the table now: it takes a second or two of a processor, which an event loop does not have."""
    _encoding()


def starts(text: str) -> list[int]:
    """Where in `text` each of its tokens begins, in characters.

    A character that takes several tokens is counted as often, and each of them begins where it does. What looks like
    a special token is text like any other.
    """
    encoding = _encoding()
    found: list[int] = []
    for start, end in pairwise(_cuts(text)):
        piece = text[start:end]
        tokens = encoding.encode_ordinary(piece)
        _, offsets = encoding.decode_with_offsets(tokens)
        found.extend(start + offset for offset in offsets)
    return found


def _cuts(text: str) -> Iterator[int]:
    """Pieces end before a space, where a token ends too, unless there is none far and wide."""
    position = 0
    yield position
    while len(text) - position > _PIECE:
        space = text.rfind(" ", position + _PIECE // 2, position + _PIECE)
        position = space if space > 0 else position + _PIECE
        yield position
    if position < len(text):
        yield len(text)
