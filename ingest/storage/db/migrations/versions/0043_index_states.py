"""The result of the last check of each generation's index against the catalog."""

import sqlalchemy as sa
from alembic import op

revision = "0043_index_states"
down_revision = "0042_blob_sealing"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "index_states",
        sa.Column("generation_id", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("marked_at", sa.Float()),
        sa.Column("checked_at", sa.Float(), nullable=False),
        sa.Column("versions", sa.Integer(), nullable=False),
        sa.Column("missing", sa.Integer(), nullable=False),
        sa.Column("requeued", sa.Integer(), nullable=False),
        sa.Column("lost", sa.Text()),
    )


def downgrade() -> None:
    op.drop_table("index_states")
