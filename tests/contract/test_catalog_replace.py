"""Replacing a document's content: staged beside the old, swapped in one commit, or not at all."""

from functools import partial

import pytest

from ingest.storage.documents.catalog import AcceptedUpload, Catalog
from ingest.storage.documents.records import Document, EmbedReport, VersionState
from ingest.storage.errors import (
    DocumentNotFoundError,
    DocumentStateError,
    IncompleteVersionError,
    LeaseLostError,
    PreconditionFailedError,
)
from ingest.storage.jobs.jobs import Jobs
from ingest.storage.queue.records import Failure, Job, JobKind
from tests.support.catalogs import accept, arrival, arrive, at_once, embedded, finish_ingest, searchable

REASON = Failure("parser_limit", "Too slow.")


def ready(catalog: Catalog, jobs: Jobs, content: str = "a") -> Document:
    arrive(catalog, content)
    searchable(jobs)
    embedded(jobs)
    return next(document for document in catalog.list_documents("ann") if document.name == f"{content}.txt")


def replace(
    catalog: Catalog, document: Document, content: str, *, tag: str | None = None, tenant: str = "ann"
) -> AcceptedUpload:
    return catalog.replace_document(arrival(content, tenant=tenant), document.id, None if tag is None else {tag})


def stage(jobs: Jobs) -> Job:
    """Carry the next ingest to where its embedding waits, and claim that."""
    searchable(jobs)
    (embed,) = jobs.claim(JobKind.EMBED)
    return embed


def shown(catalog: Catalog, *versions: str) -> list[str]:
    return list(catalog.find_visible_versions("ann", versions))


def test_the_old_content_is_searched_until_the_new_one_is_ready_and_then_that(catalog: Catalog, jobs: Jobs) -> None:
    document = ready(catalog, jobs)
    old = document.version.id
    accepted = replace(catalog, document, "b", tag=old)
    new = accepted.document.version.id
    assert (accepted.created, accepted.document.id) == (True, document.id)
    (ingest,) = jobs.claim(JobKind.INGEST)
    jobs.record_progress(ingest, VersionState.INDEXING, chunks=2)
    assert (shown(catalog, old, new), catalog.list_hidden_versions("ann")) == ([old], [new])
    finish_ingest(jobs, ingest, title="New title", pages=None, characters=10, chunks=2)
    (embed,) = jobs.claim(JobKind.EMBED)
    staged = catalog.load_document("ann", document.id)
    assert (staged.version.state, staged.active_version_id) == (VersionState.EMBEDDING, old)
    assert (staged.name, staged.title) == ("a.txt", "Title")
    assert (shown(catalog, old, new), catalog.list_hidden_versions("ann")) == ([old], [new])
    jobs.finish_embed([EmbedReport(embed, 12, chunks_reused=1, chunks_indexed=2)])
    done = catalog.load_document("ann", document.id)
    assert (done.version.state, done.active_version_id) == (VersionState.READY, new)
    assert (done.name, done.title, done.version.chunks_reused) == ("b.txt", "New title", 1)
    assert (shown(catalog, old, new), catalog.list_hidden_versions("ann")) == ([new], [old])
    assert catalog.load_version(old).state is VersionState.RETIRED


def test_a_staged_version_that_is_tried_again_is_hidden_in_every_stage(catalog: Catalog, jobs: Jobs) -> None:
    document = ready(catalog, jobs)
    new = replace(catalog, document, "b").document.version.id
    (ingest,) = jobs.claim(JobKind.INGEST)
    jobs.record_progress(ingest, VersionState.INDEXING, chunks=2)
    jobs.release_job(ingest)
    (ingest,) = jobs.claim(JobKind.INGEST)
    for state in (VersionState.PARSING, VersionState.CHUNKING, VersionState.INDEXING, VersionState.EMBEDDING):
        jobs.record_progress(ingest, state)
        assert catalog.list_hidden_versions("ann") == [new]


def test_what_is_replaced_is_collected_but_not_under_its_readers(catalog: Catalog, jobs: Jobs) -> None:
    document = ready(catalog, jobs)
    replace(catalog, document, "b")
    searchable(jobs)
    embedded(jobs)
    assert jobs.claim(JobKind.COLLECT) == []
    assert jobs.count_unfinished_jobs() == {JobKind.COLLECT: 1}
    leaving = catalog.find_removable_version(document.version.id)
    assert leaving is not None
    assert leaving.state is VersionState.RETIRED


def test_only_the_latest_version_can_be_named_by_who_replaces_it(catalog: Catalog, jobs: Jobs) -> None:
    document = ready(catalog, jobs)
    first = document.version.id
    second = replace(catalog, document, "b", tag=first).document.version.id
    with pytest.raises(PreconditionFailedError, match=second):
        replace(catalog, document, "c", tag=first)
    assert catalog.load_document("ann", document.id).version.id == second
    assert replace(catalog, document, "c", tag=second).created


def test_another_tenants_document_cannot_be_replaced(catalog: Catalog, jobs: Jobs) -> None:
    document = ready(catalog, jobs)
    with pytest.raises(DocumentNotFoundError):
        replace(catalog, document, "b", tenant="bob")
    with pytest.raises(DocumentNotFoundError):
        catalog.replace_document(arrival("b"), "unknown", None)


def test_the_same_content_as_now_changes_nothing(catalog: Catalog, jobs: Jobs) -> None:
    document = ready(catalog, jobs)
    again = replace(catalog, document, "a")
    assert (again.created, again.document) == (False, document)
    staged = replace(catalog, document, "b").document
    assert replace(catalog, document, "b") == AcceptedUpload(staged, created=False)
    assert len(jobs.claim(JobKind.INGEST, limit=5)) == 1


def test_returning_to_the_content_that_is_searched_ends_its_replacement(catalog: Catalog, jobs: Jobs) -> None:
    document = ready(catalog, jobs)
    staged = replace(catalog, document, "b").document.version.id
    back = replace(catalog, document, "a", tag=staged)
    assert (back.created, back.document) == (False, document)
    assert jobs.claim(JobKind.INGEST) == []
    assert catalog.load_version(staged).state is VersionState.CANCELLED


def test_a_failed_replacement_leaves_the_old_content_and_shows_why(catalog: Catalog, jobs: Jobs) -> None:
    document = ready(catalog, jobs)
    old = document.version.id
    new = replace(catalog, document, "b").document.version.id
    (ingest,) = jobs.claim(JobKind.INGEST)
    jobs.record_progress(ingest, VersionState.INDEXING, chunks=2)
    jobs.fail(ingest, REASON)
    after = catalog.load_document("ann", document.id)
    assert (after.version.id, after.version.failure, after.active_version_id) == (new, REASON, old)
    assert (shown(catalog, old, new), after.name) == ([old], "a.txt")
    assert [job.version_id for job in jobs.claim(JobKind.COLLECT)] == [new]
    assert replace(catalog, document, "b", tag=new).created
    searchable(jobs)
    embedded(jobs)
    assert shown(catalog, old, new) == []
    assert catalog.load_document("ann", document.id).version.state is VersionState.READY


def test_a_second_replacement_takes_the_place_of_the_first(catalog: Catalog, jobs: Jobs) -> None:
    document = ready(catalog, jobs)
    old = document.version.id
    first = replace(catalog, document, "b").document.version.id
    embed = stage(jobs)
    second = replace(catalog, document, "c").document.version.id
    assert catalog.load_version(first).state is VersionState.CANCELLED
    assert jobs.finish_embed([EmbedReport(embed, 1, chunks_indexed=2)]) == [embed]
    assert shown(catalog, old, first, second) == [old]
    leaving = catalog.find_removable_version(first)
    assert leaving is not None
    searchable(jobs)
    embedded(jobs)
    assert shown(catalog, old, first, second) == [second]


def test_a_document_replaced_before_it_was_searchable_is_found_as_soon_as_it_is(catalog: Catalog, jobs: Jobs) -> None:
    document = arrive(catalog)
    first = document.version.id
    replaced = replace(catalog, document, "b").document
    assert (catalog.load_version(first).state, replaced.name) == (VersionState.CANCELLED, "b.txt")
    job = searchable(jobs)
    assert job.version_id == replaced.version.id
    assert shown(catalog, first, replaced.version.id) == [replaced.version.id]
    assert catalog.load_document("ann", document.id).version.state is VersionState.SEARCHABLE


def test_the_embedding_of_the_old_content_goes_on_while_the_new_one_is_made(catalog: Catalog, jobs: Jobs) -> None:
    document = arrive(catalog)
    searchable(jobs)
    (embed,) = jobs.claim(JobKind.EMBED)
    replace(catalog, document, "b")
    assert jobs.finish_embed([EmbedReport(embed, 1)]) == []
    assert catalog.load_version(document.version.id).state is VersionState.READY


@pytest.mark.parametrize("indexed", [None, 1, 3])
def test_a_replacement_that_the_index_has_not_all_of_is_not_swapped_in(
    indexed: int | None, catalog: Catalog, jobs: Jobs
) -> None:
    document = ready(catalog, jobs)
    new = replace(catalog, document, "b").document.version.id
    embed = stage(jobs)
    with pytest.raises(IncompleteVersionError):
        jobs.finish_embed([EmbedReport(embed, 1, chunks_indexed=indexed)])
    assert shown(catalog, document.version.id, new) == [document.version.id]
    assert catalog.load_version(document.version.id).state is VersionState.READY
    jobs.require_lease(embed)


def test_content_that_comes_back_is_a_new_version(catalog: Catalog, jobs: Jobs) -> None:
    document = ready(catalog, jobs)
    seen = [document.version.id]
    for content in "baba":
        seen.append(replace(catalog, document, content).document.version.id)
        searchable(jobs)
        embedded(jobs)
    assert len(set(seen)) == 5
    assert shown(catalog, *seen) == [seen[-1]]


def test_bytes_belong_to_the_document_that_has_them_now(catalog: Catalog, jobs: Jobs) -> None:
    document = ready(catalog, jobs)
    replace(catalog, document, "b")
    assert accept(catalog, "b").document.id == document.id
    other = accept(catalog, "a")
    assert other.created
    assert other.document.id != document.id
    assert accept(catalog, "a").document.id == other.document.id


def test_a_cancelled_replacement_was_never_sent(catalog: Catalog, jobs: Jobs) -> None:
    document = ready(catalog, jobs)
    staged = replace(catalog, document, "b").document.version.id
    embed = stage(jobs)
    assert catalog.cancel_latest_version("ann", document.id) == document
    assert jobs.finish_embed([EmbedReport(embed, 1, chunks_indexed=2)]) == [embed]
    assert shown(catalog, document.version.id, staged) == [document.version.id]
    assert replace(catalog, document, "b", tag=document.version.id).created


def test_a_deleted_document_takes_its_replacement_along(catalog: Catalog, jobs: Jobs) -> None:
    document = ready(catalog, jobs)
    staged = replace(catalog, document, "b").document.version.id
    embed = stage(jobs)
    catalog.delete_document("ann", document.id)
    assert jobs.finish_embed([EmbedReport(embed, 1, chunks_indexed=2)]) == [embed]
    assert shown(catalog, document.version.id, staged) == []
    assert {catalog.load_version(v).state for v in (document.version.id, staged)} == {VersionState.DELETED}
    with pytest.raises(DocumentNotFoundError):
        replace(catalog, document, "c")


def test_of_two_who_replace_what_both_have_seen_one_is_refused(catalog: Catalog, jobs: Jobs) -> None:
    for number in range(15):
        document = ready(catalog, jobs, f"{number}")
        ends = at_once(
            *[partial(replace, catalog, document, f"{number}-{n}", tag=document.version.id) for n in range(3)]
        )
        (won,) = [end for end in ends if isinstance(end, AcceptedUpload)]
        assert sum(isinstance(end, PreconditionFailedError) for end in ends) == 2, ends
        assert catalog.load_document("ann", document.id).version.id == won.document.version.id
        (ingest,) = jobs.claim(JobKind.INGEST, limit=5)
        jobs.fail(ingest, REASON)


def test_a_swap_that_meets_a_second_replacement_and_a_cancel_leaves_one_version_active(
    catalog: Catalog, jobs: Jobs
) -> None:
    for number in range(15):
        document = ready(catalog, jobs, f"{number}")
        first = replace(catalog, document, f"{number}-1").document.version.id
        embed = stage(jobs)
        swapped, second, cancelled = at_once(
            partial(jobs.finish_embed, [EmbedReport(embed, 1, chunks_indexed=2)]),
            partial(replace, catalog, document, f"{number}-2"),
            partial(catalog.cancel_latest_version, "ann", document.id),
        )
        assert swapped in ([], [embed])
        assert isinstance(second, AcceptedUpload), second
        assert isinstance(cancelled, Document | DocumentStateError), cancelled
        active = first if swapped == [] else document.version.id
        known = [document.version.id, first, second.document.version.id]
        assert shown(catalog, *known) == [active]
        after = catalog.load_document("ann", document.id)
        assert after.active_version_id == active
        # A version that is neither active nor the latest is gone for good.
        gone = set(known) - {active, after.version.id}
        assert all(catalog.find_removable_version(version) is not None for version in gone)
        for ingest in jobs.claim(JobKind.INGEST, limit=5):
            jobs.fail(ingest, REASON)
        assert jobs.claim(JobKind.EMBED, limit=5) == []


def test_a_document_deleted_while_its_replacement_is_swapped_in_is_deleted(catalog: Catalog, jobs: Jobs) -> None:
    for number in range(15):
        document = ready(catalog, jobs, f"{number}")
        staged = replace(catalog, document, f"{number}-1").document.version.id
        embed = stage(jobs)
        swapped, deleted, moved = at_once(
            partial(jobs.finish_embed, [EmbedReport(embed, 1, chunks_indexed=2)]),
            partial(catalog.delete_document, "ann", document.id),
            partial(jobs.record_progress, embed, VersionState.EMBEDDING, chunks_embedded=1),
        )
        assert swapped in ([], [embed])
        assert not isinstance(deleted, Exception), deleted
        assert moved is None or isinstance(moved, LeaseLostError)
        assert shown(catalog, document.version.id, staged) == []
        assert catalog.load_version(staged).state is VersionState.DELETED
