"""Slack: files that were shared with the bot, and usage by channel and day."""

import sqlalchemy as sa
from alembic import op

revision = "0040_slack_files"
down_revision = "0031_feedback_shares"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "slack_shares",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("tenant_id", sa.String(length=64), nullable=False),
        sa.Column("team_id", sa.String(length=32), nullable=False),
        sa.Column("channel", sa.String(length=32), nullable=False),
        sa.Column("thread_ts", sa.String(length=32), nullable=False),
        sa.Column("message_ts", sa.String(length=32), nullable=False),
        sa.Column("user_id", sa.String(length=32), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("reply_ts", sa.String(length=32)),
        sa.Column("posting_since", sa.Float()),
        sa.Column("shown", sa.String(length=64), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("lease_until", sa.Float()),
        sa.Column("not_before", sa.Float(), nullable=False),
        sa.Column("error_code", sa.String(length=64)),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("ended_at", sa.Float()),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="fk_slack_shares_tenant_id"),
        sa.PrimaryKeyConstraint("id", name="pk_slack_shares"),
        sa.UniqueConstraint("team_id", "channel", "message_ts", name="uq_slack_shares_team_id_channel_message_ts"),
    )
    op.create_index("ix_slack_shares_state_not_before", "slack_shares", ["state", "not_before"])
    op.create_index("ix_slack_shares_tenant_id", "slack_shares", ["tenant_id"])
    op.create_table(
        "slack_files",
        sa.Column("share_id", sa.String(length=36), nullable=False),
        sa.Column("file_id", sa.String(length=32), nullable=False),
        sa.Column("tenant_id", sa.String(length=64), nullable=False),
        sa.Column("team_id", sa.String(length=32), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("document_id", sa.String(length=36)),
        sa.Column("audience", sa.String(length=16), nullable=False),
        sa.Column("said", sa.JSON(), nullable=False),
        sa.Column("gone_at", sa.Float()),
        sa.ForeignKeyConstraint(["share_id"], ["slack_shares.id"], name="fk_slack_files_share_id"),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="fk_slack_files_tenant_id"),
        sa.PrimaryKeyConstraint("share_id", "file_id", name="pk_slack_files"),
    )
    op.create_index("ix_slack_files_team_id_file_id", "slack_files", ["team_id", "file_id"])
    op.create_index("ix_slack_files_document_id", "slack_files", ["document_id"])
    op.create_index("ix_slack_files_tenant_id", "slack_files", ["tenant_id"])
    op.create_table(
        "slack_days",
        sa.Column("tenant_id", sa.String(length=64), nullable=False),
        sa.Column("day", sa.String(length=10), nullable=False),
        sa.Column("channel", sa.String(length=32), nullable=False),
        sa.Column("questions", sa.BigInteger(), nullable=False),
        sa.Column("answers", sa.BigInteger(), nullable=False),
        sa.Column("files", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="fk_slack_days_tenant_id"),
        sa.PrimaryKeyConstraint("tenant_id", "day", "channel", name="pk_slack_days"),
    )


def downgrade() -> None:
    for table in ("slack_days", "slack_files", "slack_shares"):
        op.drop_table(table)
