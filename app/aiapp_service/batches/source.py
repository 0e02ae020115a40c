"""What a batch reads and writes: files of its tenant."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta

from aiapp_service.storage.files import FileMissing, Files
from aiapp_service.storage.objects import ObjectMissing
from aiapp_service.storage.purposes import OutputPurpose

# Read in one go: no connection to the store waits for answers of models.
WINDOW_BYTES = 1024 * 1024
_CONTENT_TYPE = "application/jsonl"


class FileGone(Exception):
    """The input is not there any more."""


async def chunks_of(files: Files, tenant: str, name: str) -> AsyncIterator[bytes]:
    """A file, window after window.

    Raises:
        FileGone: it was deleted.
        StoreDown: a store does not answer.
    """
    try:
        file = await files.get(tenant, name)
        for start in range(0, file.bytes, WINDOW_BYTES):
            window = bytearray()
            async with files.opened(file, start, WINDOW_BYTES) as chunks:
                async for chunk in chunks:
                    window += chunk
            yield bytes(window)
    except (FileMissing, ObjectMissing) as error:
        raise FileGone from error


async def exists(files: Files, tenant: str, name: str) -> bool:
    """Whether a file can be seen."""
    try:
        await files.get(tenant, name)
    except FileMissing:
        return False
    return True


async def write(
    files: Files,
    tenant: str,
    filename: str,
    chunks: AsyncIterator[bytes],
    seconds: int | None,
    noted: Callable[[str], Awaitable[None]],
) -> None:
    """Write a file that goes after so many seconds; its name is `noted` before anybody can see it.

    Raises:
        StoreDown: nothing was written, or nothing that can be seen.
    """
    async with files.draft(tenant) as draft:
        await draft.receive(filename, _CONTENT_TYPE, chunks)
        await noted(draft.id)
        await draft.keep(OutputPurpose.BATCH_OUTPUT, None if seconds is None else timedelta(seconds=seconds))
