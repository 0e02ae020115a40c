"""Batches with the results of their lines, fine-tuning jobs and the models that came of them."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0007"
down_revision = "0006"

_NOW = sa.text("now()")


def upgrade() -> None:
    """Add tables, and to the ledger which batch a request was part of."""
    op.add_column(
        "usage",
        sa.Column("batch", sa.Text, nullable=False, server_default="", comment="Of which batch; empty: of none."),
    )
    _batches()
    _batch_lines()
    _fine_tuning()


def _batches() -> None:
    op.create_table(
        "batches",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("tenant", sa.Text, nullable=False),
        sa.Column("principal", JSONB, nullable=False, comment="Who made it: limits and the ledger go by it."),
        sa.Column("endpoint", sa.Text, nullable=False),
        sa.Column("input_file_id", sa.Text, nullable=False),
        sa.Column("completion_window", sa.Text, nullable=False),
        sa.Column("metadata", JSONB, nullable=True),
        sa.Column("output_seconds", sa.BigInteger, nullable=True, comment="Output files go after so many seconds."),
        sa.Column("status", sa.Text, nullable=False, server_default="validating"),
        sa.Column("ending", sa.Text, nullable=True, comment="The status that finalizing leads to."),
        sa.Column("model", sa.Text, nullable=True, comment="Null: its lines ask several."),
        _count("total"),
        _count("completed"),
        _count("failed"),
        _count("input_tokens"),
        _count("cached_tokens"),
        _count("output_tokens"),
        _count("reasoning_tokens"),
        sa.Column("errors", JSONB, nullable=True),
        sa.Column("paused", JSONB, nullable=True, comment="Why no lines are begun for now."),
        sa.Column("resume_at", sa.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("output_file_id", sa.Text, nullable=True),
        sa.Column("error_file_id", sa.Text, nullable=True),
        sa.Column("holder", sa.Text, nullable=True, comment="Which run works on it; others' writes are refused."),
        sa.Column("held_until", sa.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("created_at", sa.TIMESTAMP(timezone=True), nullable=False, server_default=_NOW),
        sa.Column("expires_at", sa.TIMESTAMP(timezone=True), nullable=False),
        *(_time(name) for name in ("in_progress_at", "finalizing_at", "completed_at", "failed_at")),
        *(_time(name) for name in ("expired_at", "cancelling_at", "cancelled_at")),
    )
    op.create_index("batches_by_tenant", "batches", ["tenant", sa.text("created_at DESC"), sa.text("id DESC")])
    op.create_index(
        "batches_open",
        "batches",
        ["expires_at"],
        postgresql_where=sa.text("status IN ('validating', 'in_progress', 'finalizing', 'cancelling')"),
    )


def _batch_lines() -> None:
    op.create_table(
        "batch_lines",
        sa.Column("batch", sa.Text, sa.ForeignKey("batches.id", ondelete="CASCADE"), nullable=False),
        sa.Column("number", sa.Integer, nullable=False, comment="Of the line in the input file, from 1."),
        sa.Column("succeeded", sa.Boolean, nullable=False, comment="Whether it goes into the output or the errors."),
        sa.Column("result", sa.LargeBinary, nullable=False, comment="The line as it will stand in the file."),
        sa.PrimaryKeyConstraint("batch", "number"),
    )


def _fine_tuning() -> None:
    op.create_table(
        "fine_tuning_jobs",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("tenant", sa.Text, nullable=False),
        sa.Column("principal", JSONB, nullable=False),
        sa.Column("provider", sa.Text, nullable=False, comment="Its name in the configuration."),
        sa.Column("model", sa.Text, nullable=False, comment="The base model, as the client named it."),
        sa.Column("request", JSONB, nullable=False, comment="What the client asked for."),
        sa.Column("status", sa.Text, nullable=False, server_default="validating_files"),
        sa.Column("wanted", sa.Text, nullable=True, comment="cancel, pause or resume: not passed on yet."),
        sa.Column("provider_files", JSONB, nullable=False, server_default="{}"),
        sa.Column("provider_job", sa.Text, nullable=True),
        sa.Column("submitting", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("document", JSONB, nullable=False, server_default="{}", comment="The provider's, as it last was."),
        sa.Column("fine_tuned_model", sa.Text, nullable=True),
        sa.Column("error", JSONB, nullable=True),
        sa.Column("holder", sa.Text, nullable=True),
        sa.Column("held_until", sa.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("created_at", sa.TIMESTAMP(timezone=True), nullable=False, server_default=_NOW),
        _time("finished_at"),
    )
    op.create_index("fine_tuning_by_tenant", "fine_tuning_jobs", ["tenant", sa.text("created_at DESC")])
    for table in ("fine_tuning_events", "fine_tuning_checkpoints"):
        op.create_table(
            table,
            sa.Column("job", sa.Text, sa.ForeignKey("fine_tuning_jobs.id", ondelete="CASCADE"), nullable=False),
            sa.Column("id", sa.Text, nullable=False),
            sa.Column("number", sa.BigInteger, sa.Identity(always=True), nullable=False),
            sa.Column("created_at", sa.TIMESTAMP(timezone=True), nullable=False, server_default=_NOW),
            sa.Column("document", JSONB, nullable=False),
            sa.PrimaryKeyConstraint("job", "id"),
        )
    op.create_table(
        "tuned_models",
        sa.Column("name", sa.Text, primary_key=True, comment="What clients ask for."),
        sa.Column("tenant", sa.Text, nullable=False, comment="Who may ask for it."),
        sa.Column("base", sa.Text, nullable=False, comment="The model of the app that it was made of."),
        sa.Column("provider", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False, comment="As the provider names it."),
        sa.Column("job", sa.Text, nullable=False),
        sa.Column("created_at", sa.TIMESTAMP(timezone=True), nullable=False, server_default=_NOW),
    )


def _count(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False, server_default="0")


def _time(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.TIMESTAMP(timezone=True), nullable=True)
