"""A download from beginning to end: list, room, bytes, proof, and then all of it at once in its place."""

import asyncio
import errno
import hashlib
import logging
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

from aiapp_service.weights.errors import FetchFailed, Interrupted
from aiapp_service.weights.source import Source
from aiapp_service.weights.volume import Volume
from aiapp_service.weights.wanted import File, Listing

log = logging.getLogger(__name__)

AT_ONCE = 4
# Tries without a byte between them, until the cause is told; each waits twice as long as the one before.
TRIES = 6
FIRST_WAIT_SECONDS = 1.0


@dataclass
class Progress:
    """Bytes there are, and that there will be; 0 of 0 until the source was listed."""

    done: int = 0
    total: int = 0


@dataclass(frozen=True)
class Fetched:
    """What is on the volume."""

    files: int
    size: int
    revision: str


async def fetch(
    source: Source, volume: Volume, name: str, progress: Progress, first_wait: float = FIRST_WAIT_SECONDS
) -> Fetched:
    """Bring everything that `source` holds to the volume, as `name`. What is there already is not asked for again.

    Raises:
        FetchFailed: it cannot be done, with the cause; what has come stays for the next try.
    """
    place = volume.complete(name)
    if place.is_dir():
        files = [path for path in place.rglob("*") if path.is_file()]
        progress.done = progress.total = sum(path.stat().st_size for path in files)
        return Fetched(len(files), progress.total, "")
    with volume.working_on(name) as folder:
        listing = await _patiently(source, first_wait)
        progress.total = listing.size
        there = {file.path: _bytes_of(folder, file) for file in listing.files}
        progress.done = sum(there.values())
        volume.make_room(name, listing.size - progress.done)
        await _files(source, listing, folder, progress, first_wait)
        _remove_others(folder, listing)
        volume.finish(name)
    return Fetched(len(listing.files), listing.size, listing.revision)


async def _files(source: Source, listing: Listing, folder: Path, progress: Progress, first_wait: float) -> None:
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(file: File) -> None:
        async with gate:
            await _file(source, file, folder, progress, first_wait)

    try:
        async with asyncio.TaskGroup() as group:
            for file in listing.files:
                group.create_task(one(file))
    except* FetchFailed as failures:
        # Others may have failed for the same cause.
        raise failures.exceptions[0] from None


async def _file(source: Source, file: File, folder: Path, progress: Progress, first_wait: float) -> None:
    place, part = folder / file.path, _part(folder, file)
    if place.exists():
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    wait, tries = first_wait, 0
    while True:
        before = part.stat().st_size if part.exists() else 0
        try:
            await _append(source, file, part, progress)
        except Interrupted as error:
            came = part.stat().st_size > before if part.exists() else False
            tries, wait = (1, first_wait) if came else (tries + 1, wait * 2)
            if tries >= TRIES:
                raise
            log.warning("going on later", extra={"file": file.path, "why": str(error), "seconds": wait})
            await asyncio.sleep(wait)
            continue
        break
    if part.stat().st_size != file.size or not (file.check is None or await asyncio.to_thread(file.check, part)):
        progress.done -= part.stat().st_size
        part.unlink()
        raise FetchFailed("ChecksumMismatch", f"{file.path} is not what the source says that it is: it is fetched anew")
    part.rename(place)


async def _append(source: Source, file: File, part: Path, progress: Progress) -> None:
    """Go on where it was broken off."""
    try:
        with part.open("ab") as target:
            start = target.tell()
            async with aclosing(source.read(file, start)) as chunks:
                async for chunk in chunks:
                    target.write(chunk)
                    progress.done += len(chunk)
                came = target.tell()
        if came < file.size:
            raise Interrupted(f"{file.path} ended early")
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise FetchFailed("NoSpace", "the cache volume is full: raise cache.size") from None
        raise FetchFailed("VolumeFailed", f"the cache volume cannot be written to: {error.strerror}") from None


def _part(folder: Path, file: File) -> Path:
    """What has come of a file. Of another version it would not be the beginning."""
    version = hashlib.sha256(f"{file.tag}/{file.size}".encode()).hexdigest()[:8]
    return folder / f"{file.path}.{version}.part"


def _bytes_of(folder: Path, file: File) -> int:
    return next((path.stat().st_size for path in (folder / file.path, _part(folder, file)) if path.exists()), 0)


def _remove_others(folder: Path, listing: Listing) -> None:
    """What earlier versions have left."""
    wanted = {folder / file.path for file in listing.files}
    for path in sorted(folder.rglob("*.part")):
        if path not in wanted:
            path.unlink()


async def _patiently(source: Source, first_wait: float) -> Listing:
    """The listing; a source that cannot now is asked again a few times."""
    wait = first_wait
    for _ in range(TRIES - 1):
        try:
            return await source.list()
        except Interrupted as error:
            log.warning("asking again later", extra={"why": str(error), "seconds": wait})
            await asyncio.sleep(wait)
            wait *= 2
    return await source.list()
