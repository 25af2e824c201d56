"""The query cache over a real catalog: whatever is done to documents, it gives what a search without it gives."""

import random
from collections.abc import Callable

import pytest

from ingest.storage.documents.catalog import Catalog
from ingest.storage.documents.records import Document
from ingest.storage.errors import LeadlineError
from ingest.storage.queue.records import JobKind
from retrieval.search.query_cache import CachedSearcher
from retrieval.search.requests import Mode, SearchRequest
from retrieval.search.search import Searcher
from tests.support.catalogs import wake
from tests.support.worker_fixture import WorkerFixture, no

ASKED = [SearchRequest("ann", "white whale", mode) for mode in Mode] + [SearchRequest("ann", "paint", top_k=2)]
WORDS = ["white", "whale", "paint", "ship", "sea"]


def searcher(worker: WorkerFixture, catalog: Catalog | None = None) -> CachedSearcher:
    catalog = catalog or worker.catalog
    return CachedSearcher(Searcher(worker.generations, catalog, worker.texts), catalog)


class Port:
    """Random changes of documents, one job or one request at a time."""

    def __init__(self, worker: WorkerFixture, seed: int) -> None:
        self.worker, self.chance = worker, random.Random(seed)
        self.documents: list[Document] = []

    def change(self) -> None:
        changes: list[Callable[[], None]] = [self._upload, self._upload, self._replace, self._delete, self._cancel]
        changes += [self._ingest, self._embed, self._collect] * 3
        try:
            self.chance.choice(changes)()
        except LeadlineError:
            return  # nothing to cancel, replace or delete

    def _text(self) -> str:
        return "\n\n".join(" ".join(self.chance.choices(WORDS, k=5)) for _ in range(self.chance.randint(1, 3)))

    def _upload(self) -> None:
        self.documents.append(self.worker.upload(self._text()))

    def _some(self) -> Document:
        if not self.documents:
            self._upload()
        return self.chance.choice(self.documents)

    def _replace(self) -> None:
        self.worker.replace(self._some(), self._text())

    def _delete(self) -> None:
        self.worker.deleter.delete_document("ann", self._some().id)

    def _cancel(self) -> None:
        self.worker.catalog.cancel_latest_version("ann", self._some().id)

    def _ingest(self) -> None:
        for job in self.worker.jobs.claim(JobKind.INGEST):
            self.worker.ingest.run(job, no)

    def _embed(self) -> None:
        for job in self.worker.jobs.claim(JobKind.EMBED):
            self.worker.embed.run([job], no)

    def _collect(self) -> None:
        wake(self.worker.engine)
        for job in self.worker.jobs.claim(JobKind.COLLECT):
            self.worker.collect.run(job)


@pytest.mark.parametrize("seed", range(3))
def test_it_finds_what_a_search_without_it_finds_after_every_change(worker: WorkerFixture, seed: int) -> None:
    cached, port = searcher(worker), Port(worker, seed)
    hits = found = 0
    for _ in range(60):
        port.change()
        for request in ASKED:
            kept = cached.search(request)
            assert kept.hits == cached.uncached.search(request).hits
            hits, found = hits + kept.cached, found + bool(kept.hits)
    assert hits > 20
    assert found > 20


def test_what_was_deleted_is_in_no_processs_cache_once_the_deletion_has_answered(worker: WorkerFixture) -> None:
    here, there = searcher(worker), searcher(worker, Catalog(worker.engine))
    document = worker.upload("the white whale")
    worker.work_off()
    for process in (here, there):
        assert process.search(ASKED[0]).hits
        assert process.search(ASKED[0]).cached
    worker.catalog.delete_document("ann", document.id)  # what is left in the index and the blobs is not collected yet
    for process in (here, there):
        assert process.search(ASKED[0]).hits == ()
