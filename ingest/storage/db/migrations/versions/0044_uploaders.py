"""The uploader of each document, who may change its readers; empty for documents uploaded before."""

import sqlalchemy as sa
from alembic import op

revision = "0044_uploaders"
down_revision = "0043_index_states"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("documents", sa.Column("uploaded_by", sa.String(length=256), nullable=False, server_default=""))


def downgrade() -> None:
    op.drop_column("documents", "uploaded_by")
