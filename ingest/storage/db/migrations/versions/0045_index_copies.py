"""The copies of each generation's index on the nodes of a vector server, as upkeep last saw them."""

import sqlalchemy as sa
from alembic import op

revision = "0045_index_copies"
down_revision = "0044_uploaders"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "index_copies",
        sa.Column("generation_id", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("checked_at", sa.Float(), nullable=False),
        sa.Column("shards", sa.Integer(), nullable=False),
        sa.Column("short", sa.Integer(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("away", sa.JSON(), nullable=False),
    )


def downgrade() -> None:
    op.drop_table("index_copies")
