"""Documents have an access list, a revision and, if given, a title; their metadata is indexed for filters.

Conversations, answers and runs know who asked; earlier ones stay open to their tenant.
"""

import sqlalchemy as sa
from alembic import op

from ingest.storage.documents.filters import attribute_values

revision = "0014_access_lists"
down_revision = "0012_installation"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("documents", sa.Column("readers", sa.JSON()))
    op.add_column("documents", sa.Column("is_titled", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("documents", sa.Column("revision", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("documents", sa.Column("index_revision", sa.Integer(), nullable=False, server_default="0"))
    closed = sa.text("readers IS NOT NULL")
    op.create_index("ix_documents_closed", "documents", ["tenant_id"], sqlite_where=closed, postgresql_where=closed)
    behind = sa.text("index_revision < revision")
    op.create_index("ix_documents_unsettled", "documents", ["id"], sqlite_where=behind, postgresql_where=behind)
    op.create_table(
        "document_readers",
        sa.Column("document_id", sa.String(length=36), nullable=False),
        sa.Column("subject", sa.String(length=256), nullable=False),
        sa.ForeignKeyConstraint(["document_id"], ["documents.id"], name="fk_document_readers_document_id"),
        sa.PrimaryKeyConstraint("document_id", "subject", name="pk_document_readers"),
    )
    attributes = op.create_table(
        "document_attributes",
        sa.Column("document_id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("value_key", sa.String(length=64), nullable=False),
        sa.Column("tenant_id", sa.String(length=64), nullable=False),
        sa.Column("number", sa.Float()),
        sa.Column("instant", sa.Float()),
        sa.ForeignKeyConstraint(["document_id"], ["documents.id"], name="fk_document_attributes_document_id"),
        sa.PrimaryKeyConstraint("document_id", "name", "value_key", name="pk_document_attributes"),
    )
    for column in ("value_key", "number", "instant"):
        op.create_index(
            f"ix_document_attributes_tenant_id_name_{column}",
            "document_attributes",
            ["tenant_id", "name", column, "document_id"],
        )
    _index_metadata(attributes)
    for table in ("runs", "answers", "conversations"):
        op.add_column(table, sa.Column("owner", sa.String(length=256)))
    op.add_column("runs", sa.Column("readers", sa.JSON()))
    op.add_column("runs", sa.Column("filters", sa.JSON(), nullable=False, server_default="{}"))


def downgrade() -> None:
    for column in ("filters", "readers"):
        op.drop_column("runs", column)
    for table in ("conversations", "answers", "runs"):
        op.drop_column(table, "owner")
    op.drop_table("document_attributes")
    op.drop_table("document_readers")
    op.drop_index("ix_documents_unsettled", "documents")
    op.drop_index("ix_documents_closed", "documents")
    for column in ("index_revision", "revision", "is_titled", "readers"):
        op.drop_column("documents", column)


def _index_metadata(attributes: sa.Table) -> None:
    documents = sa.table(
        "documents",
        sa.column("id"),
        sa.column("tenant_id"),
        sa.column("attributes", sa.JSON()),
        sa.column("deleted_at"),
    )
    connection = op.get_bind()
    query = sa.select(documents.c.id, documents.c.tenant_id, documents.c.attributes)
    for row in connection.execute(query.where(documents.c.deleted_at.is_(None))).all():
        rows = [
            {
                "document_id": row.id,
                "name": value.name,
                "value_key": value.key,
                "tenant_id": row.tenant_id,
                "number": value.number,
                "instant": value.instant,
            }
            for value in attribute_values(row.attributes or {})
        ]
        if rows:
            op.bulk_insert(attributes, rows)
