"""Requests may be sent again under a key, and files arrive in several requests."""

import sqlalchemy as sa
from alembic import op

revision = "0032_repeats"
down_revision = "0024_pages_done"
branch_labels = None
depends_on = None

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "idempotency_keys",
        sa.Column("tenant_id", sa.String(length=64), nullable=False),
        sa.Column("key_sha256", sa.String(length=64), nullable=False),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("request_sha256", sa.String(length=64), nullable=False),
        sa.Column("body_sha256", sa.String(length=64)),
        sa.Column("lease_until", sa.Float(), nullable=False),
        sa.Column("done_at", sa.Float()),
        sa.Column("response", sa.LargeBinary()),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("ends_at", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_idempotency_keys_tenant_id_tenants")),
        sa.PrimaryKeyConstraint("tenant_id", "key_sha256", name=op.f("pk_idempotency_keys")),
    )
    op.create_index(op.f("ix_idempotency_keys_ends_at"), "idempotency_keys", ["ends_at"])
    op.create_table(
        "uploads",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("tenant_id", sa.String(length=64), nullable=False),
        sa.Column("owner", sa.String(length=256), nullable=False),
        sa.Column("key_id", sa.String(length=32), nullable=False),
        sa.Column("length", _BIG, nullable=False),
        sa.Column("received", _BIG, nullable=False),
        sa.Column("description", sa.JSON(), nullable=False),
        sa.Column("header", sa.Text(), nullable=False),
        sa.Column("writer", sa.String(length=32)),
        sa.Column("lease_until", sa.Float(), nullable=False),
        sa.Column("document_id", sa.String(length=36)),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("ends_at", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_uploads_tenant_id_tenants")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_uploads")),
    )
    op.create_index(op.f("ix_uploads_tenant_id_ends_at"), "uploads", ["tenant_id", "ends_at"])
    op.create_index(op.f("ix_uploads_ends_at"), "uploads", ["ends_at"])


def downgrade() -> None:
    op.drop_table("uploads")
    op.drop_table("idempotency_keys")
