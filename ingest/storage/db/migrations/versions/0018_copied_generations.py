"""A generation of the index may be built by copying the vectors of another one."""

import sqlalchemy as sa
from alembic import op

revision = "0018_copied_generations"
down_revision = "0013_identity"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("generations", sa.Column("copies", sa.Integer()))


def downgrade() -> None:
    op.drop_column("generations", "copies")
