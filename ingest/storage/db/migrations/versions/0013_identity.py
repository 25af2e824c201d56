"""Tenants have names, keys have scopes, an expiry and a successor; users with groups; grants on collections.

A key of an earlier release may do everything within its tenant, as before.
"""

import sqlalchemy as sa
from alembic import op

revision = "0013_identity"
down_revision = "0011_conversations"
branch_labels = None
depends_on = None
contract = "Made before releases were upgraded while they ran: tenants need names, and keys need scopes."

_EVERYTHING = '["read", "write", "ask", "admin"]'


def upgrade() -> None:
    with op.batch_alter_table("tenants") as table:
        table.add_column(sa.Column("name", sa.String(length=200)))
        table.add_column(sa.Column("suspended_at", sa.Float()))
    op.execute("UPDATE tenants SET name = id")
    with op.batch_alter_table("tenants") as table:
        table.alter_column("name", existing_type=sa.String(length=200), nullable=False)
        table.create_unique_constraint("uq_tenants_name", ["name"])
    op.create_table(
        "users",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("tenant_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("groups", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("deleted_at", sa.Float()),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="fk_users_tenant_id"),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
    )
    live = sa.text("deleted_at IS NULL")
    op.create_index(
        "uq_users_name", "users", ["tenant_id", "name"], unique=True, sqlite_where=live, postgresql_where=live
    )
    with op.batch_alter_table("api_keys") as table:
        table.add_column(sa.Column("scopes", sa.JSON(), nullable=False, server_default=_EVERYTHING))
        table.add_column(sa.Column("user_id", sa.String(length=32)))
        table.add_column(sa.Column("expires_at", sa.Float()))
        table.add_column(sa.Column("last_used_at", sa.Float()))
        table.add_column(sa.Column("successor_id", sa.String(length=32)))
        table.create_foreign_key("fk_api_keys_user_id", "users", ["user_id"], ["id"])
    with op.batch_alter_table("api_keys") as table:
        table.alter_column("scopes", existing_type=sa.JSON(), server_default=None)
    op.create_index("ix_api_keys_tenant_id_created_at", "api_keys", ["tenant_id", "created_at"])
    op.create_index("ix_api_keys_user_id", "api_keys", ["user_id"])
    op.create_table(
        "collection_grants",
        sa.Column("tenant_id", sa.String(length=64), nullable=False),
        sa.Column("collection", sa.String(length=128), nullable=False),
        sa.Column("subject", sa.String(length=210), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="fk_collection_grants_tenant_id"),
        sa.PrimaryKeyConstraint("tenant_id", "collection", "subject", name="pk_collection_grants"),
    )


def downgrade() -> None:
    op.drop_table("collection_grants")
    op.drop_index("ix_api_keys_user_id", "api_keys")
    op.drop_index("ix_api_keys_tenant_id_created_at", "api_keys")
    with op.batch_alter_table("api_keys") as table:
        table.drop_constraint("fk_api_keys_user_id", type_="foreignkey")
        for name in ("scopes", "user_id", "expires_at", "last_used_at", "successor_id"):
            table.drop_column(name)
    op.drop_table("users")
    with op.batch_alter_table("tenants") as table:
        table.drop_constraint("uq_tenants_name", type_="unique")
        table.drop_column("suspended_at")
        table.drop_column("name")
