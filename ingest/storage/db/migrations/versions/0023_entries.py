"""Entries of containers are documents of their own, which know their container."""

import sqlalchemy as sa
from alembic import op

revision = "0023_entries"
down_revision = "0030_sessions"
branch_labels = None
depends_on = None

_BIG = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.add_column("documents", sa.Column("container_id", sa.String(36)))
    op.add_column("documents", sa.Column("entry_path", sa.Text()))
    op.create_index("ix_documents_container_id", "documents", ["container_id"])
    op.add_column("batches", sa.Column("entries", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("deletions", sa.Column("entries", sa.Integer(), nullable=False, server_default="0"))
    op.create_table(
        "staged_entries",
        sa.Column("version_id", sa.String(36), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("tenant_id", sa.String(64), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("media_type", sa.String(128), nullable=False),
        sa.Column("content_sha256", sa.String(64), nullable=False),
        sa.Column("size_bytes", _BIG, nullable=False),
        sa.Column("blob_key", sa.String(160), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("version_id", "number", name="pk_staged_entries"),
    )
    op.create_index("ix_staged_entries_tenant_id", "staged_entries", ["tenant_id"])


def downgrade() -> None:
    op.drop_table("staged_entries")
    op.drop_column("deletions", "entries")
    op.drop_column("batches", "entries")
    op.drop_index("ix_documents_container_id", "documents")
    op.drop_column("documents", "entry_path")
    op.drop_column("documents", "container_id")
