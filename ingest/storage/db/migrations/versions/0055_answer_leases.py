"""Leases of answers in progress, so that another process takes up the answers of a process that was stopped."""

import sqlalchemy as sa
from alembic import op

revision = "0055_answer_leases"
down_revision = "0054_pending_answers"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("pending_answers", sa.Column("asker", sa.JSON(none_as_null=True)))
    op.add_column("pending_answers", sa.Column("lease", sa.String(36)))
    op.add_column("pending_answers", sa.Column("attempt", sa.Integer(), nullable=False, server_default="1"))
    running = sa.text("state = 'running'")
    op.create_index(
        "ix_pending_answers_running",
        "pending_answers",
        ["created_at"],
        sqlite_where=running,
        postgresql_where=running,
    )


def downgrade() -> None:
    op.drop_index("ix_pending_answers_running", table_name="pending_answers")
    for name in ("attempt", "lease", "asker"):
        op.drop_column("pending_answers", name)
