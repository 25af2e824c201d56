"""Generations of the vector index in the catalog: which is active, what another one lacks, and the switch.

A generation that is built has a job of kind `reembed` for each version that belongs into an index; `done` means that
all of the version is in it. When a generation stops being the active one, these rows are made to say the same of it.
Whoever begins, switches or discards holds the active generation's row until the commit, and so does, shared, whoever
commits what was written to a generation: no version is counted as written to one that has been left meanwhile.
"""

import time
from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Select, delete, func, insert, literal, select, update
from sqlalchemy.dialects import postgresql, sqlite

from ingest.catalog import standing
from ingest.catalog.database import insert_new, read, write
from ingest.catalog.records import version_of
from ingest.catalog.tables import documents, generations, jobs, versions
from ingest.documents import SEARCHABLE_STATES, Failure, JobKind, Priority, Version, VersionState
from ingest.errors import GenerationStateError
from ingest.faultpoints import reach
from ingest.generations import BuildProgress, Generation, GenerationState

_AT_ONCE = 1_000
_FAILURES_SHOWN = 20
_FIRST = 1
BUILDING, ACTIVE, PREVIOUS, DISCARDED = GenerationState


class Generations:
    """Each method is one transaction unless it says otherwise, and may be done again."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def ensure_first(self, encoder: str, sparse: str, dimension: int) -> Generation:
        """The active generation; the first one, with these, where there is none yet."""
        with write(self._engine) as connection:
            found = standing.in_state(connection, ACTIVE)
            if found is None:
                values = _row(encoder, sparse, dimension, ACTIVE)
                insert_new(connection, generations, id=_FIRST, activated_at=values["created_at"], **values)
                found = standing.in_state(connection, ACTIVE)
        assert found is not None
        return found

    def all(self) -> list[Generation]:
        """In the order in which they were begun, discarded ones too."""
        with read(self._engine) as connection:
            return [
                standing.generation_of(r) for r in connection.execute(select(generations).order_by(generations.c.id))
            ]

    def live(self) -> list[Generation]:
        """Those that have an index: what is removed must go from all of them."""
        return [generation for generation in self.all() if generation.state is not DISCARDED]

    def discarded(self) -> list[int]:
        """Ids of those whose index nobody needs; it may be there still."""
        return [generation.id for generation in self.all() if generation.state is DISCARDED]

    def active(self) -> Generation:
        """Raises `GenerationStateError` where there is none yet."""
        with read(self._engine) as connection:
            return standing.active(connection)

    def beside(self) -> Generation | None:
        """The one that is being built or kept, beside the active one."""
        with read(self._engine) as connection:
            return standing.beside(connection)

    def begin(self, encoder: str, sparse: str, dimension: int) -> Generation:
        """A generation to be built beside the active one; one that was begun with the same is gone on with.

        Raises `GenerationStateError` while there is another beside the active one.
        """
        with write(self._engine) as connection:
            standing.lock_active(connection)
            beside = standing.beside(connection)
            if beside is None:
                connection.execute(delete(jobs).where(_REEMBED))
                identifier = 1 + connection.execute(select(func.max(generations.c.id))).scalar_one()
                values = _row(encoder, sparse, dimension, BUILDING)
                connection.execute(insert(generations).values(id=identifier, **values))
                return standing.read(connection, identifier)
            if beside.state is BUILDING and (beside.encoder, beside.sparse) == (encoder, sparse):
                return beside
        raise GenerationStateError(
            f"Generation {beside.id} ({beside.encoder}) is {_WHAT[beside.state]}.", hint=_NEXT[beside.state]
        )

    def revive(self, generation_id: int) -> Generation:
        """Go on building a generation that was left, so that it gets what came since; one being built stays so."""
        with write(self._engine) as connection:
            standing.lock_active(connection)
            connection.execute(
                update(generations)
                .where(generations.c.id == generation_id, generations.c.state == PREVIOUS)
                .values(state=BUILDING)
            )
            return standing.read(connection, generation_id)

    def queue_missing(self) -> int:
        """Queue what the generation being built has not been told of; returns how many versions. Several transactions.

        A document is held while its version is queued, so that its deletion sees the job or the job is not made.
        """
        queued = 0
        while True:
            with write(self._engine) as connection:
                standing.lock_active(connection)
                if standing.in_state(connection, BUILDING) is None:
                    return queued
                some = _queue(connection)
            queued += some
            if some < _AT_ONCE:
                return queued

    def retry_failed(self) -> int:
        """Queue again the versions that could not be put into the generation being built."""
        return self._queue_again(jobs.c.state == "failed")

    def requeue(self, version_ids: Sequence[str]) -> int:
        """Queue again versions of which the generation being built has lost something."""
        return self._queue_again(jobs.c.version_id.in_(version_ids) & (jobs.c.state == "done"))

    def progress(self) -> BuildProgress:
        """Of the generation beside the active one, whichever it is."""
        with read(self._engine) as connection:
            return _progress(connection)

    def failures(self) -> list[tuple[str, Failure]]:
        """Ids of documents with why they are not in the generation being built; the first few."""
        query = _wanted(jobs.c.document_id, jobs.c.error_code, jobs.c.error_detail).where(jobs.c.state == "failed")
        with read(self._engine) as connection:
            rows = connection.execute(query.order_by(jobs.c.id).limit(_FAILURES_SHOWN)).all()
        return [(row.document_id, Failure(row.error_code or "", row.error_detail or "")) for row in rows]

    def done(self) -> list[Version]:
        """Versions that the generation beside the active one has wholly."""
        query = _wanted(versions).where(jobs.c.state == "done")
        with read(self._engine) as connection:
            return [version_of(row) for row in connection.execute(query).all()]

    def wanted(self) -> list[Version]:
        """Versions that belong into an index: a search may find them now, or when they are ready."""
        with read(self._engine) as connection:
            return [version_of(row) for row in connection.execute(_wanted(versions)).all()]

    def is_wanted(self, version_id: str) -> bool:
        with read(self._engine) as connection:
            return connection.execute(_wanted(versions.c.id).where(versions.c.id == version_id)).first() is not None

    def strangers(self, version_ids: Collection[str]) -> set[str]:
        """Those that belong into no index and are not hidden: nobody is writing them, or on the way to remove them."""
        expected: set[str] = set()
        ordered = sorted(version_ids)
        with read(self._engine) as connection:
            for at in range(0, len(ordered), _AT_ONCE // 2):
                some = versions.c.id.in_(ordered[at : at + _AT_ONCE // 2])
                hidden = select(versions.c.id).where(some, versions.c.hidden.is_(True))
                expected |= set(connection.execute(hidden).scalars())
                expected |= set(connection.execute(_wanted(versions.c.id).where(some)).scalars())
        return set(version_ids) - expected

    def activate(self, generation_id: int) -> Generation:
        """Make a whole generation the active one, and the active one the previous, in one commit.

        Raises `GenerationStateError` when it lacks something, and then nothing is changed.
        """
        with write(self._engine) as connection:
            active = standing.lock_active(connection)
            target = standing.read(connection, generation_id)
            if target.state is ACTIVE:
                return target
            if target.state is not BUILDING:
                raise GenerationStateError(
                    f"Generation {target.id} is {_WHAT[target.state]}.", hint=_NEXT[target.state]
                )
            progress = _progress(connection)
            if not progress.whole:
                raise incomplete(target, progress)
            _set_state(connection, active.id, PREVIOUS)
            _set_state(connection, target.id, ACTIVE, activated_at=time.time())
            # From here on the rows speak of the generation that was left: what it has wholly is what was ready in it.
            ready = select(versions.c.id).where(versions.c.state == VersionState.READY)
            connection.execute(delete(jobs).where(_REEMBED, (jobs.c.state != "done") | jobs.c.version_id.not_in(ready)))
            reach("switch.committing")
            return standing.read(connection, generation_id)

    def discard(self, *, unfinished: bool) -> Generation | None:
        """Give up the generation beside the active one; None where there is none. Its index is still to be removed.

        Raises `GenerationStateError` for one that is being built, unless `unfinished` says that this is meant.
        """
        with write(self._engine) as connection:
            standing.lock_active(connection)
            beside = standing.beside(connection)
            if beside is None:
                return None
            if beside.state is BUILDING and not unfinished:
                raise GenerationStateError(
                    f"Generation {beside.id} is being built: {_progress(connection).percent} % are done.",
                    hint="`leadline index discard --unfinished` throws that away.",
                )
            _set_state(connection, beside.id, DISCARDED)
            connection.execute(delete(jobs).where(_REEMBED))
            return standing.read(connection, beside.id)

    def _queue_again(self, which: ColumnElement[bool]) -> int:
        with write(self._engine) as connection:
            if standing.in_state(connection, BUILDING) is None:
                return 0
            return connection.execute(
                update(jobs)
                .where(_REEMBED, which)
                .values(state="queued", attempt=0, interruptions=0, not_before=0.0, fence=jobs.c.fence + 1)
            ).rowcount


def incomplete(generation: Generation, progress: BuildProgress) -> GenerationStateError:
    """Why a generation cannot be switched to."""
    left = progress.versions - progress.versions_done
    return GenerationStateError(
        f"Generation {generation.id} is {progress.percent} % embedded: {left:,} of {progress.versions:,} documents are "
        f"missing{f', of which {progress.failed} failed' if progress.failed else ''}, and the switch waits for them.",
        hint="`leadline index reembed` goes on with it; `leadline index show` says how far it is.",
    )


_REEMBED = jobs.c.kind == JobKind.REEMBED
_WHAT = {BUILDING: "being built", ACTIVE: "the active one", PREVIOUS: "kept for a way back", DISCARDED: "discarded"}
_NEXT = {
    BUILDING: "Go on with it (`leadline index reembed`), or throw it away: `leadline index discard --unfinished`.",
    ACTIVE: "",
    PREVIOUS: "`leadline index rollback` goes back to it; `leadline index discard` removes it.",
    DISCARDED: "`leadline index reembed` builds a new one.",
}


def _row(encoder: str, sparse: str, dimension: int, state: GenerationState) -> dict[str, object]:
    return {"encoder": encoder, "sparse": sparse, "dimension": dimension, "state": state, "created_at": time.time()}


def _set_state(connection: Connection, generation_id: int, state: GenerationState, **changed: object) -> None:
    connection.execute(update(generations).where(generations.c.id == generation_id).values(state=state, **changed))


def _wanted(*columns: Any) -> Select[Any]:  # noqa: ANN401 - columns and tables
    """Versions that belong into an index, each with its row of kind `reembed` if it has one."""
    of_version = (jobs.c.version_id == versions.c.id) & _REEMBED
    return (
        select(*columns)
        .select_from(versions)
        .join(documents, documents.c.id == versions.c.document_id)
        .outerjoin(jobs, of_version)
        .where(
            documents.c.deleted_at.is_(None),
            versions.c.state.in_(SEARCHABLE_STATES) | (documents.c.active_version_id == versions.c.id),
        )
    )


def _queue(connection: Connection) -> int:
    now, zero = time.time(), literal(0)
    values = {
        "kind": literal(JobKind.REEMBED.value),
        "tenant_id": versions.c.tenant_id,
        "document_id": versions.c.document_id,
        "version_id": versions.c.id,
        "state": literal("queued"),
        "priority": literal(int(Priority.BULK)),
        "attempt": zero,
        "interruptions": zero,
        "fence": zero,
        "not_before": literal(0.0),
        "created_at": literal(now),
        "updated_at": literal(now),
    }
    missing = _wanted(*values.values()).where(jobs.c.id.is_(None)).limit(_AT_ONCE)
    missing = missing.with_for_update(read=True, of=documents)
    made = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    statement = made(jobs).from_select(list(values), missing).on_conflict_do_nothing()
    return connection.execute(statement.execution_options(preserve_rowcount=True)).rowcount


def _progress(connection: Connection) -> BuildProgress:
    chunks = func.coalesce(versions.c.chunks, 0)
    done, failed = (jobs.c.state == "done"), (jobs.c.state == "failed")
    query = _wanted(
        func.count(),
        func.count().filter(done),
        func.coalesce(func.sum(chunks), 0),
        func.coalesce(func.sum(chunks).filter(done), 0),
        func.count().filter(failed),
    )
    # PostgreSQL sums big integers as decimals.
    return BuildProgress(*map(int, connection.execute(query).one()))
