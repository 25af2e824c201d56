"""Alembic's entry: runs the migrations on the connection that `ingest.catalog.database` passes in."""

from alembic import context

from ingest.catalog.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
