"""Since when a job waits for something that is away: how long it waited altogether, and how long it pauses next."""

import sqlalchemy as sa
from alembic import op

revision = "0009_away_since"
down_revision = "0008_every_record"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("away_since", sa.Float()))


def downgrade() -> None:
    op.drop_column("jobs", "away_since")
