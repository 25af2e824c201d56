"""Listings of documents go by narrow rows of their own, with what names are searched and ordered by."""

import sqlalchemy as sa
from alembic import op

from ingest.storage.documents.listing import folded, sort_key

revision = "0035_document_listing"
down_revision = "0036_slack"
branch_labels = None
depends_on = None

_AT_ONCE = 1_000
_FOUND = sa.text(
    """
    SELECT d.tenant_id, d.sequence, d.id AS document_id, v.id AS version_id, d.collection, d.media_type, v.state,
           v.size_bytes, d.readers IS NOT NULL AS has_readers, v.omissions IS NOT NULL AS has_omissions,
           d.name, d.title
    FROM documents AS d JOIN versions AS v ON v.id = d.latest_version_id AND v.document_id = d.id
    WHERE d.deleted_at IS NULL AND (d.tenant_id > :tenant OR d.tenant_id = :tenant AND d.sequence > :sequence)
    ORDER BY d.tenant_id, d.sequence LIMIT :most
    """
)


def upgrade() -> None:
    postgres = op.get_bind().dialect.name == "postgresql"
    listing = op.create_table(
        "document_listing",
        sa.Column("tenant_id", sa.String(length=64), nullable=False),
        sa.Column("sequence", sa.BigInteger() if postgres else sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("document_id", sa.String(length=36), nullable=False),
        sa.Column("version_id", sa.String(length=36), nullable=False),
        sa.Column("collection", sa.String(length=128), nullable=False),
        sa.Column("media_type", sa.String(length=128), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("size_bytes", sa.BigInteger() if postgres else sa.Integer(), nullable=False),
        sa.Column("has_readers", sa.Boolean(), nullable=False),
        sa.Column("has_omissions", sa.Boolean(), nullable=False),
        sa.Column("sort_key", sa.Text(collation="C") if postgres else sa.Text(), nullable=False),
        sa.Column("searched", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="fk_document_listing_tenant_id"),
        sa.PrimaryKeyConstraint("tenant_id", "sequence", name="pk_document_listing"),
        sqlite_with_rowid=False,
    )
    _fill(op.get_bind(), listing)


def _fill(connection: sa.Connection, listing: sa.Table) -> None:
    place = {"tenant": "", "sequence": 0}
    while rows := connection.execute(_FOUND, {**place, "most": _AT_ONCE}).mappings().all():
        connection.execute(
            sa.insert(listing),
            [
                {
                    **{name: value for name, value in row.items() if name not in ("name", "title")},
                    "has_readers": bool(row["has_readers"]),
                    "has_omissions": bool(row["has_omissions"]),
                    "sort_key": sort_key(row["title"] or row["name"]),
                    "searched": f"{folded(row['name'])}\n{folded(row['title'] or '')}",
                }
                for row in rows
            ],
        )
        place = {"tenant": rows[-1]["tenant_id"], "sequence": rows[-1]["sequence"]}


def downgrade() -> None:
    op.drop_table("document_listing")
