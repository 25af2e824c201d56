"""Sources that documents are synchronized from, their items, and their synchronizations."""

import sqlalchemy as sa
from alembic import op

revision = "0060_sources"
down_revision = "0059_provider_sessions"
branch_labels = None
depends_on = None

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "sources",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("tenant_id", sa.String(64), nullable=False),
        sa.Column("collection", sa.String(128), nullable=False),
        sa.Column("kind", sa.String(64), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("options", sa.JSON(), nullable=False),
        sa.Column("credentials_sealed", sa.Text()),
        sa.Column("credential_names", sa.JSON(), nullable=False),
        sa.Column("interval_seconds", sa.Float(), nullable=False),
        sa.Column("is_paused", sa.Boolean(), nullable=False),
        sa.Column("next_sync_at", sa.Float()),
        sa.Column("cursor", sa.Text(), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("created_by", sa.String(256), nullable=False),
        sa.Column("deleted_at", sa.Float()),
        sa.Column("removes_documents", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="fk_sources_tenant_id_tenants"),
        sa.PrimaryKeyConstraint("id", name="pk_sources"),
    )
    op.create_index("ix_sources_tenant_id_id", "sources", ["tenant_id", "id"])
    op.create_index("ix_sources_next_sync_at", "sources", ["next_sync_at"])
    _create_items()
    _create_syncs()


def _create_items() -> None:
    op.create_table(
        "source_items",
        sa.Column("source_id", sa.String(36), nullable=False),
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("tenant_id", sa.String(64), nullable=False),
        sa.Column("item_id", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("document_id", sa.String(36)),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("added_round", sa.Integer(), nullable=False),
        sa.Column("gone_round", sa.Integer()),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("modified_at", sa.Float()),
        sa.Column("size_bytes", _BIG),
        sa.Column("readers", sa.JSON()),
        sa.Column("error_code", sa.String(64)),
        sa.Column("error_detail", sa.Text()),
        sa.Column("error_hint", sa.Text()),
        sa.Column("is_retried", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["source_id"], ["sources.id"], name="fk_source_items_source_id_sources"),
        sa.PrimaryKeyConstraint("source_id", "key", name="pk_source_items"),
    )
    op.create_index("ix_source_items_document_id", "source_items", ["document_id"])
    op.create_index("ix_source_items_source_id_round", "source_items", ["source_id", "round"])
    op.create_index("ix_source_items_tenant_id", "source_items", ["tenant_id"])


def _create_syncs() -> None:
    op.create_table(
        "source_syncs",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("source_id", sa.String(36), nullable=False),
        sa.Column("tenant_id", sa.String(64), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("started_at", sa.Float()),
        sa.Column("ended_at", sa.Float()),
        *(
            sa.Column(name, _BIG, nullable=False)
            for name in ("listed", "added", "changed", "removed", "unchanged", "refused")
        ),
        sa.Column("is_listed", sa.Boolean(), nullable=False),
        sa.Column("lists_changes", sa.Boolean(), nullable=False),
        sa.Column("pending_removals", _BIG),
        sa.Column("approved_removals", _BIG, nullable=False),
        sa.Column("error_code", sa.String(64)),
        sa.Column("error_detail", sa.Text()),
        sa.Column("error_hint", sa.Text()),
        sa.ForeignKeyConstraint(["source_id"], ["sources.id"], name="fk_source_syncs_source_id_sources"),
        sa.PrimaryKeyConstraint("id", name="pk_source_syncs"),
    )
    op.create_index("ix_source_syncs_source_id_number", "source_syncs", ["source_id", "number"], unique=True)
    op.create_index("ix_source_syncs_tenant_id", "source_syncs", ["tenant_id"])


def downgrade() -> None:
    for name in ("source_syncs", "source_items", "sources"):
        op.drop_table(name)
