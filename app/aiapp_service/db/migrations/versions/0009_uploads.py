"""Files that come in parts: uploads, and the parts of each."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

_NOW = sa.text("now()")


def upgrade() -> None:
    """Create both tables."""
    time = sa.TIMESTAMP(timezone=True)
    op.create_table(
        "uploads",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("tenant", sa.Text, nullable=False, comment="Whose upload this is; all queries are by tenant."),
        sa.Column("filename", sa.Text, nullable=False),
        sa.Column("purpose", sa.Text, nullable=False),
        sa.Column("content_type", sa.Text, nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False, comment="As the client has promised."),
        sa.Column("keep_seconds", sa.BigInteger, nullable=True, comment="The file goes after so many seconds."),
        sa.Column(
            "status", sa.Text, nullable=False, server_default="pending", comment="Or completed, cancelled, expired."
        ),
        sa.Column("file_id", sa.Text, nullable=True, comment="What became of it."),
        sa.Column("created_at", time, nullable=False, server_default=_NOW),
        sa.Column("expires_at", time, nullable=False),
    )
    op.create_index("uploads_of_tenant", "uploads", ["tenant", "status"])
    op.create_index("uploads_by_expiry", "uploads", ["expires_at"])
    op.create_table(
        "upload_parts",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("upload_id", sa.Text, sa.ForeignKey("uploads.id"), nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=True, comment="Null: it is not there yet, or never will be."),
        sa.Column("created_at", time, nullable=False, server_default=_NOW),
    )
    op.create_index("upload_parts_of_upload", "upload_parts", ["upload_id"])
