"""The document versions that the index should contain according to the catalog, and the results of index checks."""

import time
from collections.abc import Collection
from dataclasses import asdict
from typing import Any

from sqlalchemy import Engine, Row, Select, delete, func, select

from ingest.storage.db.database import build_upsert, iter_slices, read_transaction, write_transaction
from ingest.storage.db.schema import documents, index_copies, index_states, jobs, versions
from ingest.storage.documents.records import VersionState
from ingest.storage.generations.records import IndexState, ReplicaStatus, SearchableVersion
from ingest.storage.queue.records import JobKind

_UNFINISHED = ("queued", "running")


class IndexStates:
    """Selects the versions that searches should find, and records the last check of each generation's index."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def list_searchable_versions(self) -> list[SearchableVersion]:
        """List all versions that have chunks and that searches should find."""
        with read_transaction(self._engine) as connection:
            return [_build_searchable_version(row) for row in connection.execute(_build_searchable_query()).all()]

    def select_searchable_versions(self, version_ids: Collection[str]) -> dict[str, SearchableVersion]:
        """Select those of these versions that searches should still find, keyed by id."""
        with read_transaction(self._engine) as connection:
            return {
                row.id: _build_searchable_version(row)
                for some in iter_slices(sorted(version_ids))
                for row in connection.execute(_build_searchable_query().where(versions.c.id.in_(some))).all()
            }

    def sample_versions(self, size: int, *, tenant_id: str | None = None) -> list[SearchableVersion]:
        """Select up to `size` random versions that searches should find, of one tenant or of all tenants."""
        query = _build_searchable_query().order_by(func.random()).limit(size)
        if tenant_id is not None:
            query = query.where(versions.c.tenant_id == tenant_id)
        with read_transaction(self._engine) as connection:
            return [_build_searchable_version(row) for row in connection.execute(query).all()]

    def load_state(self, generation_id: int) -> IndexState:
        """Load the result of the last check. It has no time if the generation was never checked."""
        query = select(index_states).where(index_states.c.generation_id == generation_id)
        with read_transaction(self._engine) as connection:
            row = connection.execute(query).first()
        if row is None:
            return IndexState(generation_id)
        return IndexState(
            generation_id,
            row.marked_at is not None,
            row.checked_at,
            row.versions,
            row.missing,
            row.requeued,
            row.lost or "",
        )

    def record_state(self, state: IndexState) -> None:
        """Record the result of a check.

        `requeued` is added to the recorded count. A recorded marker is never removed.
        """
        now = time.time()
        values = {
            "generation_id": state.generation,
            "marked_at": now if state.is_marked else None,
            "checked_at": now,
            "versions": state.versions,
            "missing": state.missing,
            "requeued": state.requeued,
            "lost": state.lost or None,
        }
        changed = {name: value for name, value in values.items() if name != "generation_id"} | {
            "requeued": index_states.c.requeued + state.requeued,
            "marked_at": func.coalesce(index_states.c.marked_at, values["marked_at"]),
        }
        with write_transaction(self._engine) as connection:
            statement = build_upsert(connection, index_states).values(**values)
            connection.execute(statement.on_conflict_do_update(index_elements=["generation_id"], set_=changed))

    def list_replica_states(self) -> list[ReplicaStatus]:
        """List the replica states of all generations whose index a vector server stores on several nodes."""
        with read_transaction(self._engine) as connection:
            rows = connection.execute(select(index_copies).order_by(index_copies.c.generation_id)).all()
        return [ReplicaStatus(row.generation_id, row.shards, row.short, row.detail, tuple(row.away)) for row in rows]

    def record_replica_states(self, states: Collection[ReplicaStatus]) -> None:
        """Replace the recorded replica states of all generations with these states."""
        live = [each.generation for each in states]
        with write_transaction(self._engine) as connection:
            connection.execute(delete(index_copies).where(index_copies.c.generation_id.not_in(live)))
            for each in states:
                values = asdict(each)
                key = {"generation_id": values.pop("generation")}
                values["checked_at"] = time.time()
                statement = build_upsert(connection, index_copies).values(**key, **values)
                connection.execute(statement.on_conflict_do_update(index_elements=list(key), set_=values))


def _build_searchable_query() -> Select[Any]:
    ingest, embed = jobs.alias("ingest"), jobs.alias("embed")
    ingesting = (ingest.c.version_id == versions.c.id) & (ingest.c.kind == JobKind.INGEST)
    embedding = (embed.c.version_id == versions.c.id) & (embed.c.kind == JobKind.EMBED)
    is_ready = (versions.c.state == VersionState.READY) & embed.c.id.is_(None)
    return (
        select(
            versions.c.id,
            versions.c.tenant_id,
            versions.c.chunks,
            is_ready.label("needs_vectors"),
            ingest.c.id.is_not(None).label("is_moving"),
            func.coalesce(versions.c.ready_at, versions.c.searchable_at, 0.0).label("settled_at"),
        )
        .select_from(versions)
        .join(documents, documents.c.id == versions.c.document_id)
        .outerjoin(ingest, ingesting & ingest.c.state.in_(_UNFINISHED))
        .outerjoin(embed, embedding & embed.c.state.in_(_UNFINISHED))
        .where(documents.c.active_version_id == versions.c.id, documents.c.deleted_at.is_(None), versions.c.chunks > 0)
    )


def _build_searchable_version(row: Row[Any]) -> SearchableVersion:
    return SearchableVersion(
        row.id, row.tenant_id, row.chunks, bool(row.needs_vectors), bool(row.is_moving), row.settled_at
    )
