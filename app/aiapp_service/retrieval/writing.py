"""The statement that writes chunks of several files, of their last ones their ends too, in one go.

A file is looked at again in the same statement, and held until it is done: one that was taken out of its store, or put
into it anew, gets nothing.
"""

from collections.abc import Sequence
from typing import Any

from aiapp_service.retrieval.index import Written
from aiapp_service.retrieval.search_sql import literal

_STATEMENT = """
    WITH asked AS (
        SELECT * FROM unnest(%(stores)s::text[], %(files)s::text[], %(tenants)s::text[], %(ingestions)s::text[],
            %(bytes)s::bigint[]) WITH ORDINALITY AS a(store, file, tenant, ingestion, bytes, which)
    ), live AS (
        SELECT a.which, a.bytes, f.store_id, f.file_id, f.tenant FROM asked a
        JOIN vector_store_files f ON f.store_id = a.store AND f.file_id = a.file AND f.tenant = a.tenant
            AND f.ingestion = a.ingestion AND f.status = 'in_progress'
        ORDER BY f.store_id, f.file_id FOR UPDATE OF f
    ), given AS (
        SELECT * FROM unnest(%(which)s::bigint[], %(ids)s::uuid[], %(numbers)s::int[], %(hashes)s::bytea[],
            %(texts)s::text[], %(starts)s::int[], %(ends)s::int[], %(pages)s::int[]{more})
            AS g(which, id, number, hash, text, starts_at, ends_at, page{column})
    ), written AS (
        INSERT INTO vector_store_chunks
            (id, store_id, file_id, tenant, number, hash, text, starts_at, ends_at, page{columns})
        SELECT id, store_id, file_id, tenant, number, hash, text, starts_at, ends_at, page{values}
        FROM given JOIN live USING (which)
        ON CONFLICT (id) DO UPDATE SET (hash, text, starts_at, ends_at, page{columns})
            = (excluded.hash, excluded.text, excluded.starts_at, excluded.ends_at, excluded.page{updates})
    ), ended AS (
        UPDATE vector_store_files f SET status = 'completed', usage_bytes = live.bytes
        FROM live WHERE live.bytes IS NOT NULL AND f.store_id = live.store_id AND f.file_id = live.file_id
    )
    SELECT which FROM live
"""
TEXTS = _STATEMENT.format(more="", column="", columns="", values="", updates="")
ALL = _STATEMENT.format(
    more=", %(vectors)s::text[], %(dimensions)s::int[]",
    column=", vector, dimensions",
    columns=", embedding, dimensions",
    values=", vector::halfvec, dimensions",
    updates=", excluded.embedding, excluded.dimensions",
)


def values(files: Sequence[Written], *, vectors: bool) -> dict[str, Any]:
    """The parameters of TEXTS, or with vectors those of ALL. `which` counts the files from 1."""
    chunks = [(which, file.place, entry) for which, file in enumerate(files, 1) for entry in file.chunks]
    found: dict[str, Any] = {
        "stores": [file.place.store for file in files],
        "files": [file.place.file for file in files],
        "tenants": [file.place.tenant for file in files],
        "ingestions": [file.place.ingestion for file in files],
        "bytes": [file.usage_bytes for file in files],
        "which": [which for which, _, _ in chunks],
        "ids": [place.chunk_id(entry.chunk.number) for _, place, entry in chunks],
        "numbers": [entry.chunk.number for _, _, entry in chunks],
        "hashes": [entry.chunk.hash for _, _, entry in chunks],
        "texts": [entry.chunk.text for _, _, entry in chunks],
        "starts": [entry.chunk.start for _, _, entry in chunks],
        "ends": [entry.chunk.end for _, _, entry in chunks],
        "pages": [entry.chunk.page for _, _, entry in chunks],
    }
    if vectors:
        found["vectors"] = [literal(entry.vector) for _, _, entry in chunks]
        found["dimensions"] = [len(entry.vector) for _, _, entry in chunks]
    return found
