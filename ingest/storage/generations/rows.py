"""Reads rows of generations, and locks them until the commit."""

from collections.abc import Collection
from typing import Any

from sqlalchemy import Connection, Row, select

from ingest.storage.db.database import lock_documents
from ingest.storage.db.schema import generations, index_states
from ingest.storage.errors import GenerationChangedError, GenerationStateError
from ingest.storage.generations.records import Generation, GenerationState
from ingest.storage.queue.records import Job, JobKind

# Value used instead of a generation's id for jobs that do not write to the index, and in catalogs without generations.
UNBOUND = 0
_WRITTEN_STATES = {
    JobKind.INGEST: GenerationState.ACTIVE,
    JobKind.EMBED: GenerationState.ACTIVE,
    JobKind.REEMBED: GenerationState.BUILDING,
}

# The query selects generations, each with the reason why its index must not be searched, if there is one.
GENERATION_QUERY = select(generations, index_states.c.lost).outerjoin(
    index_states, index_states.c.generation_id == generations.c.id
)


def build_generation(row: Row[Any]) -> Generation:
    return Generation(
        id=row.id,
        encoder=row.encoder,
        sparse=row.sparse,
        dimension=row.dimension,
        state=GenerationState(row.state),
        created_at=row.created_at,
        activated_at=row.activated_at,
        copies=row.copies,
        lost=row.lost or "",
    )


def find_generation_in_state(connection: Connection, state: GenerationState) -> Generation | None:
    row = connection.execute(GENERATION_QUERY.where(generations.c.state == state)).first()
    return None if row is None else build_generation(row)


def load_generation(connection: Connection, generation_id: int) -> Generation:
    """Load a generation. Raises `GenerationStateError` if it does not exist."""
    row = connection.execute(GENERATION_QUERY.where(generations.c.id == generation_id)).first()
    if row is None:
        raise GenerationStateError(
            f"Generation {generation_id} not found.", hint="`leadline index show` lists all generations."
        )
    return build_generation(row)


def find_inactive_generation(connection: Connection) -> Generation | None:
    """Find the inactive generation, which is being built or is the previous one."""
    return find_generation_in_state(connection, GenerationState.BUILDING) or find_generation_in_state(
        connection, GenerationState.PREVIOUS
    )


def load_active_generation(connection: Connection) -> Generation:
    """Load the active generation. Raises `GenerationStateError` if there is none yet."""
    found = find_generation_in_state(connection, GenerationState.ACTIVE)
    if found is None:
        raise GenerationStateError("No index has been created yet.", hint="Run `leadline up` to start the service.")
    return found


def lock_active_generation(connection: Connection) -> Generation:
    """Lock the active generation until the commit. Raises `GenerationStateError` if there is none yet."""
    query = select(generations.c.id).where(generations.c.state == GenerationState.ACTIVE).with_for_update()
    # If the query waited for a lock because of a switch, another row is active now, so the query is repeated once.
    if connection.execute(query).first() is None:
        connection.execute(query)
    return load_active_generation(connection)


def find_target_generation_id(connection: Connection, kind: JobKind) -> int | None:
    """Return the id of the generation that jobs of this kind currently write to, or None if there is none."""
    if kind not in _WRITTEN_STATES:
        return UNBOUND
    found = find_generation_in_state(connection, _WRITTEN_STATES[kind])
    if found is not None:
        return found.id
    return None if kind is JobKind.REEMBED else UNBOUND


def lock_target_generation(connection: Connection, claimed_jobs: Collection[Job]) -> None:
    """Lock the generation that these jobs wrote to, and then their documents, until the commit.

    Raises `GenerationChangedError` if jobs of their kind now write to another generation.
    """
    if claimed_jobs:
        lock_unchanged_target(connection, next(iter(claimed_jobs)))
    lock_documents(connection, {job.document_id for job in claimed_jobs})


def lock_unchanged_target(connection: Connection, job: Job) -> None:
    """Lock the generation that a job wrote to, until the commit.

    Raises `GenerationChangedError` if jobs of its kind now write to another generation.
    """
    if job.kind not in _WRITTEN_STATES:
        return
    query = select(generations.c.id).where(generations.c.state == _WRITTEN_STATES[job.kind]).with_for_update(read=True)
    # guard: job-generation
    if (connection.execute(query).scalar() or UNBOUND) != job.generation:
        raise GenerationChangedError(
            f"Generation {job.generation} of the index was replaced while job {job.id} was writing to it."
        )
