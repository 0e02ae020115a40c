"""What each backend of the index has to do. pgvector is real; Qdrant runs inside its client, or at a URL."""

import asyncio
import os
import uuid
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb
from qdrant_client import AsyncQdrantClient

from aiapp_service.config import PineconeConfig, QdrantConfig
from aiapp_service.retrieval import pgvector
from aiapp_service.retrieval.chunking import Chunk
from aiapp_service.retrieval.filters import parse
from aiapp_service.retrieval.index import Embedded, Hit, Index, Place, Query, Written
from aiapp_service.retrieval.pgvector import PgvectorIndex
from aiapp_service.retrieval.pinecone import open_pinecone
from aiapp_service.retrieval.qdrant import QdrantVectors, open_qdrant
from aiapp_service.retrieval.split import SplitIndex
from aiapp_service.stores.postgres import Database
from tests.integration.service.retrieval.pinecone_server import KEY, PineconeServer

TENANT = "acme"
QDRANT_URL = "AIAPP_TEST_QDRANT_URL"
# The one inside the client has none, and says so.
pytestmark = pytest.mark.filterwarnings("ignore:Payload indexes have no effect")


class Stores:
    """Stores and files as the API would have made them."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection

    def store(self, tenant: str = TENANT) -> str:
        name = f"vs_{uuid.uuid4().hex}"
        self._connection.execute(
            "INSERT INTO vector_stores (id, tenant, name, metadata, embedding_model)"
            " VALUES (%s, %s, '', '{}', 'embed')",
            (name, tenant),
        )
        return name

    def file(self, store: str, file: str, tenant: str = TENANT, **attributes: Any) -> Place:
        place = Place(tenant, store, file, uuid.uuid4().hex, attributes)
        self._connection.execute(
            "INSERT INTO vector_store_files (store_id, file_id, tenant, ingestion, filename, status, attributes,"
            " chunk_tokens, overlap_tokens) VALUES (%s, %s, %s, %s, %s, 'in_progress', %s, 800, 400)",
            (store, file, tenant, place.ingestion, f"{file}.txt", Jsonb(attributes)),
        )
        return place

    def status(self, place: Place) -> tuple[str, int]:
        row = self._connection.execute(
            "SELECT status, usage_bytes FROM vector_store_files WHERE store_id = %s AND file_id = %s",
            (place.store, place.file),
        ).fetchone()
        assert row is not None
        return row[0], row[1]

    def chunks(self, store: str) -> int:
        row = self._connection.execute(
            "SELECT count(*) FROM vector_store_chunks WHERE store_id = %s", (store,)
        ).fetchone()
        assert row is not None
        return int(row[0])


@pytest.fixture
def stores(connection: psycopg.Connection) -> Stores:
    return Stores(connection)


async def _qdrant(database: Database) -> AsyncIterator[Index]:
    # A client that is a Qdrant itself, in this process.
    memory = AsyncQdrantClient(location=":memory:")
    index = SplitIndex(database, QdrantVectors(lambda: memory, "contract"))
    yield index
    await index.close()


async def _qdrant_at_url(database: Database) -> AsyncIterator[Index]:
    url = os.environ.get(QDRANT_URL)
    if url is None:
        pytest.skip(f"{QDRANT_URL} names no Qdrant")
    index = SplitIndex(database, open_qdrant(QdrantConfig(url=url), f"contract-{uuid.uuid4().hex[:8]}"))
    yield index
    await index.close()


async def _pinecone(database: Database, folder: Path) -> AsyncIterator[Index]:
    key = folder / "key"
    key.write_text(KEY)
    async with PineconeServer().running() as url:
        index = SplitIndex(database, open_pinecone(PineconeConfig(index_host=url, api_key_file=key)))
        yield index
        await index.close()


async def _pgvector(database: Database) -> AsyncIterator[Index]:
    yield PgvectorIndex(database)


@pytest.fixture(params=["pgvector", "qdrant", "qdrant at a URL", "pinecone"])
async def index(request: pytest.FixtureRequest, database: Database, tmp_path: Path) -> AsyncIterator[Index]:
    backends = {
        "pgvector": lambda: _pgvector(database),
        "qdrant": lambda: _qdrant(database),
        "qdrant at a URL": lambda: _qdrant_at_url(database),
        "pinecone": lambda: _pinecone(database, tmp_path),
    }
    async for made in backends[request.param]():
        yield made


def embedded(number: int, text: str, *vector: float) -> Embedded:
    return Embedded(Chunk(number, text, 10 * number, 10 * number + len(text), number + 1), vector)


async def added(index: Index, place: Place, *chunks: Embedded) -> Place:
    size = sum(len(entry.chunk.text.encode()) for entry in chunks)
    assert await index.write([Written(place, chunks, size)]) == [True]
    return place


def numbers(hits: Sequence[Hit]) -> list[tuple[str, int]]:
    return [(hit.file, hit.number) for hit in hits]


async def animals(index: Index, stores: Stores) -> str:
    store = stores.store()
    await added(
        index,
        stores.file(store, "cats", kind="pet", legs=4, indoor=True),
        embedded(0, "Cats sleep for most of the day.", 1, 0, 0, 0),
        embedded(1, "A kitten plays with wool.", 0.9, 0.1, 0, 0),
    )
    await added(index, stores.file(store, "birds", kind="wild", legs=2), embedded(0, "Swallows fly south.", 0, 1, 0, 0))
    await added(index, stores.file(store, "fish"), embedded(0, "Trout swim in cold rivers.", 0, 0, 1, 0))
    return store


async def test_vectors_find_what_is_near(index: Index, stores: Stores) -> None:
    store = await animals(index, stores)
    hits = await index.search(Query(TENANT, store, 2, vector=[1, 0, 0, 0]))
    assert numbers(hits) == [("cats", 0), ("cats", 1)]
    first = hits[0]
    assert (first.filename, first.text) == ("cats.txt", "Cats sleep for most of the day.")
    assert (first.start, first.end, first.page) == (0, 31, 1)
    assert first.attributes == {"kind": "pet", "legs": 4, "indoor": True}
    assert [round(hit.score, 2) for hit in hits] == [1.0, 0.99]


async def test_words_find_what_has_them(index: Index, stores: Stores) -> None:
    store = await animals(index, stores)
    hits = await index.search(Query(TENANT, store, 5, text="Which animals are swimming in a river?"))
    assert numbers(hits) == [("fish", 0)]
    assert hits[0].score == 1.0
    assert await index.search(Query(TENANT, store, 5, text="the of ?!")) == []


async def test_both_together_are_fused_by_rank(index: Index, stores: Stores) -> None:
    store = await animals(index, stores)
    both = Query(TENANT, store, 4, vector=[0.9, 0.2, 0, 0], text="swallows and kitten wool")
    hits = await index.search(both)
    # Second by its vector and first by its words.
    assert numbers(hits)[0] == ("cats", 1)
    assert {file for file, _ in numbers(hits)} == {"cats", "birds", "fish"}
    assert all(0 <= hit.score <= 1 for hit in hits)
    only_text = Query(TENANT, store, 1, vector=[0, 0, 1, 0], text="kitten", vector_weight=0.0)
    assert numbers(await index.search(only_text)) == [("cats", 1)]


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({"type": "eq", "key": "kind", "value": "pet"}, {"cats"}),
        ({"type": "ne", "key": "kind", "value": "pet"}, {"birds", "fish"}),
        ({"type": "eq", "key": "legs", "value": 4.0}, {"cats"}),
        ({"type": "eq", "key": "legs", "value": "4"}, set()),
        ({"type": "eq", "key": "indoor", "value": True}, {"cats"}),
        ({"type": "gt", "key": "legs", "value": 2}, {"cats"}),
        ({"type": "gte", "key": "legs", "value": 2}, {"cats", "birds"}),
        ({"type": "lt", "key": "legs", "value": 3.5}, {"birds"}),
        ({"type": "lte", "key": "legs", "value": 2}, {"birds"}),
        ({"type": "gt", "key": "kind", "value": 0}, set()),
        ({"type": "in", "key": "kind", "value": ["pet", "wild"]}, {"cats", "birds"}),
        ({"type": "in", "key": "legs", "value": [2, "x"]}, {"birds"}),
        ({"type": "nin", "key": "kind", "value": ["pet", "wild"]}, {"fish"}),
        ({"type": "eq", "key": "no such", "value": 1}, set()),
        (
            {
                "type": "or",
                "filters": [
                    {"type": "eq", "key": "legs", "value": 2},
                    {
                        "type": "and",
                        "filters": [
                            {"type": "eq", "key": "kind", "value": "pet"},
                            {"type": "ne", "key": "legs", "value": 4},
                        ],
                    },
                ],
            },
            {"birds"},
        ),
    ],
)
async def test_filters(index: Index, stores: Stores, given: dict[str, Any], found: set[str]) -> None:
    store = await animals(index, stores)
    hits = await index.search(Query(TENANT, store, 10, vector=[1, 1, 1, 0], filter=parse(given)))
    assert {hit.file for hit in hits} == found
    both = Query(TENANT, store, 10, vector=[1, 1, 1, 0], text="cats swallows trout", filter=parse(given))
    assert {hit.file for hit in await index.search(both)} == found


async def test_nothing_is_found_in_other_stores_or_for_other_tenants(index: Index, stores: Stores) -> None:
    store, other = await animals(index, stores), stores.store("globex")
    await added(index, stores.file(other, "secret", "globex"), embedded(0, "Cats rule.", 1, 0, 0, 0))
    for kind in ({"vector": [1, 0, 0, 0]}, {"text": "cats"}, {"vector": [1, 0, 0, 0], "text": "cats"}):
        assert {hit.file for hit in await index.search(Query(TENANT, store, 10, **kind))} <= {"cats", "birds", "fish"}
        assert numbers(await index.search(Query("globex", other, 10, **kind))) == [("secret", 0)]
        # The name of a store is of no use to whom it does not belong.
        assert await index.search(Query(TENANT, other, 10, **kind)) == []
    assert not await index.delete(TENANT, other)
    assert not await index.delete(TENANT, other, "secret")
    assert not await index.describe(TENANT, other, "secret", {"a": 1})
    assert numbers(await index.search(Query("globex", other, 10, vector=[1, 0, 0, 0]))) == [("secret", 0)]


async def test_writing_twice_changes_nothing(index: Index, stores: Stores) -> None:
    store = stores.store()
    place, chunk = stores.file(store, "one"), embedded(0, "Once.", 1, 0, 0, 0)
    assert await index.hashes(place, range(2)) == {}
    assert await index.write([Written(place, [chunk])]) == [True]
    assert await index.write([Written(place, [chunk])]) == [True]
    assert stores.status(place) == ("in_progress", 0)
    assert await index.hashes(place, range(2)) == {0: chunk.chunk.hash}
    assert await index.write([Written(place, [], len("Once."))]) == [True]
    assert stores.status(place) == ("completed", len("Once."))
    assert stores.chunks(store) == 1
    assert numbers(await index.search(Query(TENANT, store, 10, vector=[1, 0, 0, 0]))) == [("one", 0)]


async def test_what_is_deleted_is_not_found_and_cannot_come_back(index: Index, stores: Stores) -> None:
    store = await animals(index, stores)
    late = stores.file(store, "late")
    assert await index.write([Written(late, [embedded(0, "Cats again.", 1, 0, 0, 0)])]) == [True]
    assert await index.delete(TENANT, store, "late")
    assert await index.delete(TENANT, store, "cats")
    assert not await index.delete(TENANT, store, "cats")
    assert await index.write([Written(late, [embedded(1, "Cats?", 1, 0, 0, 0)])]) == [False]
    assert await index.write([Written(late, [], 5)]) == [False]
    hits = await index.search(Query(TENANT, store, 10, vector=[1, 0, 0, 0], text="cats"))
    assert {hit.file for hit in hits} == {"birds", "fish"}
    assert await index.delete(TENANT, store)
    assert not await index.delete(TENANT, store)
    assert (stores.chunks(store), await index.search(Query(TENANT, store, 10, vector=[1, 0, 0, 0]))) == (0, [])


async def test_an_older_reading_may_not_write_into_a_newer_one(index: Index, stores: Stores) -> None:
    store = stores.store()
    old = stores.file(store, "one")
    await index.delete(TENANT, store, "one")
    new = await added(index, stores.file(store, "one"), embedded(0, "New.", 1, 0, 0, 0))
    assert await index.write([Written(old, [embedded(0, "Old.", 1, 0, 0, 0)], 4)]) == [False]
    assert [hit.text for hit in await index.search(Query(TENANT, store, 10, vector=[1, 0, 0, 0]))] == ["New."]
    assert stores.status(new)[0] == "completed"


async def test_attributes_can_change(index: Index, stores: Stores) -> None:
    store = await animals(index, stores)
    assert await index.describe(TENANT, store, "fish", {"kind": "pet"})
    query = Query(TENANT, store, 10, vector=[1, 1, 1, 0], filter=parse({"type": "eq", "key": "kind", "value": "pet"}))
    assert {(hit.file, hit.attributes["kind"]) for hit in await index.search(query)} == {
        ("cats", "pet"),
        ("fish", "pet"),
    }
    assert not await index.describe(TENANT, store, "nobody", {})


async def test_many_at_once(index: Index, stores: Stores) -> None:
    store = stores.store()
    places = [stores.file(store, f"f{number}") for number in range(20)]
    await asyncio.gather(
        *(added(index, place, embedded(0, f"Text {n}.", 1, n, 0, 0)) for n, place in enumerate(places))
    )
    assert len(await index.search(Query(TENANT, store, 50, vector=[1, 0, 0, 0]))) == 20


async def test_several_files_are_written_in_one_go(index: Index, stores: Stores) -> None:
    store, other = stores.store(), stores.store("globex")
    whole, part, gone = (stores.file(store, name) for name in ("whole", "part", "gone"))
    theirs = stores.file(other, "whole", "globex")
    await index.delete(TENANT, store, "gone")
    written = [
        Written(whole, [embedded(0, "Cats.", 1, 0, 0, 0), embedded(1, "Dogs.", 0, 1, 0, 0)], 10),
        Written(gone, [embedded(0, "Cats gone.", 1, 0, 0, 0)], 10),
        Written(part, [embedded(0, "Cats in part.", 1, 0, 0, 0)]),
        Written(theirs, [embedded(0, "Cats of others.", 1, 0, 0, 0)], 15),
    ]
    assert await index.write(written) == [True, False, True, True]
    assert [stores.status(place) for place in (whole, part, theirs)] == [
        ("completed", 10),
        ("in_progress", 0),
        ("completed", 15),
    ]
    assert numbers(await index.search(Query(TENANT, store, 10, vector=[0.1, 1, 0, 0])))[0] == ("whole", 1)
    hits = await index.search(Query(TENANT, store, 10, vector=[1, 0, 0, 0], text="cats"))
    assert {hit.text for hit in hits} == {"Cats.", "Dogs.", "Cats in part."}
    theirs_found = await index.search(Query("globex", other, 10, vector=[1, 0, 0, 0]))
    assert [hit.text for hit in theirs_found] == ["Cats of others."]


async def test_a_large_store_is_searched_by_its_index(
    database: Database, stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pgvector, "MOST_EXACT", 1)
    index = PgvectorIndex(database)
    store = await animals(index, stores)
    hits = await index.search(Query(TENANT, store, 2, vector=[1, 0, 0, 0]))
    assert numbers(hits) == [("cats", 0), ("cats", 1)]
    assert numbers(await index.search(Query(TENANT, store, 1, vector=[1, 0, 0, 0], text="trout")))
