"""Vectors in the table of chunks: a column and indexes that are there where pgvector is.

Each embedding model has its own number of dimensions, and so has each vector store: the column takes any. An index
needs one number. So there is an index for each number that models in use have, over the chunks of that many
dimensions; chunks of another number are searched without one. Half-precision numbers: they take half the room, and
the order of what is found is the same.
"""

import logging

from sqlalchemy import Connection, text

from aiapp_service.db.semantic_cache import has_vector

log = logging.getLogger(__name__)

TABLE = "vector_store_chunks"
INDEXED_DIMENSIONS = (256, 384, 512, 640, 768, 1024, 1536, 2048, 3072)
# The most that pgvector's index takes of half-precision numbers.
MOST_DIMENSIONS = 4000
_VERSION = "SELECT string_to_array(extversion, '.')::int[] >= '{0,8}' FROM pg_extension WHERE extname = 'vector'"
_COLUMN = """
    SELECT EXISTS (SELECT FROM pg_attribute
        WHERE attrelid = to_regclass(:table) AND attname = 'embedding' AND NOT attisdropped)
"""


def add_vectors_where_possible(connection: Connection) -> None:
    """Add column and indexes, unless they are there or pgvector is not to be had. Never fails for want of pgvector."""
    there = connection.scalar(text("SELECT to_regclass(:table) IS NOT NULL"), {"table": TABLE})
    if not there or connection.scalar(text(_COLUMN), {"table": TABLE}):
        return
    if not has_vector(connection):
        log.info("no vectors in PostgreSQL: the database has no extension vector (pgvector) for us")
        return
    if not connection.scalar(text(_VERSION)):
        log.info("no vectors in PostgreSQL: its extension vector (pgvector) is older than 0.8")
        return
    connection.execute(text(f"ALTER TABLE {TABLE} ADD COLUMN embedding halfvec, ADD COLUMN dimensions smallint"))
    for number in INDEXED_DIMENSIONS:
        of = f"((embedding::halfvec({number})) halfvec_cosine_ops)"
        connection.execute(
            text(f"CREATE INDEX {TABLE}_nearest_{number} ON {TABLE} USING hnsw {of} WHERE dimensions = {number}")
        )
