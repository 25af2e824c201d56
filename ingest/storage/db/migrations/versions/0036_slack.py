"""Slack: workspaces, channels, threads, events that were seen, and questions."""

import sqlalchemy as sa
from alembic import op

revision = "0036_slack"
down_revision = "0033_webhooks"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "slack_workspaces",
        sa.Column("team_id", sa.String(length=32), nullable=False),
        sa.Column("tenant_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("bot_user_id", sa.String(length=32), nullable=False),
        sa.Column("token_sealed", sa.Text(), nullable=False),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("installed_by", sa.String(length=32), nullable=False),
        sa.Column("installed_at", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="fk_slack_workspaces_tenant_id"),
        sa.PrimaryKeyConstraint("team_id", name="pk_slack_workspaces"),
    )
    op.create_table(
        "slack_channels",
        sa.Column("team_id", sa.String(length=32), nullable=False),
        sa.Column("channel", sa.String(length=32), nullable=False),
        sa.Column("tenant_id", sa.String(length=64), nullable=False),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.Column("changed_by", sa.String(length=32), nullable=False),
        sa.Column("changed_at", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="fk_slack_channels_tenant_id"),
        sa.PrimaryKeyConstraint("team_id", "channel", name="pk_slack_channels"),
    )
    op.create_table(
        "slack_threads",
        sa.Column("team_id", sa.String(length=32), nullable=False),
        sa.Column("channel", sa.String(length=32), nullable=False),
        sa.Column("thread_ts", sa.String(length=32), nullable=False),
        sa.Column("tenant_id", sa.String(length=64), nullable=False),
        sa.Column("conversation_id", sa.String(length=36)),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="fk_slack_threads_tenant_id"),
        sa.PrimaryKeyConstraint("team_id", "channel", "thread_ts", name="pk_slack_threads"),
    )
    op.create_index("ix_slack_threads_tenant_id", "slack_threads", ["tenant_id"])
    op.create_table(
        "slack_seen",
        sa.Column("team_id", sa.String(length=32), nullable=False),
        sa.Column("key", sa.String(length=120), nullable=False),
        sa.Column("tenant_id", sa.String(length=64), nullable=False),
        sa.Column("seen_at", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="fk_slack_seen_tenant_id"),
        sa.PrimaryKeyConstraint("team_id", "key", name="pk_slack_seen"),
    )
    op.create_index("ix_slack_seen_seen_at", "slack_seen", ["seen_at"])
    op.create_index("ix_slack_seen_tenant_id", "slack_seen", ["tenant_id"])
    op.create_table(
        "slack_questions",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("tenant_id", sa.String(length=64), nullable=False),
        sa.Column("team_id", sa.String(length=32), nullable=False),
        sa.Column("channel", sa.String(length=32), nullable=False),
        sa.Column("thread_ts", sa.String(length=32), nullable=False),
        sa.Column("message_ts", sa.String(length=32), nullable=False),
        sa.Column("user_id", sa.String(length=32), nullable=False),
        sa.Column("surface", sa.String(length=16), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("confirmed", sa.Boolean(), nullable=False),
        sa.Column("stopped", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("run_id", sa.String(length=36)),
        sa.Column("messages", sa.JSON(), nullable=False),
        sa.Column("posting_since", sa.Float()),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("lease_until", sa.Float()),
        sa.Column("not_before", sa.Float(), nullable=False),
        sa.Column("error_code", sa.String(length=64)),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("ended_at", sa.Float()),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="fk_slack_questions_tenant_id"),
        sa.PrimaryKeyConstraint("id", name="pk_slack_questions"),
    )
    op.create_index("ix_slack_questions_state_not_before", "slack_questions", ["state", "not_before"])
    op.create_index(
        "ix_slack_questions_team_id_channel_thread_ts", "slack_questions", ["team_id", "channel", "thread_ts"]
    )
    op.create_index("ix_slack_questions_tenant_id", "slack_questions", ["tenant_id"])


def downgrade() -> None:
    for table in ("slack_questions", "slack_seen", "slack_threads", "slack_channels", "slack_workspaces"):
        op.drop_table(table)
