"""The object store, against a real server of the S3 API."""

import asyncio
import hashlib
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest

from aiapp_service.config import ObjectStoreConfig
from aiapp_service.storage import client
from aiapp_service.storage.objects import (
    ObjectMissing,
    ObjectStore,
    ObjectStoreDown,
    ObjectStoreRefused,
    TooLarge,
)
from tests.integration.servers.objects import ACCESS_KEY, SECRET_KEY, ObjectServer
from tests.integration.service.waiting import until

MIB = 1024 * 1024
PART = 5 * MIB  # the least that S3 takes


@asynccontextmanager
async def opened(server: ObjectServer, **changes: Any) -> AsyncIterator[ObjectStore]:
    store = ObjectStore(server.config.model_copy(update=changes))
    try:
        yield store
    finally:
        await store.close()


async def chunks(size: int, each: int = 100_000) -> AsyncIterator[bytes]:
    pattern = bytes(range(256)) * (each // 256 + 2)
    for begin in range(0, size, each):
        yield pattern[begin % 256 :][: min(each, size - begin)]


async def body(size: int) -> bytes:
    return b"".join([chunk async for chunk in chunks(size)])


async def read(store: ObjectStore, key: str, *where: int) -> bytes:
    return b"".join([chunk async for chunk in store.stream(key, *where)])


@pytest.mark.parametrize("size", [0, 1, PART, PART + 1, 2 * PART, 2 * PART + 17])
async def test_what_is_written_is_read(object_store: ObjectServer, size: int) -> None:
    wanted = await body(size)
    async with opened(object_store) as store:
        stored = await store.put("a/b", chunks(size), content_type="text/plain", part_bytes=PART)
        assert (stored.size, stored.sha256) == (size, hashlib.sha256(wanted).hexdigest())
        assert await read(store, "a/b") == wanted
        info = await store.head("a/b")
        assert info is not None
        assert (info.key, info.size) == ("a/b", size)
        assert abs(datetime.now(UTC) - info.modified) < timedelta(minutes=1)
    assert object_store.keys() == {"a/b"}
    assert object_store.parts() == set()


async def test_some_of_it(object_store: ObjectServer) -> None:
    wanted = await body(200_000)
    async with opened(object_store) as store:
        await store.put("x", chunks(200_000))
        for start, length in ((0, 10), (1, None), (199_999, None), (150_000, 100_000), (200_000, None), (5, 0)):
            end = None if length is None else start + length
            found = b"".join([chunk async for chunk in store.stream("x", start, length)])
            assert found == wanted[start:end]


async def test_a_whole_small_one(object_store: ObjectServer, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = await body(300_000)
    async with opened(object_store) as store:
        await store.put("read/ä b?c", chunks(300_000))
        assert await store.read("read/ä b?c", 300_000) == wanted
        with pytest.raises(TooLarge):
            await store.read("read/ä b?c", 299_999)
        with pytest.raises(ObjectMissing):
            await store.read("read/none", 100)
    # What the quick way cannot read the library does: here the store redirects it to the right region.
    async with opened(object_store, region="us-wrong-2") as store:
        assert await store.read("read/ä b?c", 300_000) == wanted
    async with opened(object_store) as store:
        assert await store.read("read/ä b?c", 300_000) == wanted
        monkeypatch.setattr(ObjectStore, "stream", _nothing)
        assert await store.read("read/ä b?c", 300_000) == wanted
        object_store.server.stop()
        try:
            assert await store.read("read/ä b?c", 300_000) == b"by the library"
        finally:
            object_store.server.start()


async def _nothing(*_: Any) -> AsyncIterator[bytes]:
    yield b"by the library"


async def test_what_is_not_there(object_store: ObjectServer) -> None:
    async with opened(object_store) as store:
        assert await store.head("x") is None
        with pytest.raises(ObjectMissing):
            await read(store, "x")
        await store.put("x", chunks(10))
        await store.delete("x")
        await store.delete("x")
        assert await store.head("x") is None
    assert object_store.keys() == set()


async def test_list_with_prefix(object_store: ObjectServer) -> None:
    async with opened(object_store, prefix="team/") as store:
        for key in ("b/2", "b/1", "c"):
            await store.put(key, chunks(3))
        assert object_store.keys() == {"team/b/1", "team/b/2", "team/c"}
        found = [info async for info in store.list("b/")]
        assert [(info.key, info.size) for info in found] == [("b/1", 3), ("b/2", 3)]
        assert [info.key async for info in store.list()] == ["b/1", "b/2", "c"]


async def test_list_of_more_than_a_page(object_store: ObjectServer) -> None:
    async with opened(object_store) as store:
        await store.put("many/0000", chunks(1))
        for number in range(1, 1005):
            object_store.path(f"many/{number:04}").write_bytes(b"x")
        assert len([info async for info in store.list("many/")]) == 1005


async def test_too_much_leaves_nothing(object_store: ObjectServer) -> None:
    async with opened(object_store) as store:
        for size in (1001, 3 * PART):
            with pytest.raises(TooLarge, match=str(size - 1)):
                await store.put("x", chunks(size), most_bytes=size - 1, part_bytes=PART)
        assert (await store.put("y", chunks(1000), most_bytes=1000)).size == 1000
    assert object_store.keys() == {"y"}
    assert object_store.parts() == set()


async def test_source_that_fails_leaves_nothing(object_store: ObjectServer) -> None:
    async def failing() -> AsyncIterator[bytes]:
        async for chunk in chunks(2 * PART + 1):
            yield chunk
        assert object_store.parts() != set(), "there was something to remove"
        raise KeyError("the client")

    async with opened(object_store) as store:
        with pytest.raises(KeyError):
            await store.put("x", failing(), part_bytes=PART)
    assert object_store.keys() == set()
    assert object_store.parts() == set()


async def test_cancelled_leaves_nothing_and_keeps_what_was_there(object_store: ObjectServer) -> None:
    async def endless() -> AsyncIterator[bytes]:
        async for chunk in chunks(2 * PART + 1):
            yield chunk
        await asyncio.Event().wait()

    async with opened(object_store) as store:
        await store.put("x", chunks(10))
        task = asyncio.create_task(store.put("x", endless(), part_bytes=PART))
        await until("parts have been sent", lambda: len(object_store.parts()) >= 2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await read(store, "x") == await body(10)
    assert object_store.keys() == {"x"}
    assert object_store.parts() == set()


async def test_parts_of_a_process_that_is_gone(object_store: ObjectServer) -> None:
    async with opened(object_store) as store:
        s3 = await store._client.get()
        for key in ("a/x", "b/x"):
            begun = await s3.create_multipart_upload(Bucket="uploads", Key=key)
            await s3.upload_part(Bucket="uploads", Key=key, UploadId=begun["UploadId"], PartNumber=1, Body=b"half")
        assert object_store.parts() != set()
        assert await store.abort_stale() == 0, "they may be under way"
        assert await store.abort_stale("a/", timedelta(seconds=-5)) == 1
        assert await store.abort_stale(older=timedelta(seconds=-5)) == 1
    assert object_store.parts() == set()


async def test_presigned(object_store: ObjectServer) -> None:
    async with opened(object_store) as store, aiohttp.ClientSession() as http:
        put = await store.presigned_put("x", 60, content_type="text/plain")
        async with http.put(put, data=b"words", headers={"Content-Type": "text/plain"}) as answer:
            assert answer.status == 200
        get = await store.presigned_get("x", 60, filename='a "b"\n\u00e4.txt')
        async with http.get(get) as answer:
            assert await answer.read() == b"words"
            assert answer.headers["Content-Disposition"] == 'attachment; filename="a _b___.txt"'
        async with http.get(get.replace("uploads/x", "uploads/y")) as answer:
            assert answer.status == 403
        expired = await store.presigned_get("x", 1)
        await until("it has expired", lambda: _refused(http, expired))
    assert SECRET_KEY not in get


async def _refused(http: aiohttp.ClientSession, url: str) -> bool:
    async with http.get(url) as answer:
        return answer.status == 403


async def test_down_and_back(object_store: ObjectServer) -> None:
    async with opened(object_store) as store:
        await store.check()
        await store.put("x", chunks(10))
        object_store.server.stop()
        for call in (store.check(), store.put("y", chunks(10)), store.head("x"), store.delete("x"), read(store, "x")):
            with pytest.raises(ObjectStoreDown, match="does not answer"):
                await call
        object_store.server.start()
        await store.check()
        assert await read(store, "x") == await body(10)


async def test_down_between_parts(object_store: ObjectServer) -> None:
    async def until_stopped() -> AsyncIterator[bytes]:
        async for chunk in chunks(PART + 1):
            yield chunk
        object_store.server.stop(signal.SIGKILL)
        async for chunk in chunks(PART):
            yield chunk

    async with opened(object_store) as store:
        with pytest.raises(ObjectStoreDown):
            await store.put("x", until_stopped(), part_bytes=PART)
        object_store.server.start()
        assert await store.head("x") is None
        await store.abort_stale(older=timedelta(seconds=-5))
    assert object_store.keys() == set()
    assert object_store.parts() == set()


async def test_that_does_not_answer_is_down(object_store: ObjectServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "READ_SECONDS", 0.2)
    async with opened(object_store) as store:
        await store.check()
        process = object_store.server._process
        assert process is not None
        process.send_signal(signal.SIGSTOP)
        try:
            with pytest.raises(ObjectStoreDown):
                await store.check()
        finally:
            process.send_signal(signal.SIGCONT)
        await store.check()


async def test_key_is_taken_in_as_it_changes(object_store: ObjectServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aiapp_service.credentials.RECHECK_SECONDS", 0)
    async with opened(object_store) as store:
        await store.check()
        object_store.change_key("AKIAOTHEROTHER", "another-secret")
        with pytest.raises(ObjectStoreRefused, match=r"objectStore\.s3\.credentialsSecretRef") as refused:
            await store.check()
        object_store.tell_key("AKIAOTHEROTHER", "another-secret")
        await store.check()
        object_store.secret_key_file.unlink()
        with pytest.raises(ObjectStoreRefused, match="there is no AWS_SECRET_ACCESS_KEY"):
            await store.check()
    for secret in (ACCESS_KEY, SECRET_KEY, "AKIAOTHEROTHER", "another-secret"):
        assert secret not in str(refused.value)


async def test_wrong_bucket_is_named(object_store: ObjectServer) -> None:
    async with opened(object_store, bucket="nowhere") as store:
        with pytest.raises(ObjectStoreRefused, match=r"no such bucket: .*spec\.objectStore\.s3\.bucket"):
            await store.check()
        with pytest.raises(ObjectStoreRefused, match="no such bucket"):
            await store.put("x", chunks(1))


async def test_right_region_is_taken_from_the_store(object_store: ObjectServer) -> None:
    async with opened(object_store, region="mars-1") as store:
        await store.check()
        await store.put("x", chunks(1))
    assert object_store.keys() == {"x"}


def test_where_the_bucket_is_named(object_store: ObjectServer) -> None:
    given = object_store.config
    assert given.addressing == "path"
    assert given.model_copy(update={"path_style": False}).addressing == "virtual"
    plain = given.model_dump(exclude={"endpoint"})
    assert ObjectStoreConfig.model_validate(plain).addressing == "virtual"
