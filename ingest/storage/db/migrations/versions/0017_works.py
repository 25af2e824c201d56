"""The versions that answers and runs were given, so that what was made of a version is redacted with it.

Kept replies of models go, since nothing says which documents they were made of. Answers and runs that were made of
documents deleted since are redacted when their collection runs again. Deleted tenants have a table.
"""

import json

import sqlalchemy as sa
from alembic import op

revision = "0017_works"
down_revision = "0016_audit"
branch_labels = None
depends_on = None

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_COUNTS = ("answers_redacted", "runs_redacted", "replies_removed")


def upgrade() -> None:
    op.create_table(
        "work_versions",
        sa.Column("work_id", sa.String(length=64), nullable=False),
        sa.Column("version_id", sa.String(length=36), nullable=False),
        sa.Column("redacted", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("work_id", "version_id", name="pk_work_versions"),
    )
    op.create_index("ix_work_versions_version_id_redacted", "work_versions", ["version_id", "redacted"])
    op.create_table(
        "gone_versions",
        sa.Column("version_id", sa.String(length=36), nullable=False),
        sa.PrimaryKeyConstraint("version_id", name="pk_gone_versions"),
    )
    op.create_table(
        "tenant_deletions",
        sa.Column("tenant_id", sa.String(length=64), nullable=False),
        sa.Column("deleted_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", name="pk_tenant_deletions"),
    )
    op.execute("DELETE FROM replies")
    op.add_column("replies", sa.Column("work_id", sa.String(length=64)))
    op.create_index("ix_replies_work_id", "replies", ["work_id"])
    for name in _COUNTS:
        op.add_column("deletions", sa.Column(name, _BIG, nullable=False, server_default="0"))
    op.execute(
        "INSERT INTO work_versions (work_id, version_id, redacted) SELECT run_id, version_id, false FROM run_documents"
    )
    _note_answers()
    op.execute("INSERT INTO gone_versions (version_id) SELECT id FROM versions WHERE state = 'deleted'")
    op.execute(
        "UPDATE jobs SET state = 'queued', not_before = 0 WHERE kind = 'collect' AND state = 'done' AND version_id IN "
        "(SELECT w.version_id FROM work_versions w JOIN gone_versions g ON g.version_id = w.version_id)"
    )


def _note_answers() -> None:
    """Record the versions that kept answers cite, or computed from; runs noted theirs."""
    connection = op.get_bind()
    found = connection.execute(sa.text("SELECT id, answer, rows_behind FROM answers")).all()
    noted = {(row[0], row[1]) for row in connection.execute(sa.text("SELECT work_id, version_id FROM work_versions"))}
    new = {(row[0], version) for row in found for version in _versions(row[1], row[2])} - noted
    if new:
        insert = sa.text("INSERT INTO work_versions (work_id, version_id, redacted) VALUES (:work, :version, false)")
        connection.execute(insert, [{"work": work, "version": version} for work, version in sorted(new)])


def _versions(answer: object, rows_behind: object) -> set[str]:
    body = json.loads(answer) if isinstance(answer, str) else answer
    behind = json.loads(rows_behind) if isinstance(rows_behind, str) else rows_behind
    assert isinstance(body, dict)
    assert isinstance(behind, list)
    return {each["version_id"] for each in body["citations"]} | {each[1] for each in behind}


def downgrade() -> None:
    for name in _COUNTS:
        op.drop_column("deletions", name)
    op.drop_index("ix_replies_work_id", "replies")
    op.drop_column("replies", "work_id")
    op.drop_table("tenant_deletions")
    op.drop_table("gone_versions")
    op.drop_table("work_versions")
