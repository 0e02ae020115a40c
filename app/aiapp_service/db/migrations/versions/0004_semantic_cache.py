"""Answers by the meaning of their question, where the database has pgvector; see `aiapp_service.db.semantic_cache`."""

from alembic import op

from aiapp_service.db import semantic_cache

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Create the table where that is possible."""
    semantic_cache.create_where_possible(op.get_bind())
