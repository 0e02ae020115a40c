"""/v1/files with the SDK, a real PostgreSQL and a real S3 server."""

import asyncio
import hashlib
import io
import signal
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import openai
import pytest
from openai import AsyncOpenAI

from aiapp_service.config import FilesConfig
from tests.integration.service.conftest import Serve, Service
from tests.integration.service.storage.conftest import KEYS, Shelf
from tests.integration.service.waiting import until

MIB = 1024 * 1024
LINES = b'{"custom_id": "1"}\n{"custom_id": "2"}\n'
PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)


def ours(api: Service) -> AsyncOpenAI:
    return api.sdk(KEYS["ours"])


async def upload(api: Service, content: bytes = b"words", name: str = "a.txt", **fields: Any) -> Any:
    return await ours(api).files.create(file=(name, content), **{"purpose": "user_data", **fields})


def as_(name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {KEYS[name]}"}


async def test_life_of_a_file(serve: Serve, shelf: Shelf) -> None:
    content = bytes(range(256)) * 40_000  # more than one part
    async with serve(shelf.config()) as api:
        sdk = ours(api)
        made = await sdk.files.create(file=("b\u00e4ren 1.bin", io.BytesIO(content)), purpose="assistants")
        assert (made.object, made.bytes, made.filename, made.purpose, made.status, made.expires_at) == (
            "file",
            len(content),
            "b\u00e4ren 1.bin",
            "assistants",
            "processed",
            None,
        )
        assert abs(made.created_at - datetime.now(UTC).timestamp()) < 60
        assert await sdk.files.retrieve(made.id) == made
        assert (await sdk.files.content(made.id)).content == content
        assert [file async for file in sdk.files.list()] == [made]
        (row,) = shelf.rows()
        assert (row["tenant"], row["sha256"]) == ("ours", hashlib.sha256(content).hexdigest())
        assert shelf.objects.keys() == {f"files/{made.id}"}

        gone = await sdk.files.delete(made.id)
        assert (gone.id, gone.deleted) == (made.id, True)
        assert shelf.is_empty
        for call in (sdk.files.retrieve, sdk.files.content, sdk.files.delete):
            with pytest.raises(openai.NotFoundError):
                await call(made.id)


async def test_pages(serve: Serve, shelf: Shelf) -> None:
    async with serve(shelf.config()) as api:
        made = [await upload(api, name=f"{n}.txt") for n in range(5)]
        batch = await upload(api, LINES, "b.jsonl", purpose="batch")
        files = ours(api).files
        newest = [batch.id, *(file.id for file in reversed(made))]
        first = await files.list(limit=2)
        assert [file.id for file in first.data] == newest[:2]
        assert first.has_more
        assert [file.id async for file in files.list(limit=2)] == newest
        assert [file.id async for file in files.list(limit=4, order="asc")] == newest[::-1]
        assert [file.id async for file in files.list(purpose="batch")] == [batch.id]
        assert not (await files.list(limit=6)).has_more
        with pytest.raises(openai.NotFoundError):
            await files.list(after="file-nowhere")


async def test_tenants_see_their_own(serve: Serve, shelf: Shelf) -> None:
    async with serve(shelf.config()) as api:
        made = await upload(api)
        theirs = api.sdk(KEYS["theirs"])
        assert (await theirs.files.list()).data == []
        for call in (theirs.files.retrieve, theirs.files.content, theirs.files.delete):
            with pytest.raises(openai.NotFoundError) as refused:
                await call(made.id)
            assert refused.value.code == "file_not_found"
        async with api.http.get(f"{api.url}/v1/files/{made.id}/url", headers=as_("theirs")) as answer:
            assert answer.status == 404
        with pytest.raises(openai.NotFoundError):
            await theirs.files.list(after=made.id)
        with pytest.raises(openai.AuthenticationError):
            await api.sdk("nobody").files.list()
        same_tenant = api.sdk("limited-key-0123456789")
        assert (await same_tenant.files.retrieve(made.id)).id == made.id, "models do not limit files"
        assert (await ours(api).files.content(made.id)).content == b"words"


@pytest.mark.parametrize(
    ("purpose", "name", "content", "words"),
    [
        ("batch", "x.jsonl", b"not json", "JSON Lines"),
        ("fine-tune", "x.jsonl", PNG, "JSON Lines"),
        ("evals", "x.jsonl", b"[1]", "JSON Lines"),
        ("vision", "x.png", b"words", "PNG, JPEG"),
        ("user_data", "x.txt", b"", "the file is empty"),
        ("batch_output", "x.jsonl", LINES, "purpose has to be one of assistants, batch"),
    ],
)
async def test_what_does_not_fit_its_purpose(
    serve: Serve, shelf: Shelf, purpose: Any, name: str, content: bytes, words: str
) -> None:
    async with serve(shelf.config()) as api:
        with pytest.raises(openai.BadRequestError, match=words):
            await upload(api, content, name, purpose=purpose)
    assert shelf.is_empty


async def test_what_fits_its_purpose(serve: Serve, shelf: Shelf) -> None:
    async with serve(shelf.config()) as api:
        for purpose in ("batch", "fine-tune", "evals"):
            assert (await upload(api, b"\n " + LINES, "x.jsonl", purpose=purpose)).purpose == purpose
        assert (await upload(api, PNG, "x.png", purpose="vision")).purpose == "vision"


async def test_too_large(serve: Serve, shelf: Shelf) -> None:
    wanted = shelf.config(files=FilesConfig(max_bytes=MIB))
    async with serve(wanted) as api:
        assert (await upload(api, bytes(MIB))).bytes == MIB
        for size in (MIB + 1, 20 * MIB):
            with pytest.raises(openai.APIStatusError, match=r"spec\.api\.files\.maxSize") as refused:
                await upload(api, bytes(size))
            assert (refused.value.status_code, refused.value.code) == (413, "file_too_large")
        api.gateway.replace(wanted.model_copy(update={"files": FilesConfig(max_bytes=2 * MIB)}))
        assert (await upload(api, bytes(MIB + 1))).bytes == MIB + 1
    assert len(shelf.rows()) == len(shelf.objects.keys()) == 2


async def test_expiry(serve: Serve, shelf: Shelf) -> None:
    async with serve(shelf.config()) as api:
        made = await upload(api, expires_after={"anchor": "created_at", "seconds": 3600})
        assert made.expires_at == made.created_at + 3600
        for wrong in ({"anchor": "created_at", "seconds": 60}, {"anchor": "now", "seconds": 3600}):
            with pytest.raises(openai.BadRequestError, match=r"expires_after\."):
                await upload(api, expires_after=wrong)
        shelf.books.execute("UPDATE files SET expires_at = now()")
        with pytest.raises(openai.NotFoundError):
            await ours(api).files.content(made.id)
        assert (await ours(api).files.list()).data == []


async def test_fields_in_any_order(serve: Serve, shelf: Shelf) -> None:
    async with serve(shelf.config()) as api:
        for first in ("file", "purpose"):
            form = aiohttp.FormData()
            fields = {"file": (b"words", {"filename": "../a\\b.txt"}), "purpose": ("user_data", {})}
            for name in sorted(fields, key=lambda name: name != first):
                form.add_field(name, fields[name][0], **fields[name][1])
            async with api.http.post(f"{api.url}/v1/files", data=form, headers=as_("ours")) as answer:
                assert answer.status == 200
                assert (await answer.json())["filename"] == "b.txt"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"json": {"purpose": "batch"}}, "multipart/form-data"),
        ({"data": b"nonsense", "headers": {"Content-Type": "multipart/form-data; boundary=x"}}, "cannot be decoded"),
        ({"data": b"nonsense", "headers": {"Content-Type": "multipart/form-data"}}, "cannot be decoded"),
        ({"fields": {"purpose": "batch"}}, "file is required"),
        ({"fields": {"purpose": "batch", "colour": "red"}}, "'colour' is no field"),
        ({"fields": {"purpose": "x" * 5000}}, "longer than 4096"),
        ({"fields": {str(n): "x" for n in range(40)}}, "is no field"),
    ],
)
async def test_wrong_forms(serve: Serve, shelf: Shelf, body: dict[str, Any], words: str) -> None:
    fields = body.pop("fields", None)
    if fields is not None:
        with aiohttp.MultipartWriter("form-data") as writer:
            for name, value in fields.items():
                writer.append(value).set_content_disposition("form-data", name=name)
        body["data"] = writer
    headers = {**body.pop("headers", {}), **as_("ours")}
    async with (
        serve(shelf.config()) as api,
        api.http.post(f"{api.url}/v1/files", headers=headers, **body) as answer,
    ):
        assert answer.status == 400
        assert words in (await answer.json())["error"]["message"]
    assert shelf.is_empty


@pytest.mark.parametrize(
    ("asked", "status", "content", "told"),
    [
        ("bytes=0-3", 206, b"0123", "bytes 0-3/10"),
        ("bytes=7-", 206, b"789", "bytes 7-9/10"),
        ("bytes=-2", 206, b"89", "bytes 8-9/10"),
        ("bytes=-20", 206, b"0123456789", "bytes 0-9/10"),
        ("bytes=5-100", 206, b"56789", "bytes 5-9/10"),
        ("bytes=0-1,3-4", 200, b"0123456789", None),
        ("lines=1-2", 200, b"0123456789", None),
        ("bytes=10-", 416, None, "bytes */10"),
    ],
)
async def test_ranges(
    serve: Serve, shelf: Shelf, asked: str, status: int, content: bytes | None, told: str | None
) -> None:
    async with serve(shelf.config()) as api:
        made = await upload(api, b"0123456789", "a\r\nb.html".replace("\r\n", "_"))
        url = f"{api.url}/v1/files/{made.id}/content"
        async with api.http.get(url, headers={**as_("ours"), "Range": asked}) as answer:
            assert answer.status == status
            assert answer.headers.get("Content-Range") == told
            if content is not None:
                assert await answer.read() == content
        async with api.http.head(url, headers=as_("ours")) as answer:
            assert (answer.status, answer.headers["Content-Length"]) == (200, "10")
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["Content-Disposition"].startswith("attachment;")


async def test_address_for_others(serve: Serve, shelf: Shelf) -> None:
    async with serve(shelf.config()) as api:
        made = await upload(api, b"words")
        path = f"{api.url}/v1/files/{made.id}/url"
        async with api.http.get(path, headers=as_("ours"), params={"expires_in": "600"}) as answer:
            found = await answer.json()
        assert 590 < found["expires_at"] - datetime.now(UTC).timestamp() <= 600
        async with api.http.get(found["url"]) as answer:
            assert await answer.read() == b"words"
            assert answer.headers["Content-Disposition"] == 'attachment; filename="a.txt"'
        async with api.http.get(path, headers=as_("ours"), params={"expires_in": "1"}) as answer:
            assert (answer.status, (await answer.json())["error"]["param"]) == (400, "expires_in")


async def slowly(shelf: Shelf, seen: asyncio.Event) -> AsyncIterator[bytes]:
    """A form whose file does not end."""
    head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\n'
    yield head + bytes(9 * MIB)
    await until("a part has been stored", shelf.objects.parts)
    seen.set()
    await asyncio.Event().wait()


async def test_client_that_leaves_leaves_nothing(serve: Serve, shelf: Shelf) -> None:
    async with serve(shelf.config()) as api:
        seen = asyncio.Event()
        headers = {**as_("ours"), "Content-Type": "multipart/form-data; boundary=x"}
        call = asyncio.create_task(
            api.http.post(f"{api.url}/v1/files", data=slowly(shelf, seen), headers=headers)  # type: ignore[arg-type]
        )
        await seen.wait()
        assert [row["status"] for row in shelf.rows()] == ["uploading"]
        assert (await ours(api).files.list()).data == []
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        await until("nothing is left", lambda: shelf.is_empty)


async def test_without_stores(serve: Serve, shelf: Shelf) -> None:
    for missing, words in (("object_store", r"spec\.objectStore"), ("database", r"spec\.postgres")):
        async with serve(shelf.config(**{missing: None})) as api:
            for call in (upload(api), ours(api).files.list(), ours(api).files.retrieve("file-1")):
                with pytest.raises(openai.APIStatusError, match=words) as refused:
                    await call
                assert (refused.value.status_code, refused.value.code) == (501, "files_not_kept")
            assert (await ours(api).models.list()).data


async def test_object_store_down_and_back(serve: Serve, shelf: Shelf) -> None:
    async with serve(shelf.config()) as api:
        made, other = await upload(api), await upload(api)
        shelf.objects.server.stop()
        for call in (upload(api), ours(api).files.content(made.id)):
            with pytest.raises(openai.APIStatusError, match="object store does not answer") as down:
                await call
            assert (down.value.status_code, down.value.code) == (503, "files_unavailable")
            assert int(down.value.response.headers["Retry-After"]) > 0
        assert (await ours(api).files.retrieve(made.id)).id == made.id
        await ours(api).files.delete(made.id)
        with pytest.raises(openai.NotFoundError):
            await ours(api).files.retrieve(made.id)
        shelf.objects.server.start()
        assert (await ours(api).files.content(other.id)).content == b"words"


async def test_wrong_access_key(serve: Serve, shelf: Shelf) -> None:
    shelf.objects.tell_key("AKIAWRONGWRONG", "wrong")
    async with serve(shelf.config()) as api:
        with pytest.raises(openai.APIStatusError, match=r"objectStore\.s3\.credentialsSecretRef") as refused:
            await upload(api)
    assert refused.value.status_code == 503
    assert "AKIAWRONGWRONG" not in str(refused.value)


async def test_database_down_and_back(serve: Serve, shelf: Shelf, postgres_server: Any) -> None:
    async with serve(shelf.config()) as api:
        made = await upload(api)
        postgres_server.server.stop(signal.SIGINT)
        try:
            with pytest.raises(openai.APIStatusError) as down:
                await upload(api)
            assert (down.value.status_code, down.value.code) == (503, "files_unavailable")
            assert shelf.objects.keys() == {f"files/{made.id}"}
        finally:
            postgres_server.server.start()
        await until("it is back", lambda: _is_there(api, made.id))


async def _is_there(api: Service, id_: str) -> bool:
    try:
        return (await ours(api).files.retrieve(id_)).id == id_
    except openai.APIStatusError:
        return False


async def test_database_without_the_table(serve: Serve, shelf: Shelf) -> None:
    shelf.books.execute("DROP TABLE files")
    async with serve(shelf.config()) as api:
        with pytest.raises(openai.APIStatusError, match="not migrated yet") as refused:
            await upload(api)
        assert refused.value.status_code == 503
    assert shelf.objects.keys() == set()


async def test_content_that_is_gone_or_short(serve: Serve, shelf: Shelf) -> None:
    async with serve(shelf.config()) as api:
        made = await upload(api)
        shelf.objects.path(f"files/{made.id}").unlink()
        with pytest.raises(openai.APIStatusError) as gone:
            await ours(api).files.content(made.id)
        assert (gone.value.status_code, gone.value.code) == (410, "file_content_missing")


async def test_store_that_ends_in_the_middle_breaks_the_answer_off(serve: Serve, shelf: Shelf) -> None:
    size = 64 * MIB  # more than lies in buffers
    async with serve(shelf.config()) as api:
        made = await upload(api, bytes(size))
        url = f"{api.url}/v1/files/{made.id}/content"
        async with api.http.get(url, headers=as_("ours")) as answer:
            assert int(answer.headers["Content-Length"]) == size
            await answer.content.read(MIB)
            shelf.objects.server.stop(signal.SIGKILL)
            with pytest.raises(aiohttp.ClientPayloadError):
                await answer.read()


async def test_times_are_those_of_the_database(serve: Serve, shelf: Shelf) -> None:
    async with serve(shelf.config()) as api:
        await upload(api)
    assert datetime.now(UTC) - shelf.rows()[0]["created_at"] < timedelta(minutes=1)
