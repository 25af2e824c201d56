"""The names of deleted documents, until the content that was derived from them has been redacted."""

import sqlalchemy as sa
from alembic import op

revision = "0053_gone_names"
down_revision = "0052_collections_describe"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("gone_versions", sa.Column("names", sa.JSON()))


def downgrade() -> None:
    op.drop_column("gone_versions", "names")
