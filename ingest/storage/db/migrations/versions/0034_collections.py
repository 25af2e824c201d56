"""Collections have rows of their own with settings; files may be kept without a collection."""

import sqlalchemy as sa
from alembic import op

revision = "0034_collections"
down_revision = "0035_document_listing"
branch_labels = None
depends_on = None

_BIG = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "collections",
        sa.Column("tenant_id", sa.String(64), nullable=False),
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("title", sa.Text()),
        sa.Column("description", sa.Text()),
        sa.Column("default_strategy", sa.String(32)),
        sa.Column("metadata", sa.JSON(), nullable=False, server_default="{}"),
        sa.Column("revision", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="fk_collections_tenant_id"),
        sa.PrimaryKeyConstraint("tenant_id", "name", name="pk_collections"),
    )
    _enter_those_in_use()
    op.create_table(
        "files",
        sa.Column("id", sa.String(40), nullable=False),
        sa.Column("tenant_id", sa.String(64), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("purpose", sa.String(32), nullable=False),
        sa.Column("media_type", sa.String(128), nullable=False),
        sa.Column("content_sha256", sa.String(64), nullable=False),
        sa.Column("size_bytes", _BIG, nullable=False),
        sa.Column("blob_key", sa.String(160), nullable=False),
        sa.Column("key_id", sa.String(32), nullable=False, server_default=""),
        sa.Column("owner", sa.String(256), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("deleted_at", sa.Float()),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="fk_files_tenant_id"),
        sa.PrimaryKeyConstraint("id", name="pk_files"),
    )
    op.create_index("ix_files_tenant_id_created_at", "files", ["tenant_id", "created_at"])
    op.create_table(
        "collection_deletions",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("tenant_id", sa.String(64), nullable=False),
        sa.Column("collection", sa.String(128), nullable=False),
        sa.Column("owner", sa.String(256), nullable=False),
        sa.Column("deleted_at", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="fk_collection_deletions_tenant_id"),
        sa.PrimaryKeyConstraint("id", name="pk_collection_deletions"),
    )
    op.create_index("ix_collection_deletions_tenant_id_collection", "collection_deletions", ["tenant_id", "collection"])
    op.add_column("documents", sa.Column("file_id", sa.String(40)))
    op.create_index("ix_documents_file_id", "documents", ["file_id"])
    op.add_column("batches", sa.Column("collection", sa.String(128)))
    op.add_column("deletions", sa.Column("collection_deletion_id", sa.String(36)))
    op.create_index("ix_deletions_collection_deletion_id", "deletions", ["collection_deletion_id"])


def downgrade() -> None:
    op.drop_index("ix_deletions_collection_deletion_id", "deletions")
    op.drop_column("deletions", "collection_deletion_id")
    op.drop_column("batches", "collection")
    op.drop_index("ix_documents_file_id", "documents")
    op.drop_column("documents", "file_id")
    op.drop_table("collection_deletions")
    op.drop_table("files")
    op.drop_table("collections")


def _enter_those_in_use() -> None:
    """Enter the collections that have live documents or grants, each with the time of the oldest."""
    op.execute(
        sa.text(
            "INSERT INTO collections (tenant_id, name, created_at) "
            "SELECT tenant_id, collection, MIN(created_at) FROM ("
            "SELECT tenant_id, collection, created_at FROM documents WHERE deleted_at IS NULL "
            "UNION ALL SELECT tenant_id, collection, created_at FROM collection_grants"
            ") AS used GROUP BY tenant_id, collection"
        )
    )
