"""Codes of the reasons why documents failed, so that pages say them in other languages."""

import sqlalchemy as sa
from alembic import op

revision = "0057_failure_remarks"
down_revision = "0056_items_and_expiry"
branch_labels = None
depends_on = None

_TABLES = ("versions", "batch_entries")


def upgrade() -> None:
    for table in _TABLES:
        op.add_column(table, sa.Column("error_remarks", sa.JSON(none_as_null=True)))


def downgrade() -> None:
    for table in _TABLES:
        op.drop_column(table, "error_remarks")
