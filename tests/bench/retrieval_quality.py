"""How often the answer is among the first five: recall@5 by vectors, by words, and by both."""

import json
import math
import os
import time
import urllib.request
import zlib
from collections.abc import Sequence

import psycopg

from aiapp_service.retrieval.chunking import Strategy, chunks
from aiapp_service.retrieval.index import Embedded, Place, Query, Written
from aiapp_service.retrieval.parsing.document import Document
from aiapp_service.retrieval.pgvector import PgvectorIndex
from aiapp_service.stores.postgres import Database
from tests.bench import corpus
from tests.bench.report import tell

URL = "EMBEDDINGS_URL"
DIMENSIONS = 512
STORE = "vs_quality"


async def quality(database: Database, url: str) -> None:
    """Put the corpus into a store and ask all questions."""
    index = PgvectorIndex(database)
    documents = corpus.documents()
    vectors = dict(zip(documents, _embed(list(documents.values())), strict=True))
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO vector_stores (id, tenant, name, metadata, embedding_model)"
            " VALUES (%s, 't', '', '{}', 'embed')",
            (STORE,),
        )
        for name, text in documents.items():
            connection.execute(
                "INSERT INTO vector_store_files (store_id, file_id, tenant, ingestion, filename, status, attributes,"
                " chunk_tokens, overlap_tokens) VALUES (%s, %s, 't', 'i', %s, 'in_progress', '{}', 800, 400)",
                (STORE, name, name),
            )
            place = Place("t", STORE, name, "i")
            (chunk,) = chunks(Document(text), Strategy())
            await index.write([Written(place, [Embedded(chunk, vectors[name])], len(chunk.text.encode()))])
        connection.execute("ANALYZE vector_store_chunks")
    questions = corpus.questions()
    asked = _embed([question for question, _ in questions])
    model = "a real model" if URL in os.environ else "hashed words, no model of meaning"
    for kind in ("vector", "text", "hybrid"):
        found, taken = 0, []
        for (question, answer), vector in zip(questions, asked, strict=True):
            query = Query(
                "t", STORE, 5, vector=None if kind == "text" else vector, text=None if kind == "vector" else question
            )
            begun = time.perf_counter()
            hits = await index.search(query)
            taken.append(1000 * (time.perf_counter() - begun))
            found += answer in {hit.file for hit in hits}
        tell(f"recall_at_5_{kind}", [found / len(questions)], "of 50 questions", model)
        tell(f"recall_latency_{kind}", taken, "ms", f"{len(documents)} chunks")


def _embed(texts: Sequence[str]) -> list[list[float]]:
    url = os.environ.get(URL)
    if url is None:
        return [_hashed(text) for text in texts]
    body = json.dumps({"model": "embed", "input": list(texts)}).encode()
    request = urllib.request.Request(f"{url}/embeddings", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=600) as answer:
        data = json.load(answer)["data"]
    return [entry["embedding"] for entry in sorted(data, key=lambda entry: entry["index"])]


def _hashed(text: str) -> list[float]:
    """Each word, and each of its parts of four letters, at a place that follows from it."""
    vector = [0.0] * DIMENSIONS
    for word in "".join(c.lower() if c.isalnum() else " " for c in text).split():
        for piece in {word, *(word[n : n + 4] for n in range(len(word) - 3))}:
            vector[zlib.crc32(piece.encode()) % DIMENSIONS] += 1.0 / math.sqrt(len(word))
    return vector
