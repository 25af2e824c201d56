"""Names of documents that answers have only seen, so that deleting such a document masks them."""

import sqlalchemy as sa
from alembic import op

revision = "0051_seen_versions"
down_revision = "0050_card_fields"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("work_versions", sa.Column("seen", sa.JSON(), nullable=True))


def downgrade() -> None:
    op.drop_column("work_versions", "seen")
