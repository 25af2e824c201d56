"""The maker of each batch, to whom it belongs; null for batches made before, which are the whole tenant's."""

import sqlalchemy as sa
from alembic import op

revision = "0046_batch_owners"
down_revision = "0045_index_copies"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("batches", sa.Column("owner", sa.String(length=256)))


def downgrade() -> None:
    op.drop_column("batches", "owner")
