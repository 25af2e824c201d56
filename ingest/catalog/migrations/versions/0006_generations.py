"""Generations of the vector index: the one there is becomes the first, with the encoder that a fact remembered."""

import time

import sqlalchemy as sa
from alembic import op

revision = "0006_generations"
down_revision = "0005_runs"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "generations",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("encoder", sa.Text(), nullable=False),
        sa.Column("sparse", sa.Text(), nullable=False),
        sa.Column("dimension", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("activated_at", sa.Float()),
        sa.PrimaryKeyConstraint("id", name="pk_generations"),
    )
    for state in ("active", "building", "previous"):
        only = sa.text(f"state = '{state}'")
        op.create_index(
            f"uq_generations_{state}", "generations", ["state"], unique=True, sqlite_where=only, postgresql_where=only
        )
    _record_the_first()


def downgrade() -> None:
    op.execute("DELETE FROM jobs WHERE kind = 'reembed'")
    op.execute(
        "INSERT INTO facts (name, value) SELECT 'encoder', encoder || ' ' || sparse FROM generations"
        " WHERE state = 'active'"
    )
    op.drop_table("generations")


def _record_the_first() -> None:
    """The fact named both encoders with a space between, and the dense one's dimension last."""
    connection = op.get_bind()
    fact = connection.execute(sa.text("SELECT value FROM facts WHERE name = 'encoder'")).scalar()
    if fact is None:
        return
    encoder, _, sparse = fact.partition(" ")
    now = time.time()
    connection.execute(
        sa.text(
            "INSERT INTO generations (id, encoder, sparse, dimension, state, created_at, activated_at)"
            " VALUES (1, :encoder, :sparse, :dimension, 'active', :now, :now)"
        ),
        {"encoder": encoder, "sparse": sparse, "dimension": int(encoder.rpartition("/")[2]), "now": now},
    )
    op.execute("DELETE FROM facts WHERE name = 'encoder'")
