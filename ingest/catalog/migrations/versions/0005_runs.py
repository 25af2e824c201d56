"""Runs: questions that are answered in the background, what was done in them, and the versions that they read."""

import sqlalchemy as sa
from alembic import op

revision = "0005_runs"
down_revision = "0004_batches"
branch_labels = None
depends_on = None

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "runs",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("sequence", _BIG, nullable=False),
        sa.Column("tenant_id", sa.String(length=64), nullable=False),
        sa.Column("idempotency_key", sa.String(length=200)),
        sa.Column("question", sa.Text(), nullable=False),
        sa.Column("collections", sa.JSON(), nullable=False),
        sa.Column("documents", sa.JSON(), nullable=False),
        sa.Column("strategy", sa.String(length=32), nullable=False),
        sa.Column("limits", sa.JSON(), nullable=False),
        sa.Column("ended_as", sa.String(length=16)),
        sa.Column("events", sa.Integer(), nullable=False),
        sa.Column("calls", sa.Integer(), nullable=False),
        sa.Column("cached", sa.Integer(), nullable=False),
        sa.Column("prompt_tokens", _BIG, nullable=False),
        sa.Column("completion_tokens", _BIG, nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("progress", sa.JSON()),
        sa.Column("scope_documents", sa.Integer()),
        sa.Column("scope_characters", _BIG),
        sa.Column("answer", sa.JSON()),
        sa.Column("error_code", sa.String(length=64)),
        sa.Column("error_detail", sa.Text()),
        sa.Column("error_hint", sa.Text()),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("started_at", sa.Float()),
        sa.Column("ended_at", sa.Float()),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="fk_runs_tenant_id"),
        sa.PrimaryKeyConstraint("id", name="pk_runs"),
    )
    op.create_index("ix_runs_tenant_id_sequence", "runs", ["tenant_id", "sequence"], unique=True)
    op.create_index("ix_runs_tenant_id_idempotency_key", "runs", ["tenant_id", "idempotency_key"], unique=True)
    op.create_table(
        "run_events",
        sa.Column("run_id", sa.String(length=36), nullable=False),
        sa.Column("sequence", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("key", sa.String(length=120), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name="fk_run_events_run_id"),
        sa.PrimaryKeyConstraint("run_id", "sequence", name="pk_run_events"),
    )
    op.create_index("ix_run_events_run_id_key", "run_events", ["run_id", "key"], unique=True)
    op.create_table(
        "run_documents",
        sa.Column("run_id", sa.String(length=36), nullable=False),
        sa.Column("sequence", _BIG, autoincrement=False, nullable=False),
        sa.Column("document_id", sa.String(length=36), nullable=False),
        sa.Column("version_id", sa.String(length=36), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name="fk_run_documents_run_id"),
        sa.PrimaryKeyConstraint("run_id", "sequence", name="pk_run_documents"),
    )
    op.create_index("ix_run_documents_version_id", "run_documents", ["version_id"])


def downgrade() -> None:
    op.drop_table("run_documents")
    op.drop_table("run_events")
    op.drop_table("runs")
    op.execute("DELETE FROM jobs WHERE kind = 'run'")
