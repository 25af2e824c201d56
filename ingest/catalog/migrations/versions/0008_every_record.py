"""Whether a run's model has to read every record, where else a classifier labels what it is sure of."""

import sqlalchemy as sa
from alembic import op

revision = "0008_every_record"
down_revision = "0007_corpus_versions"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("runs", sa.Column("every_record", sa.Boolean(), nullable=False, server_default=sa.false()))


def downgrade() -> None:
    op.drop_column("runs", "every_record")
