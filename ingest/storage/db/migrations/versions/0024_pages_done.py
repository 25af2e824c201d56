"""Versions tell how many pages were parsed."""

import sqlalchemy as sa
from alembic import op

revision = "0024_pages_done"
down_revision = "0023_entries"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("versions", sa.Column("pages_done", sa.Integer()))


def downgrade() -> None:
    op.drop_column("versions", "pages_done")
