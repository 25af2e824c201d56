"""Batches of uploads, and the pace at which jobs are done."""

import sqlalchemy as sa
from alembic import op

revision = "0004_batches"
down_revision = "0003_replies"
branch_labels = None
depends_on = None

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "batches",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("sequence", _BIG, nullable=False),
        sa.Column("tenant_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("idempotency_key", sa.String(length=200)),
        sa.Column("expected", sa.Integer()),
        sa.Column("received", sa.Integer(), nullable=False),
        sa.Column("duplicates", sa.Integer(), nullable=False),
        sa.Column("refused", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("closed_at", sa.Float()),
        sa.Column("cancelled_at", sa.Float()),
        sa.PrimaryKeyConstraint("id", name="pk_batches"),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="fk_batches_tenant_id"),
    )
    op.create_index("ix_batches_tenant_id_sequence", "batches", ["tenant_id", "sequence"], unique=True)
    op.create_index("ix_batches_tenant_id_idempotency_key", "batches", ["tenant_id", "idempotency_key"], unique=True)
    op.create_table(
        "batch_entries",
        sa.Column("batch_id", sa.String(length=36), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("document_id", sa.String(length=36)),
        sa.Column("version_id", sa.String(length=36)),
        sa.Column("duplicate", sa.Boolean(), nullable=False),
        sa.Column("error_code", sa.String(length=64)),
        sa.Column("error_detail", sa.Text()),
        sa.Column("error_hint", sa.Text()),
        sa.PrimaryKeyConstraint("batch_id", "number", name="pk_batch_entries"),
        sa.ForeignKeyConstraint(["batch_id"], ["batches.id"], name="fk_batch_entries_batch_id"),
        sa.ForeignKeyConstraint(["version_id"], ["versions.id"], name="fk_batch_entries_version_id"),
    )
    op.create_index("ix_batch_entries_document_id_batch_id", "batch_entries", ["document_id", "batch_id"])
    op.create_index("ix_batch_entries_version_id", "batch_entries", ["version_id"])
    op.create_table(
        "paces",
        sa.Column("tenant_id", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("slot", _BIG, autoincrement=False, nullable=False),
        sa.Column("jobs", sa.Integer(), nullable=False),
        sa.Column("chunks", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "kind", "slot", name="pk_paces"),
    )


def downgrade() -> None:
    op.drop_table("paces")
    op.drop_table("batch_entries")
    op.drop_table("batches")
