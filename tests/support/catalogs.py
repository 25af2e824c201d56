"""Steps that tests of the catalog take again and again."""

import hashlib
import tempfile
import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, select, update

from ingest.storage.db.database import build_sqlite_url, open_database, read_transaction
from ingest.storage.db.schema import document_listing
from ingest.storage.db.schema import jobs as jobs_table
from ingest.storage.documents.catalog import AcceptedUpload, Arrival, Catalog
from ingest.storage.documents.listing import build_listing_query, build_listing_row
from ingest.storage.documents.records import Document, EmbedReport, IngestReport
from ingest.storage.errors import LeaseLostError
from ingest.storage.jobs.jobs import Jobs
from ingest.storage.queue.records import Job, JobKind, JobPriority
from ingest.storage.uploads.records import StoredFile


def migrated_sqlite(path: Path) -> str:
    """The URL of a catalog with its tables; a new one is copied from one that was migrated once."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_migrated())
    return build_sqlite_url(path)


@cache
def _migrated() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "catalog.sqlite"
        open_database(build_sqlite_url(path)).dispose()
        return path.read_bytes()


def arrival(
    content: str = "a",
    *,
    tenant: str = "ann",
    collection: str = "default",
    blob: str = "",
    priority: JobPriority = JobPriority.INTERACTIVE,
    batch_id: str | None = None,
    key: str = "",
    size: int = 3,
) -> Arrival:
    digest, blob = hashlib.sha256(content.encode()).hexdigest(), blob or f"blob-{content}"
    name = f"{content}.txt"
    return Arrival(tenant, collection, name, "text/plain", digest, size, blob, "p1", {}, priority, batch_id, key)


class RemovedBlobs:
    """Blobs that note the keys that are deleted."""

    def __init__(self) -> None:
        self.keys: list[str] = []

    def remove(self, key: str) -> int:
        self.keys.append(key)
        return 0


def stored(identifier: str = "file-1", tenant: str = "ann", *, content: str = "a", owner: str = "key:x") -> StoredFile:
    """A file of three bytes that was sent without a collection."""
    digest, blob = hashlib.sha256(content.encode()).hexdigest(), f"blob-of-{identifier}"
    return StoredFile(identifier, tenant, f"{content}.txt", "assistants", "text/plain", digest, 3, blob, owner, 1.0)


def arrive(catalog: Catalog, content: str = "a", *, tenant: str = "ann", collection: str = "default") -> Document:
    return accept(catalog, content, tenant=tenant, collection=collection).document


def accept(catalog: Catalog, content: str = "a", **changes: Any) -> AcceptedUpload:  # noqa: ANN401 - of `arrival`
    return catalog.accept_upload(arrival(content, **changes))


def finish_ingest(
    jobs: Jobs, job: Job, *, chunks: int, title: str | None = None, pages: int | None = None, characters: int = 1
) -> None:
    """End an ingest job. Raises `LeaseLostError`."""
    if jobs.finish_ingest([IngestReport(job, title, pages, characters, chunks)]):
        raise LeaseLostError(f"Job {job.id} was lost.")


def searchable(jobs: Jobs, *, chunks: int = 2) -> Job:
    """Carry the next ingest job to its end."""
    (job,) = jobs.claim(JobKind.INGEST)
    finish_ingest(jobs, job, title="Title", characters=10, chunks=chunks)
    return job


def embedded(jobs: Jobs) -> Job:
    """Carry the next embedding to its end."""
    (job,) = jobs.claim(JobKind.EMBED)
    jobs.finish_embed([EmbedReport(job, 12, chunks_indexed=2)])
    return job


def lapse(engine: Engine) -> None:
    """Let every lease run out."""
    with engine.begin() as connection:
        connection.execute(update(jobs_table).where(jobs_table.c.lease_until.is_not(None)).values(lease_until=0.0))


def wake(engine: Engine) -> None:
    """End every pause between attempts, and every grace."""
    with engine.begin() as connection:
        connection.execute(update(jobs_table).values(not_before=0.0))


def age_absence(engine: Engine, seconds: float) -> None:
    """Let whatever is waited for have been away for so much longer."""
    with engine.begin() as connection:
        connection.execute(update(jobs_table).values(away_since=jobs_table.c.away_since - seconds))


def at_once(*works: Callable[[], object]) -> list[object]:
    """Run all in threads that start together; what each returned or raised, in their order."""
    ready = threading.Barrier(len(works))
    ends: list[object] = [None] * len(works)

    def run(number: int, work: Callable[[], object]) -> None:
        ready.wait()
        try:
            ends[number] = work()
        except Exception as error:  # noqa: BLE001 - the caller looks at what was raised
            ends[number] = error

    threads = [threading.Thread(target=run, args=(number, work)) for number, work in enumerate(works)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return ends


def require_true_listing(engine: Engine) -> None:
    """Assert that listings go by what documents and versions say, whatever was done with them."""
    with read_transaction(engine) as connection:
        derived = [build_listing_row(row) for row in connection.execute(build_listing_query()).all()]
        kept = [dict(row) for row in connection.execute(select(document_listing)).mappings().all()]
    by_place = {(row["tenant_id"], row["sequence"]): row for row in kept}
    assert by_place == {(row["tenant_id"], row["sequence"]): row for row in derived}
