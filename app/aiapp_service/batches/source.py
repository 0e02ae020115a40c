"""What a batch reads and writes: files of its tenant."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol

# Read in one go: no connection to the store waits for answers of models.
WINDOW_BYTES = 1024 * 1024


class FileGone(Exception):
    """The input is not there any more."""


class BatchFiles(Protocol):
    """Files as batches need them. Each method raises StoreDown."""

    async def size(self, tenant: str, name: str) -> int:
        """Bytes of a file; raises FileGone."""

    async def window(self, tenant: str, name: str, start: int, length: int) -> bytes:
        """Part of a file; raises FileGone."""

    async def create(self, tenant: str, filename: str, chunks: AsyncIterator[bytes], seconds: int | None) -> str:
        """Write a file of purpose `batch_output`, that goes after so many seconds; gives its name."""


async def chunks_of(size: int, window: Callable[[int, int], Awaitable[bytes]]) -> AsyncIterator[bytes]:
    """A file of `size` bytes, window after window."""
    for start in range(0, size, WINDOW_BYTES):
        yield await window(start, min(WINDOW_BYTES, size - start))
