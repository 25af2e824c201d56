"""The audit log and its chain."""

import sqlalchemy as sa
from alembic import op

revision = "0016_audit"
down_revision = "0015_quotas"
branch_labels = None
depends_on = None

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "audit",
        sa.Column("sequence", _BIG, nullable=False, autoincrement=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("tenant_id", sa.String(length=64)),
        sa.Column("actor", sa.String(length=16), nullable=False),
        sa.Column("key_id", sa.String(length=32)),
        sa.Column("user", sa.String(length=200)),
        sa.Column("request_id", sa.String(length=64)),
        sa.Column("action", sa.String(length=64), nullable=False),
        sa.Column("object", sa.String(length=200), nullable=False),
        sa.Column("result", sa.String(length=64), nullable=False),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.Column("previous_hash", sa.String(length=64), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("sequence", name="pk_audit"),
    )
    op.create_index("ix_audit_tenant_id_sequence", "audit", ["tenant_id", "sequence"])
    op.create_index("ix_audit_object_sequence", "audit", ["object", "sequence"])
    op.create_table(
        "audit_chain",
        sa.Column("id", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("sequence", _BIG, nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("trimmed_sequence", _BIG, nullable=False),
        sa.Column("trimmed_hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit_chain"),
    )


def downgrade() -> None:
    op.drop_table("audit_chain")
    op.drop_table("audit")
