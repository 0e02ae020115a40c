"""Files in vector stores that nobody has read yet are found again when their jobs are lost."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
accepted = {"require-concurrent-index-creation": "before the first release: no store is large"}


def upgrade() -> None:
    """Add who pays for the reading, which only the job knew, and an index of those that wait."""
    op.add_column(
        "vector_store_files",
        sa.Column("api_key", sa.Text, nullable=False, server_default="", comment="Name of the key that pays."),
    )
    waiting = sa.text("status = 'in_progress'")
    op.create_index("vector_store_files_unread", "vector_store_files", ["created_at"], postgresql_where=waiting)
