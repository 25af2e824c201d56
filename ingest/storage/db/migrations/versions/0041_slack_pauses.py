"""Slack: when a question was taken after its run had waited for somebody."""

import sqlalchemy as sa
from alembic import op

revision = "0041_slack_pauses"
down_revision = "0040_slack_files"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("slack_questions", sa.Column("resumed_at", sa.Float()))


def downgrade() -> None:
    with op.batch_alter_table("slack_questions") as table:
        table.drop_column("resumed_at")
