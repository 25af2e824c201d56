"""What a run was asked for, as a digest: the same idempotency key with anything else is refused."""

import sqlalchemy as sa
from alembic import op

revision = "0010_asked"
down_revision = "0009_away_since"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("runs", sa.Column("asked_sha256", sa.String(length=64)))


def downgrade() -> None:
    op.drop_column("runs", "asked_sha256")
