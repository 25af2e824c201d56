"""The oldest schema that is brought up to date; new catalogs are made from `tables.py` as they are now."""

revision = "0010_asked"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    pass


def downgrade() -> None:
    pass
