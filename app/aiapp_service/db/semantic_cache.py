"""The table of the semantic cache: the one part of the schema that may be missing, as pgvector may be.

`embedding` has any number of dimensions: each embedding model has its own. There is no index on it: a look-up
compares the latest rows of one partition, which the index finds. `context` is the hash of all that was said before
the question, `parameters` that of tools, response format, sampling, backends and embedding model.
"""

import logging

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

log = logging.getLogger(__name__)

TABLE = "semantic_cache"
_STATE = "SELECT installed_version IS NOT NULL FROM pg_available_extensions WHERE name = 'vector'"
_STATEMENTS = (
    f"""
    CREATE TABLE {TABLE} (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        tenant text NOT NULL,
        model text NOT NULL,
        context bytea NOT NULL,
        parameters bytea NOT NULL,
        embedding vector NOT NULL,
        answer bytea NOT NULL,
        expires_at timestamptz NOT NULL
    )
    """,
    # Answers are compressed already.
    f"ALTER TABLE {TABLE} ALTER COLUMN answer SET STORAGE EXTERNAL",
    f"CREATE INDEX {TABLE}_partition ON {TABLE} (tenant, model, context, parameters, expires_at)",
    f"CREATE INDEX {TABLE}_expired ON {TABLE} (expires_at)",
)


def create_where_possible(connection: Connection) -> None:
    """Create the table, unless it is there or pgvector is not to be had. Never fails for want of pgvector."""
    if connection.scalar(text(f"SELECT to_regclass('{TABLE}')")) is not None:
        return
    if not has_vector(connection):
        log.info("no table for the semantic cache: the database has no extension vector (pgvector) for us")
        return
    for statement in _STATEMENTS:
        connection.execute(text(statement))


def has_vector(connection: Connection) -> bool:
    """Whether the database has pgvector, creating the extension where we may."""
    installed = connection.scalar(text(_STATE))
    if installed is None:
        return False
    if not installed:
        try:
            with connection.begin_nested():
                connection.execute(text("CREATE EXTENSION IF NOT EXISTS vector"))
        except DBAPIError as error:
            # The administrator of the database has to do that.
            log.info(
                "the extension vector is available, and not ours to create", extra={"error": str(error.orig)[:200]}
            )
            return False
    return True
