"""Replies of language models, kept by the content of what was asked."""

import sqlalchemy as sa
from alembic import op

revision = "0003_replies"
down_revision = "0002_cluster"
branch_labels = None
depends_on = None


def upgrade() -> None:
    big = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "replies",
        sa.Column("tenant_id", sa.String(length=64), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("calls", sa.Integer(), nullable=False),
        sa.Column("prompt_tokens", big, nullable=False),
        sa.Column("completion_tokens", big, nullable=False),
        sa.Column("size_bytes", big, nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("used_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "key", name="pk_replies"),
    )
    op.create_index("ix_replies_tenant_id_used_at", "replies", ["tenant_id", "used_at"])


def downgrade() -> None:
    op.drop_table("replies")
