"""The oldest schema that can be upgraded. New catalogs are created from `schema.py` in its current form.

It has the revision of the last migration that was folded into it, so that catalogs with that schema open as before.
"""

revision = "0047_lanes"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    pass


def downgrade() -> None:
    pass
