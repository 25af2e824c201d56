"""Tokens of sessions that an identity provider started, so that sessions end with access there."""

import sqlalchemy as sa
from alembic import op

revision = "0059_provider_sessions"
down_revision = "0058_people"
branch_labels = None
depends_on = None

_COLUMNS = (
    ("provider_subject", sa.String(64)),
    ("provider_session", sa.String(64)),
    ("tokens_sealed", sa.LargeBinary()),
    ("refreshed_at", sa.Float()),
    ("refresh_lease_until", sa.Float()),
    ("refresh_failing_since", sa.Float()),
)


def upgrade() -> None:
    for name, kind in _COLUMNS:
        op.add_column("sessions", sa.Column(name, kind))
    op.create_index("ix_sessions_provider_subject", "sessions", ["provider_subject"])
    op.create_table(
        "logout_tokens",
        sa.Column("id_sha256", sa.String(64), primary_key=True),
        sa.Column("expires_at", sa.Float(), nullable=False),
    )


def downgrade() -> None:
    op.drop_table("logout_tokens")
    op.drop_index("ix_sessions_provider_subject", "sessions")
    for name, _ in reversed(_COLUMNS):
        op.drop_column("sessions", name)
