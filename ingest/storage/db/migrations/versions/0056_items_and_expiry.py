"""Metadata and messages that programs add to conversations, requests behind runs and answers, and expiry."""

import sqlalchemy as sa
from alembic import op

revision = "0056_items_and_expiry"
down_revision = "0055_answer_leases"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("conversations", sa.Column("metadata", sa.JSON(), nullable=False, server_default="{}"))
    op.add_column("conversations", sa.Column("items", sa.JSON(), nullable=False, server_default="[]"))
    op.add_column("runs", sa.Column("request", sa.JSON(none_as_null=True)))
    op.add_column("pending_answers", sa.Column("request", sa.JSON(none_as_null=True)))
    op.add_column("collections", sa.Column("expires_days", sa.Integer()))
    op.add_column("collections", sa.Column("last_active_at", sa.Float()))
    op.create_index("ix_collections_expires_days", "collections", ["expires_days"], unique=False)
    op.add_column("files", sa.Column("expires_at", sa.Float()))
    op.create_index("ix_files_expires_at", "files", ["expires_at"], unique=False)


def downgrade() -> None:
    op.drop_index("ix_files_expires_at", "files")
    op.drop_column("files", "expires_at")
    op.drop_index("ix_collections_expires_days", "collections")
    op.drop_column("collections", "last_active_at")
    op.drop_column("collections", "expires_days")
    op.drop_column("pending_answers", "request")
    op.drop_column("runs", "request")
    op.drop_column("conversations", "items")
    op.drop_column("conversations", "metadata")
