"""/v1/uploads with the SDK, a real PostgreSQL and a real S3 server."""

import asyncio
import hashlib
import signal
from datetime import timedelta
from pathlib import Path
from typing import Any

import openai
import psycopg
import pytest
from openai import AsyncOpenAI

from aiapp_service.config import FilesConfig
from tests.integration.service.conftest import Serve, Service
from tests.integration.service.storage.conftest import KEYS, Shelf

MIB = 1024 * 1024
LINES = b'{"custom_id": "1"}\n'


def ours(api: Service) -> AsyncOpenAI:
    return api.sdk(KEYS["ours"])


def change(shelf: Shelf, statement: str) -> None:
    with psycopg.connect(shelf.books.url, autocommit=True) as connection:
        connection.execute(statement)


async def made(api: Service, size: int, **fields: Any) -> Any:
    given = {"filename": "a.txt", "purpose": "user_data", "mime_type": "text/plain", **fields}
    return await ours(api).uploads.create(bytes=size, **given)


async def part(api: Service, upload: str, data: bytes) -> str:
    return (await ours(api).uploads.parts.create(upload, data=data)).id


async def test_parts_become_a_file_in_the_order_that_is_asked_for(serve: Serve, shelf: Shelf) -> None:
    # Less than S3 takes as a part, more than one, and all at once, the last ones first.
    pieces = [bytes([n]) * size for n, size in enumerate((1, 3 * MIB, 11 * MIB, 70_000), 1)]
    content = b"".join(pieces)
    async with serve(shelf.config()) as api:
        upload = await made(api, len(content), expires_after={"anchor": "created_at", "seconds": 3600})
        assert (upload.object, upload.status, upload.bytes, upload.file) == ("upload", "pending", len(content), None)
        assert upload.expires_at == upload.created_at + 3600
        ids = await asyncio.gather(*(part(api, upload.id, piece) for piece in reversed(pieces)))
        extra = await part(api, upload.id, b"not wanted after all")
        assert shelf.objects.keys() == {f"uploads/{id_}" for id_ in (*ids, extra)}
        assert (await ours(api).files.list()).data == []
        md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
        done = await ours(api).uploads.complete(upload.id, part_ids=ids[::-1], md5=md5)
        assert done.status == "completed"
        assert done.file is not None
        assert (done.file.bytes, done.file.filename, done.file.purpose) == (len(content), "a.txt", "user_data")
        assert done.file.expires_at == done.file.created_at + 3600
        assert (await ours(api).files.content(done.file.id)).content == content
        assert shelf.objects.keys() == {f"files/{done.file.id}"}
        assert shelf.objects.parts() == set()
        (row,) = shelf.rows()
        assert (row["sha256"], row["content_type"]) == (hashlib.sha256(content).hexdigest(), "text/plain")
        # Who did not hear of it asks again.
        again = await ours(api).uploads.complete(upload.id, part_ids=ids[::-1])
        assert again.file == done.file
        with pytest.raises(openai.BadRequestError, match="completed"):
            await part(api, upload.id, b"x")


async def test_the_sdk_uploads_a_large_file_by_itself(serve: Serve, shelf: Shelf, tmp_path: Path) -> None:
    content = bytes(range(256)) * (20 * 4096)
    file = tmp_path / "large.bin"
    file.write_bytes(content)
    async with serve(shelf.config()) as api:
        done = await ours(api).uploads.upload_file_chunked(
            file=file, mime_type="application/octet-stream", purpose="assistants", part_size=6 * MIB
        )
        assert done.file is not None
        assert (await ours(api).files.content(done.file.id)).content == content
        assert shelf.objects.keys() == {f"files/{done.file.id}"}


async def test_two_completions_at_once_make_one_file(serve: Serve, shelf: Shelf) -> None:
    async with serve(shelf.config()) as api:
        upload = await made(api, 5)
        id_ = await part(api, upload.id, b"words")
        calls = [ours(api).uploads.complete(upload.id, part_ids=[id_]) for _ in range(4)]
        done = list(await asyncio.gather(*calls, return_exceptions=True))
        files = {found.file.id for found in done if not isinstance(found, Exception)}
        assert len(files) == 1
        assert {type(found) for found in done if isinstance(found, Exception)} <= {openai.BadRequestError}
        assert shelf.objects.keys() == {f"files/{id_}" for id_ in files}
        assert len(shelf.rows()) == 1


async def test_what_is_not_as_promised_is_refused(serve: Serve, shelf: Shelf) -> None:
    async with serve(shelf.config()) as api:
        sdk = ours(api).uploads
        upload = await made(api, 10)
        first = await part(api, upload.id, b"words")
        for ids, code in (
            ([first], "bytes_mismatch"),
            ([first, first], "invalid_part_ids"),
            ([first, "part_none"], "part_not_found"),
        ):
            with pytest.raises(openai.BadRequestError) as caught:
                await sdk.complete(upload.id, part_ids=ids)
            assert caught.value.code == code
        second = await part(api, upload.id, b" more")
        with pytest.raises(openai.BadRequestError) as caught:
            await sdk.complete(upload.id, part_ids=[first, second], md5="0" * 32)
        assert caught.value.code == "md5_mismatch"
        with pytest.raises(openai.APIStatusError) as large:
            await part(api, upload.id, b"more than all of it")
        assert large.value.status_code == 413
        # None of it has done any harm.
        done = await sdk.complete(upload.id, part_ids=[first, second])
        assert done.file is not None
        assert (await ours(api).files.content(done.file.id)).content == b"words more"
        lines = await made(api, 5, filename="b.jsonl", purpose="batch")
        id_ = await part(api, lines.id, b"words")
        with pytest.raises(openai.BadRequestError, match="JSON Lines"):
            await sdk.complete(lines.id, part_ids=[id_])
        assert len(shelf.rows()) == 1


async def test_cancelled_and_expired(serve: Serve, shelf: Shelf) -> None:
    async with serve(shelf.config()) as api:
        upload = await made(api, 5)
        await part(api, upload.id, b"words")
        assert (await ours(api).uploads.cancel(upload.id)).status == "cancelled"
        assert shelf.is_empty
        with pytest.raises(openai.BadRequestError, match="cancelled"):
            await ours(api).uploads.cancel(upload.id)
        late = await made(api, 5)
        id_ = await part(api, late.id, b"words")
        change(shelf, "UPDATE uploads SET expires_at = now(), created_at = now() - interval '1 hour'")
        for call in (
            ours(api).uploads.complete(late.id, part_ids=[id_]),
            ours(api).uploads.cancel(late.id),
            part(api, late.id, b"x"),
        ):
            with pytest.raises(openai.BadRequestError) as caught:
                await call
            assert caught.value.code == "upload_expired"
        stores = api.gateway.current.vector_stores
        assert stores is not None
        assert shelf.objects.keys() == {f"uploads/{id_}"}
        assert await stores.contents.uploads.sweep(settled=timedelta(0)) == 1
        assert shelf.is_empty


async def test_a_part_whose_store_is_down_leaves_nothing(serve: Serve, shelf: Shelf) -> None:
    async with serve(shelf.config()) as api:
        upload = await made(api, 5)
        shelf.objects.server.stop(signal.SIGKILL)
        try:
            with pytest.raises(openai.APIStatusError) as caught:
                await part(api, upload.id, b"words")
            assert caught.value.status_code == 503
        finally:
            shelf.objects.server.start()
        id_ = await part(api, upload.id, b"words")
        done = await ours(api).uploads.complete(upload.id, part_ids=[id_])
        assert done.status == "completed"
        stores = api.gateway.current.vector_stores
        assert stores is not None
        # The row of the part that never came.
        assert await stores.contents.uploads.sweep(settled=timedelta(0)) <= 1
        assert shelf.objects.keys() == {f"files/{done.file.id if done.file else None}"}


async def test_other_tenants_have_no_such_upload(serve: Serve, shelf: Shelf) -> None:
    async with serve(shelf.config()) as api:
        theirs = api.sdk(KEYS["theirs"]).uploads
        upload, other = (
            await made(api, 5),
            await theirs.create(bytes=5, filename="b.txt", purpose="user_data", mime_type="text/plain"),
        )
        id_ = await part(api, upload.id, b"words")
        attempts: list[Any] = [
            theirs.parts.create(upload.id, data=b"x"),
            theirs.complete(upload.id, part_ids=[id_]),
            theirs.cancel(upload.id),
        ]
        for attempt in attempts:
            with pytest.raises(openai.NotFoundError):
                await attempt
        with pytest.raises(openai.BadRequestError, match="no part"):
            await theirs.complete(other.id, part_ids=[id_])
        assert (await ours(api).uploads.complete(upload.id, part_ids=[id_])).status == "completed"


@pytest.mark.parametrize(
    ("fields", "status", "param"),
    [
        ({"filename": "a/b.txt"}, 400, "filename"),
        ({"purpose": "any"}, 400, "purpose"),
        ({"bytes": 0}, 400, "bytes"),
        ({"bytes": 2 * MIB}, 413, "file"),
        ({"mime_type": "text"}, 400, "mime_type"),
        ({"expires_after": {"anchor": "now", "seconds": 3600}}, 400, "expires_after"),
        ({"expires_after": {"anchor": "created_at", "seconds": 1}}, 400, "expires_after.seconds"),
    ],
)
async def test_wrong_requests_name_the_field(
    serve: Serve, shelf: Shelf, fields: dict[str, Any], status: int, param: str
) -> None:
    async with serve(shelf.config(files=FilesConfig(max_bytes=MIB))) as api:
        usual = {"filename": "a.txt", "purpose": "user_data", "bytes": 5, "mime_type": "text/plain"}
        headers = {"Authorization": f"Bearer {KEYS['ours']}"}
        async with api.http.post(f"{api.url}/v1/uploads", json={**usual, **fields}, headers=headers) as answer:
            assert (answer.status, (await answer.json())["error"]["param"]) == (status, param)


async def test_no_more_than_so_many_are_open(serve: Serve, shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aiapp_service.storage.uploads.MOST_OPEN", 2)
    async with serve(shelf.config()) as api:
        first, _ = await made(api, 5), await made(api, 5)
        with pytest.raises(openai.BadRequestError) as caught:
            await made(api, 5)
        assert caught.value.code == "too_many_uploads"
        await ours(api).uploads.cancel(first.id)
        await made(api, 5)


async def test_without_an_object_store_it_says_so(serve: Serve, shelf: Shelf) -> None:
    async with serve(shelf.config(object_store=None)) as api:
        with pytest.raises(openai.APIStatusError, match="objectStore") as caught:
            await made(api, 5)
        assert caught.value.status_code == 501
