"""A number for each tenant that grows with what its searches may find: what was found is kept under it."""

import sqlalchemy as sa
from alembic import op

revision = "0007_corpus_versions"
down_revision = "0006_generations"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "corpus_versions",
        sa.Column("tenant_id", sa.String(length=64), nullable=False),
        sa.Column("version", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", name="pk_corpus_versions"),
    )


def downgrade() -> None:
    op.drop_table("corpus_versions")
