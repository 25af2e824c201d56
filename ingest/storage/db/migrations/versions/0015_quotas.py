"""Quotas: limits, reservations, usage by day, and counters of what is stored, counted here for the first time."""

import sqlalchemy as sa
from alembic import op

revision = "0015_quotas"
down_revision = "0019_trace"
branch_labels = None
depends_on = None

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_SPENT = ("calls", "prompt_tokens", "completion_tokens", "nanodollars")


def upgrade() -> None:
    op.create_table(
        "quota_limits",
        _tenant("quota_limits"),
        sa.Column("key_id", sa.String(length=32), nullable=False),
        sa.Column("quota", sa.String(length=32), nullable=False),
        sa.Column("amount", _BIG),
        sa.PrimaryKeyConstraint("tenant_id", "key_id", "quota", name="pk_quota_limits"),
    )
    op.create_table(
        "reservations",
        sa.Column("id", sa.String(length=36), nullable=False),
        _tenant("reservations"),
        sa.Column("key_id", sa.String(length=32), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("tokens", _BIG, nullable=False),
        sa.Column("nanodollars", _BIG, nullable=False),
        *(sa.Column(f"spent_{name}", _BIG, nullable=False) for name in _SPENT),
        sa.Column("expires_at", sa.Float()),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_reservations"),
    )
    op.create_index("ix_reservations_tenant_id", "reservations", ["tenant_id"])
    op.create_table(
        "usage_days",
        _tenant("usage_days"),
        sa.Column("day", sa.String(length=10), nullable=False),
        sa.Column("key_id", sa.String(length=32), nullable=False),
        *(sa.Column(name, _BIG, nullable=False) for name in ("answers", "runs", *_SPENT, "documents", "bytes")),
        sa.PrimaryKeyConstraint("tenant_id", "day", "key_id", name="pk_usage_days"),
    )
    op.create_table(
        "stored_content",
        _tenant("stored_content"),
        sa.Column("key_id", sa.String(length=32), nullable=False),
        sa.Column("documents", _BIG, nullable=False),
        sa.Column("bytes", _BIG, nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "key_id", name="pk_stored_content"),
    )
    for table in ("documents", "versions", "runs"):
        op.add_column(table, sa.Column("key_id", sa.String(length=32), nullable=False, server_default=""))
    op.add_column("runs", sa.Column("nanodollars", _BIG, nullable=False, server_default="0"))
    op.execute(
        "INSERT INTO stored_content (tenant_id, key_id, documents, bytes) "
        "SELECT tenants.id, '', "
        "(SELECT count(*) FROM documents WHERE documents.tenant_id = tenants.id AND deleted_at IS NULL), "
        "(SELECT coalesce(sum(size_bytes), 0) FROM versions "
        "WHERE versions.tenant_id = tenants.id AND state NOT IN ('cancelled', 'retired', 'deleted')) FROM tenants"
    )


def downgrade() -> None:
    op.drop_column("runs", "nanodollars")
    for table in ("runs", "versions", "documents"):
        op.drop_column(table, "key_id")
    for table in ("stored_content", "usage_days", "reservations", "quota_limits"):
        op.drop_table(table)


def _tenant(table: str) -> sa.Column[str]:
    return sa.Column(
        "tenant_id", sa.String(length=64), sa.ForeignKey("tenants.id", name=f"fk_{table}_tenant_id"), nullable=False
    )
