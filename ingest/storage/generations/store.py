"""Generations of the vector index in the catalog: starting, building, switching and discarding them.

A generation that is being built has a `reembed` job for each version that belongs in an index. If the job is `done`,
the generation contains the complete version. When another generation becomes active, these rows are rewritten to
describe the previous one. Transactions that start, switch or discard a generation lock the row of the active one until
the commit. Transactions that record writes to a generation take a shared lock on it. Therefore no version is recorded
as written to a generation that has stopped being active in the meantime.
"""

import time
from collections.abc import Callable, Collection, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Select, case, delete, func, insert, literal, select, update

from ingest.storage.audit.records import Action
from ingest.storage.audit.store import record_action
from ingest.storage.db.database import build_upsert, insert_row_if_absent, read_transaction, write_transaction
from ingest.storage.db.schema import documents, generations, index_states, jobs, versions
from ingest.storage.documents.records import SEARCHABLE_STATES, Version, VersionState
from ingest.storage.documents.rows import build_version
from ingest.storage.errors import GenerationStateError
from ingest.storage.generations import rows as generation_rows
from ingest.storage.generations.records import BuildProgress, Generation, GenerationState, get_build_command
from ingest.storage.instrumentation import reach_fault_point
from ingest.storage.queue.records import Failure, JobKind, JobPriority

_AT_ONCE = 1_000
_FAILURES_SHOWN = 20
_FIRST = 1
# Number of ids to check beyond the last generation, because a newer catalog that was lost may have created indexes with
# these ids.
_LOOK_AHEAD = 8
BUILDING, ACTIVE, PREVIOUS, DISCARDED = GenerationState


class GenerationRecords:
    """The catalog's generations. Every method can be repeated, and is one transaction unless stated otherwise."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def ensure_first_generation(self, encoder: str, sparse_encoder: str, dimension: int) -> Generation:
        """Return the active generation, or create the first one with these parameters."""
        with write_transaction(self._engine) as connection:
            found = generation_rows.find_generation_in_state(connection, ACTIVE)
            if found is None:
                values = _build_generation_row(encoder, sparse_encoder, dimension, ACTIVE)
                insert_row_if_absent(connection, generations, id=_FIRST, activated_at=values["created_at"], **values)
                found = generation_rows.find_generation_in_state(connection, ACTIVE)
        assert found is not None
        return found

    def list_generations(self) -> list[Generation]:
        """List all generations, including discarded ones, in the order in which they were started."""
        with read_transaction(self._engine) as connection:
            rows = connection.execute(generation_rows.GENERATION_QUERY.order_by(generations.c.id)).all()
        return [generation_rows.build_generation(row) for row in rows]

    def list_live_generations(self) -> list[Generation]:
        """List the generations that have not been discarded. Content must be removed from all of them."""
        return [generation for generation in self.list_generations() if generation.state is not DISCARDED]

    def list_discarded_ids(self) -> list[int]:
        """List the ids of discarded generations, whose indexes may still exist."""
        return [generation.id for generation in self.list_generations() if generation.state is DISCARDED]

    def load_active_generation(self) -> Generation:
        """Load the active generation. Raises `GenerationStateError` if there is none yet."""
        with read_transaction(self._engine) as connection:
            return generation_rows.load_active_generation(connection)

    def find_inactive_generation(self) -> Generation | None:
        """Find the inactive generation, which is being built or is the previous one."""
        with read_transaction(self._engine) as connection:
            return generation_rows.find_inactive_generation(connection)

    def start_generation(
        self, encoder: str, sparse_encoder: str, dimension: int, *, source_id: int | None = None
    ) -> Generation:
        """Start a second generation, or return the one already started with the same parameters.

        Vectors are copied from the generation `source_id`, or computed again if it is None. Raises
        `GenerationStateError` if a different inactive generation exists.
        """
        with write_transaction(self._engine) as connection:
            active = generation_rows.lock_active_generation(connection)
            beside = generation_rows.find_inactive_generation(connection)
            if beside is None:
                connection.execute(delete(jobs).where(_REEMBED))
                identifier = 1 + connection.execute(select(func.max(generations.c.id))).scalar_one()
                values = _build_generation_row(encoder, sparse_encoder, dimension, BUILDING)
                # guard: rebuild-copies-nothing
                connection.execute(insert(generations).values(id=identifier, copies=source_id, **values))
                return generation_rows.load_generation(connection, identifier)
            begun = (beside.encoder, beside.sparse, beside.copies)
            if beside.state is BUILDING and begun == (encoder, sparse_encoder, source_id):
                return beside
        raise GenerationStateError(
            f"Generation {beside.id} ({beside.encoder}) is {_STATE_WORDS[beside.state]}.",
            hint=_describe_next_step(beside, active),
        )

    def start_empty_generation(self, is_taken: Callable[[int], bool]) -> Generation | None:
        """Start a generation with the parameters of the active one, and discard any other inactive generation.

        `is_taken` returns whether an id already has an index. Returns None if there is no active generation.
        """
        with write_transaction(self._engine) as connection:
            active = generation_rows.find_generation_in_state(connection, ACTIVE)
            if active is None:
                return None
            beside = generations.c.state.in_((BUILDING, PREVIOUS))
            connection.execute(update(generations).where(beside).values(state=DISCARDED))
            connection.execute(delete(jobs).where(_REEMBED))
            identifier = 1 + connection.execute(select(func.max(generations.c.id))).scalar_one()
            while any(is_taken(number) for number in range(identifier, identifier + _LOOK_AHEAD)):
                identifier += 1
            values = _build_generation_row(active.encoder, active.sparse, active.dimension, BUILDING)
            connection.execute(insert(generations).values(id=identifier, **values))
            return generation_rows.load_generation(connection, identifier)

    def resume_building(self, generation_id: int) -> Generation:
        """Start building the previous generation again, so that it gets the versions added since it was active.

        Does nothing if the generation is already being built. Vectors are copied from the active generation if it has
        the same encoder. The result of the last index check is deleted, because the index may have lost its marker
        since; the index is checked again while it is built.
        """
        with write_transaction(self._engine) as connection:
            active = generation_rows.lock_active_generation(connection)
            same_encoder = generations.c.encoder == active.encoder
            # guard: revived-generation-state
            if generation_rows.load_generation(connection, generation_id).state is PREVIOUS:
                connection.execute(delete(index_states).where(index_states.c.generation_id == generation_id))
            connection.execute(
                update(generations)
                .where(generations.c.id == generation_id, generations.c.state == PREVIOUS)
                .values(state=BUILDING, copies=case((same_encoder, active.id)))
            )
            return generation_rows.load_generation(connection, generation_id)

    def queue_missing_versions(self) -> int:
        """Queue the versions that have no job for the generation being built, and return their number.

        This takes several transactions. Each document is locked while its version is queued, so that a deletion either
        sees the job or prevents it.
        """
        queued = 0
        while True:
            with write_transaction(self._engine) as connection:
                generation_rows.lock_active_generation(connection)
                if generation_rows.find_generation_in_state(connection, BUILDING) is None:
                    return queued
                some = _queue_version_batch(connection)
            queued += some
            if some < _AT_ONCE:
                return queued

    def retry_failed_versions(self) -> int:
        """Requeue the failed versions of the generation being built, and return their number."""
        return self._requeue_jobs(jobs.c.state == "failed")

    def requeue_versions(self, version_ids: Sequence[str]) -> int:
        """Requeue versions of which the generation being built has lost chunks, and return their number."""
        return self._requeue_jobs(jobs.c.version_id.in_(version_ids) & (jobs.c.state == "done"))

    def load_progress(self) -> BuildProgress:
        """Load the progress of the inactive generation."""
        with read_transaction(self._engine) as connection:
            return _load_progress(connection)

    def list_failures(self) -> list[tuple[str, Failure]]:
        """List the first documents that failed in the generation being built, each with the reason."""
        query = _build_indexable_query(jobs.c.document_id, jobs.c.error_code, jobs.c.error_detail).where(
            jobs.c.state == "failed"
        )
        with read_transaction(self._engine) as connection:
            rows = connection.execute(query.order_by(jobs.c.id).limit(_FAILURES_SHOWN)).all()
        return [(row.document_id, Failure(row.error_code or "", row.error_detail or "")) for row in rows]

    def list_complete_versions(self) -> list[Version]:
        """List the versions that the inactive generation contains completely."""
        query = _build_indexable_query(versions).where(jobs.c.state == "done")
        with read_transaction(self._engine) as connection:
            return [build_version(row) for row in connection.execute(query).all()]

    def list_indexable_versions(self) -> list[Version]:
        """List the versions that belong in an index, because searches find them now or will once they are ready."""
        with read_transaction(self._engine) as connection:
            return [build_version(row) for row in connection.execute(_build_indexable_query(versions)).all()]

    def is_indexable_version(self, version_id: str) -> bool:
        with read_transaction(self._engine) as connection:
            return (
                connection.execute(_build_indexable_query(versions.c.id).where(versions.c.id == version_id)).first()
                is not None
            )

    def select_stray_versions(self, version_ids: Collection[str]) -> set[str]:
        """Select the versions that belong in no index and that no job is writing or removing."""
        expected: set[str] = set()
        ordered = sorted(version_ids)
        with read_transaction(self._engine) as connection:
            for at in range(0, len(ordered), _AT_ONCE // 2):
                some = versions.c.id.in_(ordered[at : at + _AT_ONCE // 2])
                hidden = select(versions.c.id).where(some, versions.c.hidden.is_(True))
                expected |= set(connection.execute(hidden).scalars())
                expected |= set(connection.execute(_build_indexable_query(versions.c.id).where(some)).scalars())
        return set(version_ids) - expected

    def activate(self, generation_id: int) -> Generation:
        """Make a complete generation active, and the active generation the previous one, in one commit.

        If the active generation has lost its index, it is discarded, because a rollback to it is impossible. Raises
        `GenerationStateError`, without changing anything, if the new generation is incomplete.
        """
        with write_transaction(self._engine) as connection:
            active = generation_rows.lock_active_generation(connection)
            target = generation_rows.load_generation(connection, generation_id)
            if target.state is ACTIVE:
                return target
            if target.state is not BUILDING:
                raise GenerationStateError(
                    f"Generation {target.id} is {_STATE_WORDS[target.state]}.",
                    hint=_describe_next_step(target, active),
                )
            progress = _load_progress(connection)
            if not progress.is_complete:
                raise build_incomplete_error(target, active, progress)
            # guard: lost-index-discarded
            _set_generation_state(connection, active.id, DISCARDED if active.lost else PREVIOUS)
            _set_generation_state(connection, target.id, ACTIVE, activated_at=time.time())
            # From now on, the rows describe the previous generation. This generation contains each version that was
            # ready in it.
            ready = select(versions.c.id).where(versions.c.state == VersionState.READY)
            unwanted = (jobs.c.state != "done") | jobs.c.version_id.not_in(ready) | literal(bool(active.lost))
            connection.execute(delete(jobs).where(_REEMBED, unwanted))
            subject = f"generation:{target.id}"
            record_action(connection, Action.INDEX_SWITCHED, subject, tenant_id=None, previous=active.id)
            reach_fault_point("switch.committing")
            return generation_rows.load_generation(connection, generation_id)

    def discard_inactive_generation(self, *, allow_unfinished: bool) -> Generation | None:
        """Discard the inactive generation and return it, or return None if there is none.

        The caller must remove its index. Raises `GenerationStateError` if the generation is being built, unless
        `allow_unfinished` is true.
        """
        with write_transaction(self._engine) as connection:
            generation_rows.lock_active_generation(connection)
            beside = generation_rows.find_inactive_generation(connection)
            if beside is None:
                return None
            if beside.state is BUILDING and not allow_unfinished:
                raise GenerationStateError(
                    f"Generation {beside.id} is being built: {_load_progress(connection).percent} % is done.",
                    hint="To discard it anyway, run `leadline index discard --unfinished`.",
                )
            _set_generation_state(connection, beside.id, DISCARDED)
            connection.execute(delete(jobs).where(_REEMBED))
            return generation_rows.load_generation(connection, beside.id)

    def _requeue_jobs(self, condition: ColumnElement[bool]) -> int:
        with write_transaction(self._engine) as connection:
            if generation_rows.find_generation_in_state(connection, BUILDING) is None:
                return 0
            return connection.execute(
                update(jobs)
                .where(_REEMBED, condition)
                .values(state="queued", attempt=0, interruptions=0, not_before=0.0, fence=jobs.c.fence + 1)
            ).rowcount


def build_incomplete_error(
    generation: Generation, active: Generation, progress: BuildProgress, estimate: str = ""
) -> GenerationStateError:
    """Build the error for a switch to a generation that is incomplete. `estimate` says how long the rest takes."""
    left = progress.versions - progress.versions_done
    return GenerationStateError(
        f"Generation {generation.id} is {progress.percent} % built: {left:,} of {progress.versions:,} documents are "
        f"missing{f', of which {progress.failed} failed' if progress.failed else ''}. The switch requires all of them."
        f"{estimate and f' {estimate}'}",
        hint=f"Continue the build with `leadline index {get_build_command(generation, active)}`. `leadline index show` "
        "shows its progress.",
    )


_REEMBED = jobs.c.kind == JobKind.REEMBED
_STATE_WORDS = {
    BUILDING: "being built",
    ACTIVE: "the active generation",
    PREVIOUS: "kept for a rollback",
    DISCARDED: "discarded",
}


def _describe_next_step(generation: Generation, active: Generation) -> str:
    command = f"`leadline index {get_build_command(generation, active)}`"
    steps = {
        BUILDING: f"Continue building the generation with {command}, or discard it with "
        "`leadline index discard --unfinished`.",
        ACTIVE: "",
        PREVIOUS: "Return to the generation with `leadline index rollback`, or remove it with `leadline index "
        "discard`.",
        DISCARDED: f"Build a new generation with {command}.",
    }
    return steps[generation.state]


def _build_generation_row(
    encoder: str, sparse_encoder: str, dimension: int, state: GenerationState
) -> dict[str, object]:
    return {
        "encoder": encoder,
        "sparse": sparse_encoder,
        "dimension": dimension,
        "state": state,
        "created_at": time.time(),
    }


def _set_generation_state(connection: Connection, generation_id: int, state: GenerationState, **values: object) -> None:
    connection.execute(update(generations).where(generations.c.id == generation_id).values(state=state, **values))


def _build_indexable_query(*columns: Any) -> Select[Any]:  # noqa: ANN401 - columns and tables
    """Build the query for the versions that belong in an index, each with its `reembed` job if it has one."""
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


def _queue_version_batch(connection: Connection) -> int:
    now, zero = time.time(), literal(0)
    values = {
        "kind": literal(JobKind.REEMBED.value),
        "tenant_id": versions.c.tenant_id,
        "document_id": versions.c.document_id,
        "version_id": versions.c.id,
        "state": literal("queued"),
        "priority": literal(int(JobPriority.BULK)),
        "attempt": zero,
        "interruptions": zero,
        "fence": zero,
        "not_before": literal(0.0),
        "created_at": literal(now),
        "updated_at": literal(now),
    }
    missing = _build_indexable_query(*values.values()).where(jobs.c.id.is_(None)).limit(_AT_ONCE)
    missing = missing.with_for_update(read=True, of=documents)
    statement = build_upsert(connection, jobs).from_select(list(values), missing).on_conflict_do_nothing()
    return connection.execute(statement.execution_options(preserve_rowcount=True)).rowcount


def _load_progress(connection: Connection) -> BuildProgress:
    chunks = func.coalesce(versions.c.chunks, 0)
    done, failed = (jobs.c.state == "done"), (jobs.c.state == "failed")
    query = _build_indexable_query(
        func.count(),
        func.count().filter(done),
        func.coalesce(func.sum(chunks), 0),
        func.coalesce(func.sum(chunks).filter(done), 0),
        func.count().filter(failed),
    )
    # PostgreSQL returns sums of big integers as decimals.
    return BuildProgress(*map(int, connection.execute(query).one()))
