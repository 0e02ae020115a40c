"""Files under crashes: nothing is lost, and the sweeper finds what is left."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from aiapp_service.storage.files import FileMissing, Files
from aiapp_service.storage.objects import ObjectStore
from aiapp_service.stores.postgres import Database
from tests.integration.service.storage.conftest import Shelf
from tests.integration.service.waiting import until

NOW = timedelta()
LONG = timedelta(hours=1)


@asynccontextmanager
async def opened(shelf: Shelf) -> AsyncIterator[Files]:
    database, objects = Database(shelf.books.config), ObjectStore(shelf.objects.config)
    try:
        yield Files(database, objects)
    finally:
        await database.close()
        await objects.close()


async def words(text: bytes = b"words") -> AsyncIterator[bytes]:
    yield text


async def made(files: Files, **fields: timedelta) -> str:
    return (await files.create("t", "user_data", "a.txt", "text/plain", words(), **fields)).id


async def test_for_others(shelf: Shelf) -> None:
    async with opened(shelf) as files:
        file = await files.create("t", "batch_output", "o.jsonl", "application/jsonl", words(b"0123456789"))
        assert (file.tenant, file.bytes, file.status, file.expires_at) == ("t", 10, "processed", None)
        assert await files.get("t", file.id) == file
        assert await files.list("t") == ([file], False)
        assert b"".join([chunk async for chunk in files.content("t", file.id, 4)]) == b"456789"
        for call in (files.get("u", file.id), files.delete("u", file.id), anext(files.content("u", file.id))):
            with pytest.raises(FileMissing):
                await call
        await files.delete("t", file.id)
    assert shelf.is_empty


async def test_source_that_fails_leaves_nothing(shelf: Shelf) -> None:
    async def failing() -> AsyncIterator[bytes]:
        yield b"words"
        raise KeyError("source")

    async with opened(shelf) as files:
        with pytest.raises(KeyError):
            await files.create("t", "user_data", "a.txt", "text/plain", failing())
    assert shelf.is_empty


async def test_process_that_ends_after_the_object(shelf: Shelf) -> None:
    async with opened(shelf) as files:
        draft = files.draft("t")
        await draft.receive("a.txt", "text/plain", words())
        # And nothing else: as if the process had ended here.
        kept = await made(files)
        assert await files.sweep(LONG, NOW) == 0, "it may be under way"
        assert len(shelf.objects.keys()) == 2
        assert await files.sweep(NOW, NOW) == 1
        assert [row["id"] for row in shelf.rows()] == [kept]
        assert shelf.objects.keys() == {f"files/{kept}"}
        assert b"".join([chunk async for chunk in files.content("t", kept)]) == b"words"
        # Had it only been slow it is told so, and what it has written is gone.
        with pytest.raises(Exception, match="took too long"):
            await draft.keep("user_data")


async def test_process_that_ends_before_the_object(shelf: Shelf) -> None:
    async def endless() -> AsyncIterator[bytes]:
        yield b"words"
        await asyncio.Event().wait()

    async with opened(shelf) as files:
        task = asyncio.create_task(files.draft("t").receive("a.txt", "text/plain", endless()))
        await until("the row is there", shelf.rows)
        assert await files.sweep(NOW, NOW) == 1
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert shelf.is_empty


async def test_deleted_while_the_object_store_is_down(shelf: Shelf) -> None:
    async with opened(shelf) as files:
        file = await made(files)
        shelf.objects.server.stop()
        await files.delete("t", file)
        with pytest.raises(FileMissing):
            await files.get("t", file)
        shelf.objects.server.start()
        assert shelf.objects.keys() == {f"files/{file}"}
        assert await files.sweep(LONG, LONG) == 0, "whoever deletes it may be at it"
        assert await files.sweep(LONG, NOW) == 1
    assert shelf.is_empty


async def test_expired_goes(shelf: Shelf) -> None:
    async with opened(shelf) as files:
        await made(files, expires_after=timedelta(seconds=-1))
        later = await made(files, expires_after=LONG)
        assert await files.sweep() == 1
        assert [row["id"] for row in shelf.rows()] == [later]
        assert shelf.objects.keys() == {f"files/{later}"}


async def test_two_sweep_at_once(shelf: Shelf) -> None:
    async with opened(shelf) as files, opened(shelf) as others:
        for _ in range(20):
            await made(files, expires_after=timedelta(seconds=-1))
        swept = await asyncio.gather(files.sweep(), others.sweep())
    assert sum(swept) >= 20
    assert shelf.is_empty
