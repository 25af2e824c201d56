"""A catalog for several processes: documents are numbered within their tenant."""

from alembic import op

revision = "0002_cluster"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_index("ix_documents_tenant_id_sequence", table_name="documents")
    with op.batch_alter_table("documents") as batch:
        batch.drop_constraint("uq_documents_sequence", type_="unique")
    op.create_index("ix_documents_tenant_id_sequence", "documents", ["tenant_id", "sequence"], unique=True)


def downgrade() -> None:
    op.drop_index("ix_documents_tenant_id_sequence", table_name="documents")
    with op.batch_alter_table("documents") as batch:
        batch.create_unique_constraint("uq_documents_sequence", ["sequence"])
    op.create_index("ix_documents_tenant_id_sequence", "documents", ["tenant_id", "sequence"], unique=False)
