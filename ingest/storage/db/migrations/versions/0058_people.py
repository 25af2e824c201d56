"""People: the names, mail addresses and groups of those who signed in with an identity provider."""

import sqlalchemy as sa
from alembic import op

revision = "0058_people"
down_revision = "0057_failure_remarks"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "people",
        sa.Column("tenant_id", sa.String(length=64), nullable=False),
        sa.Column("user", sa.String(length=200), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("name_key", sa.String(length=400), nullable=False),
        sa.Column("mail", sa.String(length=254)),
        sa.Column("mail_key", sa.String(length=254)),
        sa.Column("mail_verified", sa.Boolean(), nullable=False),
        sa.Column("groups", sa.JSON(), nullable=False),
        sa.Column("groups_until", sa.Float(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("signed_in_at", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="fk_people_tenant_id_tenants"),
        sa.PrimaryKeyConstraint("tenant_id", "user", name="pk_people"),
    )
    op.create_index("ix_people_tenant_id_name_key", "people", ["tenant_id", "name_key"])
    op.create_index("ix_people_tenant_id_mail_key", "people", ["tenant_id", "mail_key"])


def downgrade() -> None:
    op.drop_table("people")
