"""How long a search takes in a store of 100,000 chunks, one search after the other."""

import random
import struct
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import psycopg

from aiapp_service.retrieval.index import Query
from aiapp_service.retrieval.pgvector import PgvectorIndex
from aiapp_service.stores.postgres import Database
from tests.bench.report import cpu_below, tell
from tests.integration.servers.postgres import Postgres

CHUNKS = 100_000
DIMENSIONS = 384
SEARCHES = 300
STORE = "vs_large"
_VOCABULARY = 20_000
_CENTRES = 200


async def search(database: Database, url: str, postgres: Postgres) -> None:
    """By vectors, by words, and by both."""
    rng = np.random.default_rng(7)
    words = _words(random.Random(7))
    centres = rng.normal(size=(_CENTRES, DIMENSIONS))
    begun = time.perf_counter()
    _fill(url, rng, words, centres)
    tell("search_preparation", [time.perf_counter() - begun], f"s to put {CHUNKS} chunks into the table")
    index = PgvectorIndex(database)
    about = f"{CHUNKS} chunks of {DIMENSIONS} dimensions, pgvector"

    def near() -> list[float]:
        found: list[float] = (centres[rng.integers(_CENTRES)] + rng.normal(scale=0.5, size=DIMENSIONS)).tolist()
        return found

    def text() -> str:
        return " ".join(words[n] for n in _drawn(rng, (8,)))

    kinds: dict[str, Callable[[], Query]] = {
        "vector": lambda: Query("t", STORE, 10, vector=near()),
        "text": lambda: Query("t", STORE, 10, text=text()),
        "hybrid": lambda: Query("t", STORE, 10, vector=near(), text=text()),
    }
    for name, query in kinds.items():
        for _ in range(20):
            await index.search(query())
        taken = []
        cpu = cpu_below(postgres.server.pid)
        for _ in range(SEARCHES):
            wanted = query()
            begun = time.perf_counter()
            found = await index.search(wanted)
            taken.append(1000 * (time.perf_counter() - begun))
            assert found
        used = 1000 * (cpu_below(postgres.server.pid) - cpu) / SEARCHES
        taken.sort()
        tell(f"search_{name}_postgres_cpu", [used], "ms of PostgreSQL's CPU a search", about)
        tell(f"search_{name}_p50", [taken[len(taken) // 2]], "ms", f"{about}; aim: 15")
        tell(f"search_{name}_p99", [taken[int(0.99 * len(taken))]], "ms", f"{about}; aim: 50")


def _words(rng: random.Random) -> list[str]:
    return ["".join(rng.choices("bcdfghklmnprstvz", k=3)) + rng.choice("aeiou") + str(n) for n in range(_VOCABULARY)]


def _drawn(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    """Which words: few of them are frequent, as in language."""
    return (_VOCABULARY * rng.random(shape) ** 3).astype(int)


def _fill(url: str, rng: np.random.Generator, words: list[str], centres: Any) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO vector_stores (id, tenant, name, metadata, embedding_model)"
            " VALUES (%s, 't', '', '{}', 'embed')",
            (STORE,),
        )
        connection.execute(
            "INSERT INTO vector_store_files (store_id, file_id, tenant, ingestion, filename, status, attributes,"
            " chunk_tokens, overlap_tokens) SELECT %s, 'f' || n, 't', 'i', 'f' || n, 'completed',"
            " jsonb_build_object('lot', n %% 10), 800, 400 FROM generate_series(0, 999) AS n",
            (STORE,),
        )
        # An index that is filled row by row takes much longer.
        connection.execute(f"DROP INDEX vector_store_chunks_nearest_{DIMENSIONS}")
        statement = (
            "COPY vector_store_chunks (id, store_id, file_id, tenant, number, hash, text, starts_at, ends_at,"
            " embedding, dimensions) FROM STDIN (FORMAT BINARY)"
        )
        with connection.cursor().copy(statement) as copy:
            copy.write(b"PGCOPY\n\xff\r\n\0" + bytes(8))
            for begin in range(0, CHUNKS, 1000):
                copy.write(b"".join(_rows(begin, rng, words, centres)))
            copy.write(struct.pack(">h", -1))
        connection.execute("SET maintenance_work_mem = '512MB'")
        connection.execute(
            f"CREATE INDEX vector_store_chunks_nearest_{DIMENSIONS} ON vector_store_chunks"
            f" USING hnsw ((embedding::halfvec({DIMENSIONS})) halfvec_cosine_ops) WHERE dimensions = {DIMENSIONS}"
        )
        connection.execute("VACUUM ANALYZE vector_store_chunks")


def _rows(begin: int, rng: np.random.Generator, words: list[str], centres: Any) -> Iterator[bytes]:
    """A thousand of them, as PostgreSQL's binary format has them."""
    vectors = centres[rng.integers(_CENTRES, size=1000)] + rng.normal(scale=0.5, size=(1000, DIMENSIONS))
    for number, (vector, drawn) in enumerate(zip(vectors.astype(">f2"), _drawn(rng, (1000, 120)), strict=True), begin):
        body = " ".join(words[n] for n in drawn).encode()
        fields = (
            uuid.UUID(int=number).bytes,
            *(STORE.encode(), f"f{number % 1000}".encode(), b"t"),
            *(struct.pack(">i", number), b"h", body, struct.pack(">i", 0), struct.pack(">i", len(body))),
            struct.pack(">HH", DIMENSIONS, 0) + vector.tobytes(),
            struct.pack(">h", DIMENSIONS),
        )
        yield struct.pack(">h", len(fields)) + b"".join(struct.pack(">i", len(field)) + field for field in fields)
