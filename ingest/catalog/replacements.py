"""New bytes for a document: staged beside the old ones, and swapped in when every chunk of them is there.

Until then searches go on finding the old version. What is staged is hidden from the moment it may have points; whether
a version is shown is decided by its document's `active_version_id` alone, which changes in one commit.
"""

import time
from collections.abc import Collection

from sqlalchemy import Connection, func, select, update

from ingest.catalog.arrivals import UNFINISHED_ENDS, add_version
from ingest.catalog.locking import lock_documents
from ingest.catalog.records import Accepted, Arrival, read_document, read_version
from ingest.catalog.tables import documents, versions
from ingest.catalog.withdrawals import withdraw
from ingest.documents import IN_PROGRESS, Document, EmbedReport, IngestReport, Job, Version, VersionState
from ingest.errors import IncompleteVersionError, PreconditionFailedError

# An answer that is being written when its document is replaced may still read what it found.
_READERS_SECONDS = 60.0


def replace(connection: Connection, arrival: Arrival, identifier: str, if_match: Collection[str] | None) -> Accepted:
    """See `Catalog.replace`. A replacement that is under way gives way to this one."""
    lock_documents(connection, [identifier])
    document = read_document(connection, arrival.tenant_id, identifier)
    latest = document.version
    require_match(document, if_match)
    if latest.content_sha256 == arrival.content_sha256 and latest.state not in UNFINISHED_ENDS:
        return Accepted(document, created=False)
    if document.active_version_id not in (None, latest.id):
        active = read_version(connection, str(document.active_version_id))
        if active.content_sha256 == arrival.content_sha256 and active.state is not VersionState.FAILED:
            return Accepted(_return_to(connection, document, active), created=False)
    if latest.state in IN_PROGRESS and latest.id != document.active_version_id:
        withdraw(connection, [latest], VersionState.CANCELLED)
    return Accepted(add_version(connection, document, arrival), created=True)


def require_match(document: Document, if_match: Collection[str] | None) -> None:
    """Raises `PreconditionFailedError` unless the latest version is one of these; None stands for any."""
    if if_match is not None and document.version.id not in if_match:
        raise PreconditionFailedError(f"The document's latest version is {document.version.id}, not the one named.")


def make_searchable(connection: Connection, report: IngestReport) -> None:
    """All chunks of a version are in the index: its document's first one is found from now on, another stays staged."""
    job = report.job
    staged = _active(connection, job.document_id) not in (None, job.version_id)
    found = {
        "title": report.title,
        "pages": report.pages,
        "characters": report.characters,
        "chunks": report.chunks,
    }
    if staged:
        stage = {"state": VersionState.EMBEDDING, "hidden": True}
    else:
        searchable_at = func.coalesce(versions.c.searchable_at, time.time())
        stage = {"state": VersionState.SEARCHABLE, "hidden": False, "searchable_at": searchable_at}
    connection.execute(
        update(versions)
        .where(versions.c.id == job.version_id)
        .values(**found, **stage, chunks_embedded=0, chunks_reused=0, tokens=0)
    )
    if not staged:
        _activate(connection, job)


def make_ready(connection: Connection, report: EmbedReport) -> None:
    """All vectors of a version are in the index; a staged one takes the place of the active one.

    Raises `IncompleteVersionError` when what the index counted is not all of a staged version.
    """
    job = report.job
    active = _active(connection, job.document_id)
    if active != job.version_id:
        _require_whole(connection, report)
        if active is not None:
            old = read_version(connection, active)
            withdraw(connection, [old], VersionState.RETIRED, wait_seconds=_READERS_SECONDS)
    now = time.time()
    connection.execute(
        update(versions)
        .where(versions.c.id == job.version_id)
        .values(
            state=VersionState.READY,
            hidden=False,
            tokens=report.tokens,
            chunks_embedded=versions.c.chunks,
            chunks_reused=report.chunks_reused,
            searchable_at=func.coalesce(versions.c.searchable_at, now),
            ready_at=now,
        )
    )
    if active != job.version_id:
        _activate(connection, job)


def _return_to(connection: Connection, document: Document, active: Version) -> Document:
    """The caller wants the bytes that are being searched: what was to replace them is not wanted any more."""
    ended = VersionState.CANCELLED if document.version.state in IN_PROGRESS else VersionState.RETIRED
    withdraw(connection, [document.version], ended)
    connection.execute(update(documents).where(documents.c.id == document.id).values(latest_version_id=active.id))
    return read_document(connection, document.tenant_id, document.id)


def _active(connection: Connection, document: str) -> str | None:
    query = select(documents.c.active_version_id).where(documents.c.id == document)
    active: str | None = connection.execute(query).scalar_one()
    return active


def _activate(connection: Connection, job: Job) -> None:
    version = read_version(connection, job.version_id)
    connection.execute(
        update(documents)
        .where(documents.c.id == job.document_id)
        .values(
            active_version_id=version.id,
            name=version.name,
            title=version.title,
            media_type=version.media_type,
        )
    )


def _require_whole(connection: Connection, report: EmbedReport) -> None:
    version = read_version(connection, report.job.version_id)
    if report.chunks_indexed != version.chunks:
        raise IncompleteVersionError(
            f"The index holds {report.chunks_indexed} of the new version's {version.chunks} chunks with their vectors."
        )
