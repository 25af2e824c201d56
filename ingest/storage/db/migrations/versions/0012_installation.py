"""The installation's id, versions in the index that no row explains, and notices to people."""

import sqlalchemy as sa
from alembic import op

revision = "0012_installation"
down_revision = "0017_works"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "installation",
        sa.Column("row", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("row", name="pk_installation"),
    )
    op.create_table(
        "unknown_versions",
        sa.Column("version_id", sa.String(length=64), nullable=False),
        sa.Column("since", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("version_id", name="pk_unknown_versions"),
    )
    op.create_table(
        "notices",
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("since", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_notices"),
    )


def downgrade() -> None:
    op.drop_table("notices")
    op.drop_table("unknown_versions")
    op.drop_table("installation")
