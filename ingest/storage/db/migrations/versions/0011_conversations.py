"""Conversations and kept answers; runs know what was said before their question, and go by today's strategies.

An answer of an earlier release has another form, which nothing reads any more: its run stays, with its log, and the
answer goes.
"""

import sqlalchemy as sa
from alembic import op

revision = "0011_conversations"
down_revision = "0010_asked"
branch_labels = None
depends_on = None
contract = "Made before releases were upgraded while they ran: the table `facts` goes with the answers of old form."

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "conversations",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("sequence", _BIG, nullable=False),
        sa.Column("tenant_id", sa.String(length=64), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("turns", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("updated_at", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="fk_conversations_tenant_id"),
        sa.PrimaryKeyConstraint("id", name="pk_conversations"),
    )
    op.create_index("ix_conversations_tenant_id_sequence", "conversations", ["tenant_id", "sequence"], unique=True)
    op.create_index("ix_conversations_updated_at", "conversations", ["updated_at"])
    op.create_table(
        "answers",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("tenant_id", sa.String(length=64), nullable=False),
        sa.Column("conversation_id", sa.String(length=36)),
        sa.Column("turn", sa.Integer()),
        sa.Column("question", sa.Text(), nullable=False),
        sa.Column("answer", sa.JSON(), nullable=False),
        sa.Column("rows_behind", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="fk_answers_tenant_id"),
        sa.ForeignKeyConstraint(["conversation_id"], ["conversations.id"], name="fk_answers_conversation_id"),
        sa.PrimaryKeyConstraint("id", name="pk_answers"),
    )
    op.create_index("ix_answers_conversation_id_turn", "answers", ["conversation_id", "turn"], unique=True)
    op.create_index("ix_answers_created_at", "answers", ["created_at"])
    op.add_column("runs", sa.Column("history", sa.JSON(), nullable=False, server_default="[]"))
    op.add_column("runs", sa.Column("conversation_id", sa.String(length=36)))
    op.drop_table("facts")
    op.execute("UPDATE runs SET answer = NULL")
    op.execute("UPDATE runs SET strategy = 'table' WHERE strategy = 'exhaustive'")
    op.execute("UPDATE runs SET strategy = 'direct' WHERE strategy = 'chain'")


def downgrade() -> None:
    op.create_table(
        "facts",
        sa.Column("name", sa.String(length=64), primary_key=True),
        sa.Column("value", sa.Text(), nullable=False),
    )
    op.drop_column("runs", "conversation_id")
    op.drop_column("runs", "history")
    op.drop_table("answers")
    op.drop_table("conversations")
