"""Cutting a text into chunks of so many tokens, each beginning with the end of the one before.

Options: https://platform.openai.com/docs/api-reference/vector-stores-files/createFile#chunking_strategy
"""

import hashlib
from bisect import bisect_right
from dataclasses import dataclass
from typing import Any, TypeGuard

from aiapp_service.http.errors import bad_request
from aiapp_service.retrieval import tokens
from aiapp_service.retrieval.parsing.document import Document

LEAST_TOKENS = 100
MOST_TOKENS = 4096
_FIELD = "chunking_strategy"


@dataclass(frozen=True)
class Strategy:
    """How long chunks are, and how much of the one before each of them repeats, in tokens."""

    size: int = 800
    overlap: int = 400

    @classmethod
    def of(cls, given: Any) -> "Strategy":
        """What a request asks for.

        Raises:
            ApiError: it is none of `{"type": "auto"}`, `{"type": "static", "static": {...}}`; names the field.
        """
        if given is None or given == {"type": "auto"}:
            return cls()
        if not isinstance(given, dict) or given.get("type") != "static":
            raise bad_request(f"{_FIELD}.type has to be auto or static", f"{_FIELD}.type")
        static = given.get("static")
        if not isinstance(static, dict):
            raise bad_request(f"{_FIELD}.static is required for type static", f"{_FIELD}.static")
        size, overlap = static.get("max_chunk_size_tokens"), static.get("chunk_overlap_tokens")
        if not _is_number(size) or not LEAST_TOKENS <= size <= MOST_TOKENS:
            field = f"{_FIELD}.static.max_chunk_size_tokens"
            raise bad_request(f"{field} has to be a number from {LEAST_TOKENS} to {MOST_TOKENS}", field)
        if not _is_number(overlap) or not 0 <= overlap <= size // 2:
            field = f"{_FIELD}.static.chunk_overlap_tokens"
            raise bad_request(f"{field} has to be a number from 0 to half of max_chunk_size_tokens", field)
        return cls(size, overlap)

    def document(self) -> dict[str, Any]:
        """As it is told to clients, who do not see `auto` again."""
        return {
            "type": "static",
            "static": {"max_chunk_size_tokens": self.size, "chunk_overlap_tokens": self.overlap},
        }


@dataclass(frozen=True)
class Chunk:
    """A piece of a document: characters `start` to `end` of its text, the first of them on `page` (from 1)."""

    number: int
    text: str
    start: int
    end: int
    page: int | None = None

    @property
    def hash(self) -> bytes:
        """What tells one text from another."""
        return hashlib.sha256(self.text.encode()).digest()


def chunks(document: Document, strategy: Strategy) -> list[Chunk]:
    """The chunks of `document`, in order; those of white space alone are left out."""
    text = document.text
    starts = tokens.starts(text)
    found: list[Chunk] = []
    for first in range(0, len(starts), strategy.size - strategy.overlap):
        last = first + strategy.size
        start, end = starts[first], starts[last] if last < len(starts) else len(text)
        piece = text[start:end]
        if piece.strip():
            page = bisect_right(document.pages, start) if document.pages else None
            found.append(Chunk(len(found), piece, start, end, page))
        if last >= len(starts):
            break
    return found


def _is_number(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)
