"""What a batch holds: an entry for each file, written in the commit that accepts the file, and counted by state."""

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Connection, Row, and_, exists, func, insert, select, update

from ingest.batches import Batch, Tally
from ingest.catalog.locking import lock_documents
from ingest.catalog.records import Accepted, Arrival, version_of
from ingest.catalog.tables import batch_entries, batches, documents, versions
from ingest.catalog.withdrawals import stop
from ingest.documents import IN_PROGRESS, Failure, VersionState
from ingest.errors import BatchNotFoundError, BatchStateError
from ingest.progress import fraction


def accept_into_batch(connection: Connection, arrival: Arrival, accept: Callable[[], Accepted]) -> Accepted:
    """Accept an arrival and, if it names a batch, enter it there. Raises what `accept` and `require_open` do."""
    if arrival.batch_id is None:
        return accept()
    batch = lock_batch(connection, arrival.tenant_id, arrival.batch_id)
    require_open(batch)
    accepted = accept()
    _enter(connection, batch, arrival.name, accepted)
    return accepted


def read_batch(connection: Connection, tenant_id: str, identifier: str, *, lock: bool = False) -> Batch:
    """Raises `BatchNotFoundError`."""
    query = select(batches).where(batches.c.id == identifier, batches.c.tenant_id == tenant_id)
    row = connection.execute(query.with_for_update(key_share=True) if lock else query).first()
    if row is None:
        raise BatchNotFoundError(f"There is no batch {identifier!r}.")
    return batch_of(row)


def lock_batch(connection: Connection, tenant_id: str, identifier: str) -> Batch:
    """From here to the commit nothing is entered into the batch, and nobody cancels it."""
    return read_batch(connection, tenant_id, identifier, lock=True)


def require_open(batch: Batch) -> None:
    """Raises `BatchStateError` for a batch that takes no more files."""
    if batch.closed_at is not None:
        ended = "cancelled" if batch.cancelled_at is not None else "closed"
        raise BatchStateError(f"The batch {batch.id!r} is {ended} and takes no more files.")


def enter_refused(connection: Connection, batch: Batch, name: str, failure: Failure) -> None:
    """A file that was not accepted, entered into a locked batch; the same file sent again is entered once."""
    known = (
        batch_entries.c.document_id.is_(None),
        batch_entries.c.batch_id == batch.id,
        batch_entries.c.name == name,
        batch_entries.c.error_code == failure.code,
    )
    if connection.execute(select(batch_entries.c.number).where(*known)).first() is not None:
        return
    _add(
        connection,
        batch,
        name=name,
        duplicate=False,
        error_code=failure.code,
        error_detail=failure.detail,
        error_hint=failure.hint,
    )


def tallies(connection: Connection, identifiers: Sequence[str]) -> dict[str, Tally]:
    """What became of the accepted files of each batch, in one query over its entries."""
    query = (
        select(
            batch_entries.c.batch_id,
            versions.c.state,
            func.count().label("documents"),
            func.coalesce(func.sum(versions.c.chunks), 0).label("chunks"),
            func.coalesce(func.sum(versions.c.chunks_embedded), 0).label("chunks_embedded"),
            func.coalesce(func.sum(versions.c.tokens), 0).label("tokens"),
        )
        .join(versions, versions.c.id == batch_entries.c.version_id)
        .where(batch_entries.c.batch_id.in_(identifiers))
        .group_by(batch_entries.c.batch_id, versions.c.state)
    )
    found: dict[str, list[Row[Any]]] = {identifier: [] for identifier in identifiers}
    for row in connection.execute(query).all():
        found[row[0]].append(row)
    return {identifier: _tally(rows) for identifier, rows in found.items()}


def cancel_unfinished(connection: Connection, identifier: str) -> None:
    """Stop what is being made of the files of a locked batch that is cancelled already.

    A version is stopped when it was made for a cancelled batch, and no other batch that has it is still wanted.
    """
    ids = list(connection.execute(_stoppable(identifier, batch_entries.c.document_id)).scalars())
    lock_documents(connection, set(ids))
    rows = connection.execute(_stoppable(identifier, versions)).all()  # some may have ended meanwhile
    stop(connection, [version_of(row) for row in rows])


def batch_of(row: Row[Any]) -> Batch:
    return Batch(
        id=row.id,
        sequence=row.sequence,
        tenant_id=row.tenant_id,
        name=row.name,
        expected=row.expected,
        received=row.received,
        duplicates=row.duplicates,
        refused=row.refused,
        created_at=row.created_at,
        closed_at=row.closed_at,
        cancelled_at=row.cancelled_at,
    )


def _tally(rows: Sequence[Row[Any]]) -> Tally:
    work = (
        row.documents * fraction(VersionState(row.state), int(row.chunks), int(row.chunks_embedded)) for row in rows
    )
    return Tally(
        documents={VersionState(row.state): row.documents for row in rows},
        # PostgreSQL sums big integers as decimals.
        chunks=int(sum(row.chunks for row in rows)),
        chunks_embedded=int(sum(row.chunks_embedded for row in rows)),
        tokens=int(sum(row.tokens for row in rows)),
        work=sum(work),
    )


def _stoppable(identifier: str, *columns: Any) -> Any:  # noqa: ANN401 - SQLAlchemy's own overloads
    other, its = batch_entries.alias("other"), batches.alias("its")
    sharing = select(other.c.number).join(its, its.c.id == other.c.batch_id).where(other.c.version_id == versions.c.id)
    return (
        select(*columns)
        .select_from(batch_entries)
        .join(versions, versions.c.id == batch_entries.c.version_id)
        .join(documents, and_(documents.c.id == versions.c.document_id, documents.c.latest_version_id == versions.c.id))
        .where(
            batch_entries.c.batch_id == identifier,
            versions.c.state.in_(IN_PROGRESS),
            exists(sharing.where(other.c.duplicate.is_(False), its.c.cancelled_at.is_not(None))),
            ~exists(sharing.where(its.c.cancelled_at.is_(None))),
        )
        .distinct()
    )


def _enter(connection: Connection, batch: Batch, name: str, accepted: Accepted) -> None:
    """The same file sent again, as after a lost answer, is entered once; it may have become another version."""
    document = accepted.document
    again = connection.execute(
        update(batch_entries)
        .where(
            batch_entries.c.document_id == document.id,
            batch_entries.c.batch_id == batch.id,
            batch_entries.c.name == name,
        )
        .values(version_id=document.version.id)
    ).rowcount
    if not again:
        _add(
            connection,
            batch,
            name=name,
            document_id=document.id,
            version_id=document.version.id,
            duplicate=not accepted.created,
        )


def _add(connection: Connection, batch: Batch, *, duplicate: bool, **entry: Any) -> None:  # noqa: ANN401 - columns
    number = batch.received + 1
    connection.execute(insert(batch_entries).values(batch_id=batch.id, number=number, duplicate=duplicate, **entry))
    connection.execute(
        update(batches)
        .where(batches.c.id == batch.id)
        .values(
            received=number,
            duplicates=batch.duplicates + duplicate,
            refused=batch.refused + ("error_code" in entry),
        )
    )
