"""Jobs wait in lanes: quick ones (no lane), large ones and slow ones."""

import sqlalchemy as sa
from alembic import op

revision = "0047_lanes"
down_revision = "0046_batch_owners"
branch_labels = None
depends_on = None

_IN_A_LANE = sa.text("lane IS NOT NULL")


def upgrade() -> None:
    op.add_column("jobs", sa.Column("lane", sa.String(length=8)))
    op.add_column("jobs", sa.Column("slow_since", sa.Float()))
    # No job has a lane yet, so the index is empty and building it reads the table once.
    op.create_index(
        "ix_jobs_lane",
        "jobs",
        ["state", "kind", "lane", "tenant_id", sa.text("priority DESC"), "id"],
        sqlite_where=_IN_A_LANE,
        postgresql_where=_IN_A_LANE,
    )


def downgrade() -> None:
    op.drop_index("ix_jobs_lane", "jobs")
    with op.batch_alter_table("jobs") as table:
        table.drop_column("slow_since")
        table.drop_column("lane")
