"""Rows of generations of the vector index: read, and locked until a commit."""

from typing import Any

from sqlalchemy import Connection, Row, select

from ingest.storage.db.schema import generations, index_states
from ingest.storage.errors import GenerationChangedError, GenerationStateError
from ingest.storage.generations.records import Generation, GenerationState
from ingest.storage.queue.records import Job, JobKind

# The generation of a job that writes to none, or of a catalog that has none.
UNBOUND = 0
_WRITTEN_STATES = {
    JobKind.INGEST: GenerationState.ACTIVE,
    JobKind.EMBED: GenerationState.ACTIVE,
    JobKind.REEMBED: GenerationState.BUILDING,
}

# Generations, each with the reason why its index must not be searched.
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


def find_in_state(connection: Connection, state: GenerationState) -> Generation | None:
    row = connection.execute(GENERATION_QUERY.where(generations.c.state == state)).first()
    return None if row is None else build_generation(row)


def load_generation(connection: Connection, identifier: int) -> Generation:
    """Read a generation. Raises `GenerationStateError` for an unknown id."""
    row = connection.execute(GENERATION_QUERY.where(generations.c.id == identifier)).first()
    if row is None:
        raise GenerationStateError(f"There is no generation {identifier}.", hint="`leadline index show` lists them.")
    return build_generation(row)


def find_beside_active(connection: Connection) -> Generation | None:
    """Return the generation beside the active one: being built, or kept as the previous one."""
    return find_in_state(connection, GenerationState.BUILDING) or find_in_state(connection, GenerationState.PREVIOUS)


def load_active(connection: Connection) -> Generation:
    """Return the active generation. Raises `GenerationStateError` where there is none yet."""
    found = find_in_state(connection, GenerationState.ACTIVE)
    if found is None:
        raise GenerationStateError("There is no index yet.", hint="Start the service once: `leadline up`.")
    return found


def lock_active(connection: Connection) -> Generation:
    """Lock the active generation until the commit. Raises `GenerationStateError` where there is none yet."""
    query = select(generations.c.id).where(generations.c.state == GenerationState.ACTIVE).with_for_update()
    # A second try: if the lock had to wait for a switch, another row is the active one now.
    if connection.execute(query).first() is None:
        connection.execute(query)
    return load_active(connection)


def find_written_id(connection: Connection, kind: JobKind) -> int | None:
    """Id of the generation that jobs of a kind write to now; None when there is none for them."""
    if kind not in _WRITTEN_STATES:
        return UNBOUND
    found = find_in_state(connection, _WRITTEN_STATES[kind])
    if found is not None:
        return found.id
    return None if kind is JobKind.REEMBED else UNBOUND


def require_still_written(connection: Connection, job: Job) -> None:
    """Lock the generation that a job wrote to until the commit. Raises `GenerationChangedError` if it was left."""
    if job.kind not in _WRITTEN_STATES:
        return
    query = select(generations.c.id).where(generations.c.state == _WRITTEN_STATES[job.kind]).with_for_update(read=True)
    # guard: job-generation
    if (connection.execute(query).scalar() or UNBOUND) != job.generation:
        raise GenerationChangedError(
            f"Generation {job.generation} of the index was left while job {job.id} wrote to it."
        )
