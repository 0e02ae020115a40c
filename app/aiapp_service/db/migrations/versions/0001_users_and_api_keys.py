"""Users of the application, and the API keys they call with. Keys are kept as hashes only."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import UUID

revision = "0001"
down_revision = None

_NOW = sa.text("now()")
_NEW_ID = sa.text("gen_random_uuid()")


def upgrade() -> None:
    """Create both tables."""
    op.create_table(
        "users",
        sa.Column("id", UUID, primary_key=True, server_default=_NEW_ID),
        sa.Column("tenant", sa.Text, nullable=False, comment="Whose user this is; all queries are by tenant."),
        sa.Column("subject", sa.Text, nullable=False, comment="Who the identity provider says it is."),
        sa.Column("created_at", sa.TIMESTAMP(timezone=True), nullable=False, server_default=_NOW),
        sa.UniqueConstraint("tenant", "subject", name="users_tenant_subject"),
    )
    op.create_table(
        "api_keys",
        sa.Column("id", UUID, primary_key=True, server_default=_NEW_ID),
        sa.Column("tenant", sa.Text, nullable=False),
        sa.Column("user_id", UUID, sa.ForeignKey("users.id", ondelete="CASCADE"), nullable=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("hash", sa.LargeBinary, nullable=False, comment="SHA-256 of the key; the key itself is not kept."),
        sa.Column("created_at", sa.TIMESTAMP(timezone=True), nullable=False, server_default=_NOW),
        sa.Column("revoked_at", sa.TIMESTAMP(timezone=True), nullable=True),
        sa.UniqueConstraint("hash", name="api_keys_hash"),
        sa.CheckConstraint("octet_length(hash) = 32", name="api_keys_hash_is_sha256"),
    )
    op.create_index("api_keys_user", "api_keys", ["user_id"])
