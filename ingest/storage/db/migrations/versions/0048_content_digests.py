"""Digests of texts, their maps and positions, and record tables."""

import sqlalchemy as sa
from alembic import op

revision = "0048_content_digests"
down_revision = "0047_lanes"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "content_digests",
        sa.Column("version_id", sa.String(length=64), nullable=False),
        sa.Column("file", sa.String(length=64), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.Column("blocks", sa.LargeBinary(), nullable=False),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("version_id", "file", name="pk_content_digests"),
    )


def downgrade() -> None:
    op.drop_table("content_digests")
