"""What each request used and cost: the ledger that invoices are made from."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Create the table."""
    count = sa.BigInteger
    op.create_table(
        "usage",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("request_id", sa.Text, nullable=False, comment="One row a request, however often it is delivered."),
        sa.Column("tenant", sa.Text, nullable=False, server_default=""),
        sa.Column("api_key", sa.Text, nullable=False, server_default="", comment="Name of the key, not the key."),
        sa.Column("model", sa.Text, nullable=False, comment="As the client named it."),
        sa.Column("backend", sa.Text, nullable=False),
        sa.Column("endpoint", sa.Text, nullable=False),
        sa.Column("input_tokens", count, nullable=False, server_default="0"),
        sa.Column("output_tokens", count, nullable=False, server_default="0"),
        sa.Column("cached_tokens", count, nullable=False, server_default="0", comment="Part of input_tokens."),
        sa.Column("reasoning_tokens", count, nullable=False, server_default="0", comment="Part of output_tokens."),
        sa.Column("cost_usd", sa.Numeric(20, 10), nullable=True, comment="Null: the price is not known."),
        sa.Column("estimated", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("created_at", sa.TIMESTAMP(timezone=True), nullable=False, server_default=sa.text("now()")),
        sa.UniqueConstraint("request_id", name="usage_request"),
        sa.CheckConstraint(
            "least(input_tokens, output_tokens, cached_tokens, reasoning_tokens) >= 0", name="usage_tokens_not_negative"
        ),
    )
    op.create_index("usage_by_tenant", "usage", ["tenant", "created_at"])
    op.create_index("usage_by_model", "usage", ["model", "created_at"])
