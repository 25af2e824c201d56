"""The fields of document cards: found in the file, made by a model, or set by people, with values for filters."""

import sqlalchemy as sa
from alembic import op

revision = "0050_card_fields"
down_revision = "0049_cards"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("source", "rules", "model"):
        op.add_column("cards", sa.Column(name, sa.JSON(none_as_null=True)))
    op.create_table(
        "card_edits",
        sa.Column("document_id", sa.String(length=36), nullable=False),
        sa.Column("tenant_id", sa.String(length=64), nullable=False),
        sa.Column("fields", sa.JSON(), nullable=False),
        sa.Column("edited_by", sa.String(length=256), nullable=False),
        sa.Column("edited_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("document_id", name="pk_card_edits"),
    )
    op.create_table(
        "card_values",
        sa.Column("document_id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("value_key", sa.String(length=64), nullable=False),
        sa.Column("tenant_id", sa.String(length=64), nullable=False),
        sa.Column("value", sa.Text().with_variant(sa.Text(collation="C"), "postgresql"), nullable=False),
        sa.Column("number", sa.Float()),
        sa.Column("instant", sa.Float()),
        sa.PrimaryKeyConstraint("document_id", "name", "value_key", name="pk_card_values"),
    )
    for name in ("value_key", "number", "instant"):
        columns = ["tenant_id", "name", name, "document_id"]
        op.create_index(f"ix_card_values_tenant_id_name_{name}", "card_values", columns)


def downgrade() -> None:
    op.drop_table("card_values")
    op.drop_table("card_edits")
    for name in ("source", "rules", "model"):
        op.drop_column("cards", name)
