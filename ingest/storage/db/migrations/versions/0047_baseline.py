"""The oldest schema that is brought up to date; new catalogs are made from `schema.py` as it is now.

It has the revision of the last migration that was folded into it, so that a catalog of that schema opens as before.
"""

revision = "0047_lanes"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    pass


def downgrade() -> None:
    pass
