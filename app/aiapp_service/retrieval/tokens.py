"""Tokens, as the sizes of chunks are counted: OpenAI's cl100k_base, whose table is part of the library's wheel."""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate, islice, pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import bpe_openai

ENCODING = "cl100k_base"
# The library takes no more than a million characters at once, and memory grows with the longest piece.
_PIECE = 50_000
# All bytes but those that go on with a character of UTF-8.
_FIRST_BYTES = bytes(byte for byte in range(256) if not 0x80 <= byte < 0xC0)


@cache
def _encoding() -> "bpe_openai.Encoding":
    """Loaded with the first text: the library reads all of its tables, which take 90 MB of memory."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import bpe_openai  # noqa: PLC0415  # for a light start

    return bpe_openai.get_encoding(ENCODING)


def load() -> None:
    """Load the table now: it takes a second or two of a processor, which an event loop does not have."""
    _sizes()


def starts(text: str) -> list[int]:
    """Where in `text` each of its tokens begins, in characters.

    A character that takes several tokens is counted as often, and each of them begins where it does. What looks like
    a special token is text like any other.
    """
    encoding, sizes = _encoding(), _sizes()
    found: list[int] = []
    for start, end in pairwise(_cuts(text)):
        piece = text[start:end]
        tokens = encoding.encode_ordinary(piece)
        # The library finds them, too, and takes twenty times as long.
        offsets = accumulate(map(sizes.characters.__getitem__, tokens), initial=start)
        if piece.isascii():
            found.extend(islice(offsets, len(tokens)))
        else:
            found.extend(max(start, n - sizes.inside[token]) for n, token in zip(offsets, tokens, strict=False))
    return found


@dataclass(frozen=True)
class _Sizes:
    """Of each token: how many characters begin in it, and whether it begins inside of one."""

    characters: Sequence[int]
    inside: Sequence[bool]


@cache
def _sizes() -> _Sizes:
    values = _encoding().token_byte_values()
    characters = [len(value) - len(value.translate(None, _FIRST_BYTES)) for value in values]
    return _Sizes(characters, [value[:1] not in _FIRST_BYTES for value in values])


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
