"""Steps that tests of the catalog take again and again."""

import hashlib
import threading
from collections.abc import Callable

from ingest.catalog.catalog import Accepted, Arrival, Catalog
from ingest.catalog.jobs import Jobs
from ingest.documents import Document, Job, JobKind


def arrival(content: str = "a", *, tenant: str = "ann", collection: str = "default", blob: str = "") -> Arrival:
    digest = hashlib.sha256(content.encode()).hexdigest()
    return Arrival(tenant, collection, f"{content}.txt", "text/plain", digest, 3, blob or f"blob-{content}", "p1", {})


def arrive(catalog: Catalog, content: str = "a", *, tenant: str = "ann", collection: str = "default") -> Document:
    return accept(catalog, content, tenant=tenant, collection=collection).document


def accept(catalog: Catalog, content: str = "a", **changes: str) -> Accepted:
    return catalog.accept(arrival(content, **changes))


def searchable(jobs: Jobs, *, chunks: int = 2) -> Job:
    """Carry the next ingest job to its end."""
    (job,) = jobs.claim(JobKind.INGEST)
    jobs.finish_ingest(job, title="Title", pages=None, characters=10, chunks=chunks)
    return job


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
