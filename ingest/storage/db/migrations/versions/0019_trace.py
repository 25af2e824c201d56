"""A job knows the trace in which it was queued."""

import sqlalchemy as sa
from alembic import op

revision = "0019_trace"
down_revision = "0018_copied_generations"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("jobs") as table:
        table.add_column(sa.Column("trace", sa.String(length=64)))


def downgrade() -> None:
    with op.batch_alter_table("jobs") as table:
        table.drop_column("trace")
