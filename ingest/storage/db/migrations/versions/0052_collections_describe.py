"""Collections whose documents a model describes, and the next attempt for each card."""

import sqlalchemy as sa
from alembic import op

revision = "0052_collections_describe"
down_revision = "0051_seen_versions"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("collections", sa.Column("describe", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("cards", sa.Column("describe_after", sa.Float()))
    op.add_column("cards", sa.Column("describe_failure", sa.String(length=64)))
    op.add_column("cards", sa.Column("describe_failures", sa.Integer(), nullable=False, server_default="0"))


def downgrade() -> None:
    for name in ("describe_failures", "describe_failure", "describe_after"):
        op.drop_column("cards", name)
    op.drop_column("collections", "describe")
