"""What is known of the files that clients keep in the object store."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Create the table."""
    time = sa.TIMESTAMP(timezone=True)
    op.create_table(
        "files",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("tenant", sa.Text, nullable=False, comment="Whose file this is; all queries are by tenant."),
        sa.Column("purpose", sa.Text, nullable=False, server_default=""),
        sa.Column("filename", sa.Text, nullable=False),
        sa.Column("content_type", sa.Text, nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("sha256", sa.Text, nullable=False, server_default="", comment="Hexadecimal digits."),
        sa.Column("status", sa.Text, nullable=False, comment="uploading, processed, deleted."),
        sa.Column("created_at", time, nullable=False, server_default=sa.text("now()")),
        sa.Column("expires_at", time, nullable=True),
        sa.Column("changed_at", time, nullable=False, server_default=sa.text("now()"), comment="When status changed."),
    )
    there = sa.text("status = 'processed'")
    op.create_index("files_of_tenant", "files", ["tenant", "created_at", "id"], postgresql_where=there)
    op.create_index("files_expiring", "files", ["expires_at"], postgresql_where=sa.text("expires_at IS NOT NULL"))
    op.create_index("files_unsettled", "files", ["changed_at"], postgresql_where=sa.text("status <> 'processed'"))
