"""The Vector Stores API as the openai SDK speaks it, with files that a worker reads."""

import io
from pathlib import Path
from typing import Any

import docx
import openai
import psycopg
import pytest
from openai import AsyncOpenAI

from tests.integration.service.conftest import Serve, Service
from tests.integration.service.retrieval.keeping import Keeping, app, filled, settled, upload, working

CATS = "Cats sleep for most of the day and hunt at dusk."
TROUT = "Trout live in cold rivers and eat insects."


def alice(api: Service) -> AsyncOpenAI:
    return api.sdk("key-alice")


async def test_a_file_is_read_and_found(serve: Serve, keeping: Keeping) -> None:
    async with app(serve, keeping.config()) as api:
        client = alice(api)
        store, ids = await filled(client, {"cats.md": CATS, "trout.txt": TROUT}, metadata={"team": "zoo"})
        found = await client.vector_stores.retrieve(store.id)
        assert (found.name, found.status, found.metadata) == ("docs", "completed", {"team": "zoo"})
        assert (found.file_counts.completed, found.file_counts.total) == (2, 2)
        assert found.usage_bytes == len(CATS) + len(TROUT)
        page = await client.vector_stores.search(store.id, query="Which fish lives in a river?")
        best = page.data[0]
        assert (best.file_id, best.filename, best.content[0].text) == (ids["trout.txt"], "trout.txt", TROUT)
        assert 0 < best.score <= 1
        assert best.model_extra is not None
        assert best.model_extra["position"] == {"start": 0, "end": len(TROUT), "page": None}
        parts = await client.vector_stores.files.content(ids["cats.md"], vector_store_id=store.id)
        assert "".join(part.text or "" for part in parts.data) == CATS
        assert api.metric('ai_tokens_total{endpoint="embeddings",model="embed",type="input"}') > 0


async def test_a_docx_is_read(serve: Serve, keeping: Keeping) -> None:
    document, saved = docx.Document(), io.BytesIO()
    document.add_paragraph("Owls hunt at night.")
    document.save(saved)
    async with app(serve, keeping.config()) as api:
        client = alice(api)
        store, _ = await filled(client, {"owls.docx": saved.getvalue()})
        page = await client.vector_stores.search(store.id, query=["owls", "night"])
        assert [hit.content[0].text for hit in page.data] == ["Owls hunt at night."]


async def test_what_cannot_be_read_has_failed_and_says_why(serve: Serve, keeping: Keeping) -> None:
    async with app(serve, keeping.config()) as api:
        client = alice(api)
        store, ids = await filled(client, {"a.pdf": b"%PDF-1.7 broken", "b.bin": b"\x00\x01", "c.txt": b"\xff\xfe\xfd"})
        assert (await client.vector_stores.retrieve(store.id)).file_counts.failed == 3
        errors = {}
        for name, id_ in ids.items():
            file = await client.vector_stores.files.retrieve(id_, vector_store_id=store.id)
            assert file.status == "failed"
            assert file.last_error is not None
            errors[name] = (file.last_error.code, file.last_error.message.split()[0:4])
        assert errors["a.pdf"] == ("invalid_file", ["the", "file", "is", "no"])
        assert errors["b.bin"][0] == "unsupported_file"
        assert errors["c.txt"][0] == "invalid_file"


async def test_chunks_of_a_long_text_overlap_and_put_it_together_again(serve: Serve, keeping: Keeping) -> None:
    text = " ".join(f"Sentence number {n} is about nothing." for n in range(400))
    async with app(serve, keeping.config()) as api:
        client = alice(api)
        store = await client.vector_stores.create()
        id_ = await upload(client, "long.txt", text)
        static = {"type": "static", "static": {"max_chunk_size_tokens": 200, "chunk_overlap_tokens": 50}}
        await client.vector_stores.files.create(
            store.id, file_id=id_, chunking_strategy=static, attributes={"year": 2024, "draft": True}
        )
        file = await settled(
            lambda: client.vector_stores.files.retrieve(id_, vector_store_id=store.id),
            lambda found: found.status == "completed",
        )
        assert file.attributes == {"year": 2024, "draft": True}
        assert file.chunking_strategy.to_dict() == static
        parts = await client.vector_stores.files.content(id_, vector_store_id=store.id)
        assert len(parts.data) > 10
        assert "".join(part.text or "" for part in parts.data) == text
        page = await client.vector_stores.search(store.id, query="nothing", max_num_results=3)
        assert "nothing" in page.data[0].content[0].text
        assert len(page.data) == 3


async def test_filters_and_options_of_a_search(serve: Serve, keeping: Keeping) -> None:
    async with app(serve, keeping.config()) as api:
        client = alice(api)
        store, ids = await filled(client, {"cats.md": CATS, "trout.txt": TROUT})
        await client.vector_stores.files.update(ids["cats.md"], vector_store_id=store.id, attributes={"kind": "pet"})
        pet = {"type": "eq", "key": "kind", "value": "pet"}
        page = await client.vector_stores.search(store.id, query="trout rivers", filters=pet)
        assert [hit.filename for hit in page.data] == ["cats.md"]
        assert page.data[0].attributes == {"kind": "pet"}
        text_only = {"hybrid_search": {"embedding_weight": 0, "text_weight": 1}}
        page = await client.vector_stores.search(store.id, query="trout", ranking_options=text_only)
        assert [hit.filename for hit in page.data] == ["trout.txt"]
        page = await client.vector_stores.search(store.id, query="trout", ranking_options={"score_threshold": 1.0})
        assert {hit.score for hit in page.data} <= {1.0}


async def test_batches(serve: Serve, keeping: Keeping) -> None:
    wanted = keeping.config()
    async with serve(wanted) as api:
        client = alice(api)
        store = await client.vector_stores.create()
        ids = [await upload(client, f"{n}.txt", f"Text {n}.") for n in range(4)]
        batch = await client.vector_stores.file_batches.create(store.id, file_ids=ids[:2], attributes={"lot": 1})
        assert (batch.status, batch.file_counts.in_progress) == ("in_progress", 2)
        doomed = await client.vector_stores.file_batches.create(
            store.id, files=[{"file_id": ids[2]}, {"file_id": ids[3], "attributes": {"lot": 2}}]
        )
        ended = await client.vector_stores.file_batches.cancel(doomed.id, vector_store_id=store.id)
        assert (ended.status, ended.file_counts.cancelled) == ("cancelled", 2)
        async with working(api, wanted):
            done = await client.vector_stores.file_batches.poll(batch.id, vector_store_id=store.id)
            assert (done.status, done.file_counts.completed) == ("completed", 2)
        files = await client.vector_stores.file_batches.list_files(batch.id, vector_store_id=store.id)
        assert {(file.id, file.status) for file in files.data} == {(id_, "completed") for id_ in ids[:2]}
        left = await client.vector_stores.files.list(store.id, filter="cancelled")
        assert {file.id for file in left.data} == set(ids[2:])


async def test_lists_come_in_pages(serve: Serve, keeping: Keeping) -> None:
    async with serve(keeping.config()) as api:
        client = alice(api)
        for store in (await client.vector_stores.list(limit=100)).data:
            await client.vector_stores.delete(store.id)
        made = [(await client.vector_stores.create(name=str(n))).id for n in range(5)]
        first = await client.vector_stores.list(limit=2, order="asc")
        assert [store.id for store in first.data] == made[:2]
        assert first.has_more
        assert [store.id async for store in client.vector_stores.list(limit=2)] == made[::-1]
        renamed = await client.vector_stores.update(made[0], name="new", metadata={"a": "b"})
        assert (renamed.name, renamed.metadata) == ("new", {"a": "b"})
        await client.vector_stores.delete(made[0])
        with pytest.raises(openai.NotFoundError):
            await client.vector_stores.retrieve(made[0])


async def test_a_file_that_is_taken_out_is_not_found_and_can_come_back(serve: Serve, keeping: Keeping) -> None:
    async with app(serve, keeping.config()) as api:
        client = alice(api)
        store, ids = await filled(client, {"cats.md": CATS, "trout.txt": TROUT})
        await client.vector_stores.files.delete(ids["cats.md"], vector_store_id=store.id)
        page = await client.vector_stores.search(store.id, query="cats")
        assert [hit.filename for hit in page.data] == ["trout.txt"]
        assert (await client.files.retrieve(ids["cats.md"])).filename == "cats.md"
        await client.vector_stores.files.create(store.id, file_id=ids["cats.md"])
        await settled(lambda: client.vector_stores.retrieve(store.id), lambda found: found.status == "completed")
        assert len((await client.vector_stores.search(store.id, query="cats")).data) == 2


async def test_a_store_that_has_run_out(serve: Serve, keeping: Keeping, connection: psycopg.Connection) -> None:
    async with app(serve, keeping.config()) as api:
        client = alice(api)
        store, _ = await filled(client, {"cats.md": CATS}, expires_after={"anchor": "last_active_at", "days": 7})
        assert store.expires_at == (store.last_active_at or 0) + 7 * 24 * 3600
        connection.execute(
            "UPDATE vector_stores SET last_active_at = now() - interval '8 days' WHERE id = %s", (store.id,)
        )
        assert (await client.vector_stores.retrieve(store.id)).status == "expired"
        with pytest.raises(openai.BadRequestError, match="expired"):
            await client.vector_stores.search(store.id, query="x")
        stores = api.gateway.current.vector_stores
        assert stores is not None
        assert await stores.sweep() == 1
        assert (await client.vector_stores.retrieve(store.id)).file_counts.total == 0
        chunks = connection.execute("SELECT count(*) FROM vector_store_chunks WHERE store_id = %s", (store.id,))
        assert chunks.fetchone() == (0,)


async def test_other_tenants_see_nothing(serve: Serve, keeping: Keeping) -> None:
    async with app(serve, keeping.config()) as api:
        client, bob = alice(api), api.sdk("key-bob")
        store, ids = await filled(client, {"cats.md": CATS})
        assert [found.id for found in (await bob.vector_stores.list()).data if found.id == store.id] == []
        own = await bob.vector_stores.create()
        cats = ids["cats.md"]
        attempts: list[Any] = [
            bob.vector_stores.retrieve(store.id),
            bob.vector_stores.update(store.id, name="mine"),
            bob.vector_stores.search(store.id, query="cats"),
            bob.vector_stores.files.list(store.id),
            bob.vector_stores.files.retrieve(cats, vector_store_id=store.id),
            bob.vector_stores.files.content(cats, vector_store_id=store.id),
            bob.vector_stores.files.delete(cats, vector_store_id=store.id),
            bob.vector_stores.files.create(own.id, file_id=cats),
            bob.vector_stores.file_batches.create(store.id, file_ids=[cats]),
            bob.vector_stores.delete(store.id),
        ]
        for attempt in attempts:
            with pytest.raises(openai.NotFoundError):
                await attempt
        assert len((await client.vector_stores.search(store.id, query="cats")).data) == 1


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("", {"name": 5}, "name"),
        ("", {"metadata": {"a": 1}}, "metadata.a"),
        ("", {"metadata": {str(n): "x" for n in range(17)}}, "metadata"),
        ("", {"expires_after": {"anchor": "created_at", "days": 1}}, "expires_after.anchor"),
        ("", {"expires_after": {"anchor": "last_active_at", "days": 0}}, "expires_after.days"),
        ("/files", {}, "file_id"),
        ("/files", {"file_id": "file-0", "attributes": {"a": []}}, "attributes.a"),
        ("/files", {"file_id": "file-0", "attributes": {"a": "x" * 513}}, "attributes.a"),
        ("/files", {"file_id": "file-0", "chunking_strategy": {"type": "own"}}, "chunking_strategy.type"),
        (
            "/files",
            {
                "file_id": "f",
                "chunking_strategy": {
                    "type": "static",
                    "static": {"max_chunk_size_tokens": 99, "chunk_overlap_tokens": 0},
                },
            },
            "chunking_strategy.static.max_chunk_size_tokens",
        ),
        (
            "/files",
            {
                "file_id": "f",
                "chunking_strategy": {
                    "type": "static",
                    "static": {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 51},
                },
            },
            "chunking_strategy.static.chunk_overlap_tokens",
        ),
        ("/file_batches", {}, "file_ids"),
        ("/search", {}, "query"),
        ("/search", {"query": " "}, "query"),
        ("/search", {"query": "x", "max_num_results": 51}, "max_num_results"),
        ("/search", {"query": "x", "filters": {"type": "like"}}, "filters.type"),
        ("/search", {"query": "x", "filters": {"type": "gt", "key": "a", "value": "b"}}, "filters.value"),
        ("/search", {"query": "x", "filters": {"type": "and", "filters": [{"type": "eq"}]}}, "filters.filters[0].key"),
        ("/search", {"query": "x", "ranking_options": {"score_threshold": 2}}, "ranking_options.score_threshold"),
    ],
)
async def test_wrong_requests_name_the_field(
    serve: Serve, keeping: Keeping, path: str, body: dict[str, Any], param: str
) -> None:
    async with serve(keeping.config()) as api:
        store = await alice(api).vector_stores.create()
        url = f"{api.url}/v1/vector_stores" + (f"/{store.id}{path}" if path else "")
        async with api.http.post(url, json=body, headers={"Authorization": "Bearer key-alice"}) as answer:
            assert (answer.status, (await answer.json())["error"]["param"]) == (400, param)


@pytest.mark.parametrize(
    ("without", "field"),
    [
        ({"database": None, "vector_store": {}}, "spec.postgres"),
        ({"vector_store": {}}, "spec.vectorStore.embeddingModel"),
        ({"workers": ()}, "spec.workers"),
        ({"redis": None}, "spec.redis"),
        ({"object_store": None}, "spec.objectStore"),
    ],
)
async def test_what_is_missing_is_named(
    serve: Serve, keeping: Keeping, tmp_path: Path, without: dict[str, Any], field: str
) -> None:
    async with serve(keeping.config(**without)) as api:
        url = f"{api.url}/v1/vector_stores"
        body = {"file_ids": ["file-1"]}
        async with api.http.post(url, json=body, headers={"Authorization": "Bearer key-alice"}) as answer:
            error = (await answer.json())["error"]
            assert (answer.status, error["code"]) in ((501, "vector_stores_not_kept"), (501, "files_not_kept"))
            assert field in error["message"]
