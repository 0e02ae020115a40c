"""What the ledger was lacking: who the user was, how the client named the request, and tokens that are priced apart."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
accepted = {
    "constraint-missing-not-valid": "only constants are checked: the columns are new",
    "require-concurrent-index-creation": "before the first release: no ledger is large",
}

_COUNTS = {
    "cache_write_tokens": "Part of input_tokens.",
    "audio_input_tokens": "Part of input_tokens.",
    "audio_output_tokens": "Part of output_tokens.",
}


def upgrade() -> None:
    """Add columns, each with a default: a version that does not know them goes on writing."""
    op.alter_column("usage", "request_id", comment="Given by the service: one row a request, however often it comes.")
    op.add_column("usage", _text("client_request_id", "x-request-id; clients choose it, so it may come twice."))
    op.add_column("usage", _text("user_name", "Whom the key or token was used for, where it says so."))
    for name, comment in _COUNTS.items():
        op.add_column("usage", sa.Column(name, sa.BigInteger, nullable=False, server_default="0", comment=comment))
    op.create_check_constraint("usage_parts_not_negative", "usage", f"least({', '.join(_COUNTS)}) >= 0")
    # Rows come in the order of time: a range of days is found by a few pages, at next to no cost for writing.
    op.create_index("usage_by_day", "usage", ["created_at"], postgresql_using="brin")


def _text(name: str, comment: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=False, server_default="", comment=comment)
