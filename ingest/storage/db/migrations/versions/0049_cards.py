"""Document cards: the words on the first page of each version, weighted for search."""

import sqlalchemy as sa
from alembic import op

revision = "0049_cards"
down_revision = "0048_content_digests"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "cards",
        sa.Column("version_id", sa.String(length=64), nullable=False),
        sa.Column("tenant_id", sa.String(length=64), nullable=False),
        sa.Column("maker", sa.String(length=128), nullable=False),
        sa.Column("language", sa.String(length=32), nullable=False),
        sa.Column("terms", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("version_id", name="pk_cards"),
    )


def downgrade() -> None:
    op.drop_table("cards")
