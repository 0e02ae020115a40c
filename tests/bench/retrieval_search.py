"""How long a search takes in a store of 100,000 chunks, one search after the other."""

import random
import time
from collections.abc import Callable

import psycopg

from aiapp_service.retrieval.index import Query
from aiapp_service.retrieval.pgvector import PgvectorIndex
from aiapp_service.stores.postgres import Database
from tests.bench.report import tell

CHUNKS = 100_000
DIMENSIONS = 384
SEARCHES = 300
STORE = "vs_large"
_VOCABULARY = 20_000
_CENTRES = 200


async def search(database: Database, url: str) -> None:
    """By vectors, by words, and by both."""
    rng = random.Random(7)
    words = _words(rng)
    centres = [[rng.gauss(0, 1) for _ in range(DIMENSIONS)] for _ in range(_CENTRES)]
    begun = time.perf_counter()
    _fill(url, rng, words, centres)
    tell("search_preparation", [time.perf_counter() - begun], f"s to put {CHUNKS} chunks into the table")
    index = PgvectorIndex(database)
    about = f"{CHUNKS} chunks of {DIMENSIONS} dimensions, pgvector"

    def near() -> list[float]:
        return [value + rng.gauss(0, 0.5) for value in rng.choice(centres)]

    def text() -> str:
        return " ".join(_draw(rng, words, 8))

    kinds: dict[str, Callable[[], Query]] = {
        "vector": lambda: Query("t", STORE, 10, vector=near()),
        "text": lambda: Query("t", STORE, 10, text=text()),
        "hybrid": lambda: Query("t", STORE, 10, vector=near(), text=text()),
    }
    for name, query in kinds.items():
        for _ in range(20):
            await index.search(query())
        taken = []
        for _ in range(SEARCHES):
            wanted = query()
            begun = time.perf_counter()
            found = await index.search(wanted)
            taken.append(1000 * (time.perf_counter() - begun))
            assert found
        taken.sort()
        tell(f"search_{name}_p50", [taken[len(taken) // 2]], "ms", f"{about}; aim: 15")
        tell(f"search_{name}_p99", [taken[int(0.99 * len(taken))]], "ms", f"{about}; aim: 50")


def _words(rng: random.Random) -> list[str]:
    return ["".join(rng.choices("bcdfghklmnprstvz", k=3)) + rng.choice("aeiou") + str(n) for n in range(_VOCABULARY)]


def _draw(rng: random.Random, words: list[str], count: int) -> list[str]:
    """Few of them are frequent, as in language."""
    return [words[min(int(len(words) * rng.random() ** 3), len(words) - 1)] for _ in range(count)]


def _fill(url: str, rng: random.Random, words: list[str], centres: list[list[float]]) -> None:
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
            " embedding, dimensions) FROM STDIN"
        )
        with connection.cursor().copy(statement) as copy:
            for number in range(CHUNKS):
                vector = [round(value + rng.gauss(0, 0.5), 3) for value in rng.choice(centres)]
                body = " ".join(_draw(rng, words, 120))
                place = (f"00000000-0000-0000-0000-{number:012d}", STORE, f"f{number % 1000}", "t", number, b"h")
                copy.write_row((*place, body, 0, len(body), str(vector), DIMENSIONS))
        connection.execute("SET maintenance_work_mem = '1GB'")
        connection.execute(
            f"CREATE INDEX vector_store_chunks_nearest_{DIMENSIONS} ON vector_store_chunks"
            f" USING hnsw ((embedding::halfvec({DIMENSIONS})) halfvec_cosine_ops) WHERE dimensions = {DIMENSIONS}"
        )
        connection.execute("VACUUM ANALYZE vector_store_chunks")
