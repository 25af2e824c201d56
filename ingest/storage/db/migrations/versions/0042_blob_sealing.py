"""How far the files of the installation are sealed in the format that binds each to its name."""

import sqlalchemy as sa
from alembic import op

revision = "0042_blob_sealing"
down_revision = "0041_slack_pauses"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "blob_sealing",
        sa.Column("row", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("sealing", sa.String(length=16), nullable=False),
        sa.Column("since", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("row", name="pk_blob_sealing"),
    )


def downgrade() -> None:
    op.drop_table("blob_sealing")
