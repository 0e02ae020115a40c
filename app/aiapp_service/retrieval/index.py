"""Where chunks are kept and found again: one interface for all backends, and a contract that each is tested by."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import UUID, uuid5

from aiapp_service.retrieval.chunking import Chunk
from aiapp_service.retrieval.filters import Filter

_NAMES = UUID("b1a3a1a2-6f0e-4d7b-9a55-6a1f7c2d9e10")  # any; it must never change


@dataclass(frozen=True)
class Place:
    """A file in a vector store. `ingestion` names one reading of it: an older one may not write any more."""

    tenant: str
    store: str
    file: str
    ingestion: str
    attributes: Mapping[str, Any] = field(default_factory=dict)

    def chunk_id(self, number: int) -> UUID:
        """The same for the same chunk of the same reading, so that writing twice changes nothing."""
        return uuid5(_NAMES, f"{self.store}/{self.file}/{self.ingestion}/{number}")


@dataclass(frozen=True)
class Embedded:
    """A chunk with its vector."""

    chunk: Chunk
    vector: Sequence[float]


@dataclass(frozen=True)
class Written:
    """Chunks of a file. `usage_bytes`: they are its last ones, and all of them together have so many; None: not yet."""

    place: Place
    chunks: Sequence[Embedded]
    usage_bytes: int | None = None


@dataclass(frozen=True)
class Query:
    """What is looked for in one store of one tenant.

    With both `vector` and `text` two lists are found and put together by rank, with these weights.
    """

    tenant: str
    store: str
    limit: int
    vector: Sequence[float] | None = None
    text: str | None = None
    filter: Filter | None = None
    vector_weight: float = 1.0
    text_weight: float = 1.0


@dataclass(frozen=True)
class Hit:
    """A chunk that was found: characters `start` to `end` of its file's text, from `page` on.

    `score` is from 0 to 1: the cosine of the vectors; or how near both lists have it to the top; or for text alone
    how near its relevance is to the best one's.
    """

    file: str
    filename: str
    attributes: dict[str, Any]
    number: int
    text: str
    start: int
    end: int
    page: int | None
    score: float


class Index(Protocol):
    """One backend. Each method raises StoreDown where it does not answer, and StoreRefused where it does not let us."""

    async def hashes(self, place: Place, numbers: range) -> dict[int, bytes]:
        """Of the chunks with these numbers that this reading has written: the hashes of their texts."""

    async def write(self, files: Sequence[Written]) -> list[bool]:
        """Add chunks of several files, each in the list once; those that are there stay as they are.

        Gives for each file whether anybody still waits for it: where nobody does nothing is written.
        """

    async def delete(self, tenant: str, store: str, file: str | None = None) -> bool:
        """Remove a file with its chunks, or the whole store; False where there is none."""

    async def describe(self, tenant: str, store: str, file: str, attributes: dict[str, Any]) -> bool:
        """Give a file these attributes, for filters too; False where there is none."""

    async def search(self, query: Query) -> list[Hit]:
        """The best chunks, best first."""

    async def close(self) -> None:
        """Give up the connections."""
