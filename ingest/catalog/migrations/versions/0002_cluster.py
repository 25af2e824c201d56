"""A catalog for several processes, for replacing documents, and for receipts of deleting them.

Documents are numbered within their tenant, jobs have priorities, turns and pauses, and a version has a name and a type
of its own. What was deleted before has a receipt too, which counts nothing.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002_cluster"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _number_within_tenants()
    _describe_versions()
    _share_jobs()
    _keep_receipts()


def downgrade() -> None:
    op.drop_table("deletions")
    op.drop_table("pauses")
    op.drop_table("turns")
    op.drop_index("ix_jobs_document_id", table_name="jobs")
    op.drop_index("ix_jobs_claim", table_name="jobs")
    op.create_index("ix_jobs_state_kind_not_before_id", "jobs", ["state", "kind", "not_before", "id"])
    op.drop_column("jobs", "priority")
    op.drop_index("ix_versions_content_sha256_tenant_id", table_name="versions")
    op.create_index("ix_versions_tenant_id_state", "versions", ["tenant_id", "state"])
    for column in ("name", "title", "media_type", "chunks_reused"):
        op.drop_column("versions", column)
    op.drop_index("ix_documents_tenant_id_sequence", table_name="documents")
    with op.batch_alter_table("documents") as batch:
        batch.create_unique_constraint("uq_documents_sequence", ["sequence"])
    op.create_index("ix_documents_tenant_id_sequence", "documents", ["tenant_id", "sequence"])


def _number_within_tenants() -> None:
    op.drop_index("ix_documents_tenant_id_sequence", table_name="documents")
    with op.batch_alter_table("documents") as batch:
        batch.drop_constraint("uq_documents_sequence", type_="unique")
    op.create_index("ix_documents_tenant_id_sequence", "documents", ["tenant_id", "sequence"], unique=True)


def _describe_versions() -> None:
    op.add_column("versions", sa.Column("name", sa.Text()))
    op.add_column("versions", sa.Column("title", sa.Text()))
    op.add_column("versions", sa.Column("media_type", sa.String(length=128)))
    op.add_column("versions", sa.Column("chunks_reused", sa.Integer(), server_default="0", nullable=False))
    for column in ("name", "title", "media_type"):
        op.execute(
            f"UPDATE versions SET {column} = (SELECT {column} FROM documents WHERE documents.id = versions.document_id)"
        )
    # Nothing of these can be in the index; until now only their state said so.
    op.execute("UPDATE versions SET hidden = false WHERE state IN ('accepted', 'failed') AND chunks IS NULL")
    with op.batch_alter_table("versions") as batch:
        batch.alter_column("name", existing_type=sa.Text(), nullable=False)
        batch.alter_column("media_type", existing_type=sa.String(length=128), nullable=False)
        batch.alter_column("chunks_reused", existing_type=sa.Integer(), server_default=None)
    op.drop_index("ix_versions_tenant_id_state", table_name="versions")  # no query has used it
    op.create_index("ix_versions_content_sha256_tenant_id", "versions", ["content_sha256", "tenant_id"])


def _share_jobs() -> None:
    op.add_column("jobs", sa.Column("priority", sa.Integer(), server_default="0", nullable=False))
    with op.batch_alter_table("jobs") as batch:
        batch.alter_column("priority", existing_type=sa.Integer(), server_default=None)
    op.drop_index("ix_jobs_state_kind_not_before_id", table_name="jobs")
    op.create_index("ix_jobs_claim", "jobs", ["state", "kind", "tenant_id", sa.text("priority DESC"), "id"])
    op.create_index("ix_jobs_document_id", "jobs", ["document_id"])
    op.create_table(
        "turns",
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("tenant_id", sa.String(length=64), nullable=False),
        sa.Column("served_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "tenant_id", name="pk_turns"),
    )
    op.create_table(
        "pauses",
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("since", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("kind", name="pk_pauses"),
    )


def _keep_receipts() -> None:
    big = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "deletions",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("document_id", sa.String(length=36), nullable=False),
        sa.Column("tenant_id", sa.String(length=64), nullable=False),
        sa.Column("versions", sa.Integer(), nullable=False),
        sa.Column("chunks_removed", big, nullable=False),
        sa.Column("bytes_removed", big, nullable=False),
        sa.Column("deleted_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_deletions"),
        sa.UniqueConstraint("document_id", name="uq_deletions_document_id"),
    )
    op.execute(
        "INSERT INTO deletions (id, document_id, tenant_id, versions, chunks_removed, bytes_removed, deleted_at)"
        " SELECT documents.id, documents.id, documents.tenant_id, count(versions.id), 0, 0, documents.deleted_at"
        " FROM documents JOIN versions ON versions.document_id = documents.id"
        " WHERE documents.deleted_at IS NOT NULL GROUP BY documents.id, documents.tenant_id, documents.deleted_at"
    )
