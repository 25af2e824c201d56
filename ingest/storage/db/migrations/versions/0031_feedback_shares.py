"""Feedback on answers, links to conversations and runs, and runs that wait when their budget is met."""

import sqlalchemy as sa
from alembic import op

revision = "0031_feedback_shares"
down_revision = "0034_collections"
branch_labels = None
depends_on = None

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "feedback",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("sequence", _BIG, nullable=False),
        sa.Column("tenant_id", sa.String(length=64), nullable=False),
        sa.Column("answer_id", sa.String(length=36), nullable=False),
        sa.Column("author", sa.String(length=256), nullable=False),
        sa.Column("rating", sa.String(length=8), nullable=False),
        sa.Column("comment", sa.Text()),
        sa.Column("sentences", sa.JSON(), nullable=False),
        sa.Column("citations", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("updated_at", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="fk_feedback_tenant_id"),
        sa.ForeignKeyConstraint(["answer_id"], ["answers.id"], name="fk_feedback_answer_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_feedback"),
    )
    op.create_index("ix_feedback_tenant_id_sequence", "feedback", ["tenant_id", "sequence"], unique=True)
    op.create_index("ix_feedback_answer_id_author", "feedback", ["answer_id", "author"], unique=True)
    op.create_table(
        "shares",
        sa.Column("id", sa.String(length=48), nullable=False),
        sa.Column("sequence", _BIG, nullable=False),
        sa.Column("tenant_id", sa.String(length=64), nullable=False),
        sa.Column("conversation_id", sa.String(length=36)),
        sa.Column("run_id", sa.String(length=36)),
        sa.Column("owner", sa.String(length=256), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("ends_at", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="fk_shares_tenant_id"),
        sa.ForeignKeyConstraint(
            ["conversation_id"], ["conversations.id"], name="fk_shares_conversation_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name="fk_shares_run_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_shares"),
    )
    op.create_index("ix_shares_tenant_id_sequence", "shares", ["tenant_id", "sequence"], unique=True)
    for column in ("conversation_id", "run_id", "ends_at"):
        op.create_index(f"ix_shares_{column}", "shares", [column])
    op.add_column("runs", sa.Column("pauses", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("runs", sa.Column("raised", sa.JSON(), nullable=False, server_default="[]"))


def downgrade() -> None:
    op.drop_column("runs", "raised")
    op.drop_column("runs", "pauses")
    op.drop_table("shares")
    op.drop_table("feedback")
