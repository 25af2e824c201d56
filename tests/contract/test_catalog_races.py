"""Several threads and processes at one catalog: whatever their order, the end is one that some order could have had."""

import multiprocessing
import threading
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import pytest

from ingest.storage.db.database import open_database
from ingest.storage.documents.catalog import AcceptedUpload, Catalog
from ingest.storage.documents.records import EmbedReport, VersionState
from ingest.storage.errors import DocumentNotFoundError, LeaseLostError
from ingest.storage.jobs.jobs import Jobs
from ingest.storage.queue.records import JobKind
from tests.support.catalogs import accept, arrive, at_once, finish_ingest
from tests.support.postgres import disposed

pytestmark = pytest.mark.slow

ROUNDS = 15


def accept_all(url: str, contents: str) -> list[tuple[str, bool]]:
    """In a process of its own: upload each content; ids, and whether this process made the document."""
    with disposed(open_database(url)) as engine:
        catalog = Catalog(engine)
        found = [accept(catalog, content) for content in contents]
    return [(accepted.document.id, accepted.created) for accepted in found]


def claim_all(url: str) -> list[int]:
    """In a process of its own: claim ingest jobs, some at a time, until there are none."""
    claimed: list[int] = []
    with disposed(open_database(url)) as engine:
        jobs = Jobs(engine)
        while found := jobs.claim(JobKind.INGEST, limit=3):
            claimed += [job.id for job in found]
    return claimed


def test_the_same_bytes_at_once_are_one_document(catalog: Catalog) -> None:
    for number in range(ROUNDS):
        ends = at_once(*[partial(accept, catalog, chr(97 + number), blob=f"{number}-{n}") for n in range(4)])
        accepted = [end for end in ends if isinstance(end, AcceptedUpload)]
        assert len(accepted) == 4, ends
        assert len({a.document.id for a in accepted}) == 1
        assert sum(a.created for a in accepted) == 1
    assert len(catalog.list_documents("ann")) == ROUNDS


def test_processes_that_upload_the_same_bytes_make_each_document_once(catalog: Catalog, catalog_url: str) -> None:
    contents = "abcdefghijklmnopqrst"
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        one, two = pool.map(accept_all, [catalog_url] * 2, [contents] * 2)
    assert [identifier for identifier, _ in one] == [identifier for identifier, _ in two]
    assert [a + b for (_, a), (_, b) in zip(one, two, strict=True)] == [1] * len(contents)


def test_a_listing_that_goes_on_after_a_sequence_misses_no_document_that_is_being_uploaded(catalog: Catalog) -> None:
    done = threading.Event()
    seen: list[str] = []

    def follow() -> None:
        last = 0
        while True:
            ended = done.is_set()
            page = catalog.list_documents("ann", after=last, limit=3)
            seen.extend(document.name for document in page)
            last = page[-1].sequence if page else last
            if ended and not page:
                return

    def write(letter: str) -> None:
        for number in range(ROUNDS):
            arrive(catalog, f"{letter}{number}")

    reader = threading.Thread(target=follow)
    reader.start()
    ends = at_once(*[partial(write, letter) for letter in "abcd"])
    done.set()
    reader.join()
    assert ends == [None] * 4
    assert sorted(seen) == sorted(f"{letter}{number}.txt" for letter in "abcd" for number in range(ROUNDS))


def test_no_job_is_claimed_twice_by_threads(catalog: Catalog, jobs: Jobs) -> None:
    made = {arrive(catalog, f"{n}", tenant="ann" if n % 3 else "bob").version.id for n in range(40)}

    def work() -> list[str]:
        claimed: list[str] = []
        while found := jobs.claim(JobKind.INGEST, limit=2):
            claimed += [job.version_id for job in found]
        return claimed

    ends = at_once(*[work] * 4)
    claimed = [version for end in ends if isinstance(end, list) for version in end]
    assert len(claimed) == len(made)
    assert set(claimed) == made


def test_no_job_is_claimed_twice_by_processes(catalog: Catalog, catalog_url: str) -> None:
    for number in range(60):
        arrive(catalog, f"{number}")
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        one, two = pool.map(claim_all, [catalog_url] * 2)
    assert len(one) + len(two) == len({*one, *two}) == 60


def test_of_two_workers_that_end_one_job_one_commits(catalog: Catalog, jobs: Jobs) -> None:
    for number in range(ROUNDS):
        arrive(catalog, f"{number}")
        (job,) = jobs.claim(JobKind.INGEST)
        finish = partial(finish_ingest, jobs, job, chunks=1)
        ends = at_once(finish, finish)
        assert sum(end is None for end in ends) == 1
        assert sum(isinstance(end, LeaseLostError) for end in ends) == 1


def test_a_document_deleted_while_its_ingest_ends_stays_deleted(catalog: Catalog, jobs: Jobs) -> None:
    for number in range(ROUNDS):
        document = arrive(catalog, f"{number}")
        (job,) = jobs.claim(JobKind.INGEST)
        deleted, finished, moved = at_once(
            partial(catalog.delete_document, "ann", document.id),
            partial(finish_ingest, jobs, job, chunks=1),
            partial(jobs.record_progress, job, VersionState.INDEXING, chunks=1),
        )
        assert not isinstance(deleted, Exception), deleted
        assert finished is None or isinstance(finished, LeaseLostError)
        assert moved is None or isinstance(moved, LeaseLostError)
        assert catalog.load_version(document.version.id).state is VersionState.DELETED
        assert catalog.find_visible_versions("ann", [document.version.id]) == {}
        assert jobs.claim(JobKind.EMBED) == []


def test_documents_deleted_while_a_batch_of_them_is_embedded_stay_deleted(catalog: Catalog, jobs: Jobs) -> None:
    for number in range(ROUNDS):
        versions = [arrive(catalog, f"{number}-{n}").version.id for n in range(4)]
        documents = [catalog.load_version(version).document_id for version in versions]
        for job in jobs.claim(JobKind.INGEST, limit=4):
            finish_ingest(jobs, job, chunks=1)
        held = jobs.claim(JobKind.EMBED, limit=4)
        assert len(held) == 4
        *deleted, finished = at_once(
            *[partial(catalog.delete_document, "ann", document) for document in (documents[3], documents[1])],
            partial(jobs.finish_embed, [EmbedReport(job, 1) for job in reversed(held)]),
        )
        assert not any(isinstance(end, Exception) for end in (*deleted, finished)), (deleted, finished)
        states = [catalog.load_version(version).state for version in versions]
        assert states == [VersionState.READY, VersionState.DELETED] * 2


def test_bytes_uploaded_while_their_document_is_deleted_are_there_or_were_there(catalog: Catalog) -> None:
    for number in range(ROUNDS):
        document = arrive(catalog, f"{number}")
        deleted, accepted = at_once(
            partial(catalog.delete_document, "ann", document.id), partial(accept, catalog, f"{number}")
        )
        assert not isinstance(deleted, Exception), deleted
        assert isinstance(accepted, AcceptedUpload), accepted
        if accepted.created:
            assert catalog.load_document("ann", accepted.document.id).version.state is VersionState.ACCEPTED
        else:
            assert accepted.document.id == document.id
            with pytest.raises(DocumentNotFoundError):
                catalog.load_document("ann", document.id)


def test_a_tenant_that_several_make_at_once_is_made_once(catalog: Catalog) -> None:
    ends = at_once(
        *[partial(catalog.ensure_tenant, "eve")] * 4,
    )
    assert ends == [None] * 4
