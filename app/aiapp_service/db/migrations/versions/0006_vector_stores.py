"""Vector stores: the files in them, the chunks of these, and their vectors where the database has pgvector."""

from alembic import op

from aiapp_service.db import vector_stores

revision = "0006"
down_revision = "0005"
accepted = {"prefer-bigint-over-smallint": "a number of dimensions: pgvector takes no more than 16,000"}

_STATEMENTS = (
    """
    CREATE TABLE vector_stores (
        id text PRIMARY KEY,
        tenant text NOT NULL,
        name text NOT NULL,
        metadata jsonb NOT NULL,
        embedding_model text NOT NULL,
        expires_days integer,
        created_at timestamptz NOT NULL DEFAULT now(),
        last_active_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    "CREATE INDEX vector_stores_of_tenant ON vector_stores (tenant, created_at, id)",
    """
    CREATE TABLE vector_store_files (
        store_id text NOT NULL REFERENCES vector_stores ON DELETE CASCADE,
        file_id text NOT NULL,
        tenant text NOT NULL,
        ingestion text NOT NULL,
        batch_id text,
        filename text NOT NULL,
        status text NOT NULL,
        error_code text,
        error_message text,
        usage_bytes bigint NOT NULL DEFAULT 0,
        attributes jsonb NOT NULL,
        chunk_tokens integer NOT NULL,
        overlap_tokens integer NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (store_id, file_id)
    )
    """,
    "COMMENT ON COLUMN vector_store_files.ingestion IS 'Which reading of the file: an older one may not write.'",
    "CREATE INDEX vector_store_files_in_order ON vector_store_files (store_id, created_at, file_id)",
    """
    CREATE TABLE vector_store_batches (
        id text PRIMARY KEY,
        store_id text NOT NULL REFERENCES vector_stores ON DELETE CASCADE,
        tenant text NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    "CREATE INDEX vector_store_batches_of_store ON vector_store_batches (store_id)",
    """
    CREATE TABLE vector_store_chunks (
        id uuid PRIMARY KEY,
        store_id text NOT NULL,
        file_id text NOT NULL,
        tenant text NOT NULL,
        number integer NOT NULL,
        hash bytea NOT NULL,
        text text NOT NULL,
        starts_at integer NOT NULL,
        ends_at integer NOT NULL,
        page integer,
        words tsvector GENERATED ALWAYS AS (to_tsvector('english', text)) STORED,
        FOREIGN KEY (store_id, file_id) REFERENCES vector_store_files ON DELETE CASCADE
    )
    """,
    "CREATE INDEX vector_store_chunks_of_file ON vector_store_chunks (store_id, file_id, number)",
    "CREATE INDEX vector_store_chunks_words ON vector_store_chunks USING gin (words)",
)


def upgrade() -> None:
    """Create the tables."""
    for statement in _STATEMENTS:
        op.execute(statement)
    vector_stores.add_vectors_where_possible(op.get_bind())
