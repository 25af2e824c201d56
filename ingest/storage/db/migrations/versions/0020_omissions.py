"""Versions know what of their file is not in their text."""

import sqlalchemy as sa
from alembic import op

revision = "0020_omissions"
down_revision = "0014_access_lists"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("versions", sa.Column("omissions", sa.Text()))


def downgrade() -> None:
    op.drop_column("versions", "omissions")
