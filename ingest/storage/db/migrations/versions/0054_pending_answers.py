"""Questions whose answers are in progress, so that an answer continues when its reader leaves the page."""

import sqlalchemy as sa
from alembic import op

revision = "0054_pending_answers"
down_revision = "0053_gone_names"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "pending_answers",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("tenant_id", sa.String(64), nullable=False),
        sa.Column("conversation_id", sa.String(36), nullable=False),
        sa.Column("owner", sa.String(256)),
        sa.Column("readers", sa.JSON(none_as_null=True)),
        sa.Column("question", sa.Text(), nullable=False),
        sa.Column("options", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("events", sa.Integer(), nullable=False),
        sa.Column("problem", sa.JSON(none_as_null=True)),
        sa.Column("alive_at", sa.Float(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_pending_answers"),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="fk_pending_answers_tenant_id"),
        sa.ForeignKeyConstraint(
            ["conversation_id"],
            ["conversations.id"],
            name="fk_pending_answers_conversation_id",
            ondelete="CASCADE",
        ),
    )
    op.create_index(
        "ix_pending_answers_conversation_id_created_at",
        "pending_answers",
        ["conversation_id", "created_at"],
        unique=False,
    )
    op.create_table(
        "pending_events",
        sa.Column("answer_id", sa.String(36), nullable=False),
        sa.Column("sequence", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("answer_id", "sequence", name="pk_pending_events"),
        sa.ForeignKeyConstraint(
            ["answer_id"], ["pending_answers.id"], name="fk_pending_events_answer_id", ondelete="CASCADE"
        ),
    )


def downgrade() -> None:
    op.drop_table("pending_events")
    op.drop_table("pending_answers")
