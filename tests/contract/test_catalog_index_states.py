"""What the index should hold by the catalog, and the results of comparing the two, on each database."""

import pytest
from sqlalchemy import Engine

from ingest.storage.documents.catalog import Catalog
from ingest.storage.documents.records import VersionState
from ingest.storage.generations.index_states import IndexStates
from ingest.storage.generations.records import GenerationState, IndexState, ReplicaStatus
from ingest.storage.generations.store import GenerationRecords
from ingest.storage.jobs.jobs import Jobs
from ingest.storage.queue.records import Failure, JobKind
from tests.support.catalogs import arrive, embedded, finish_ingest, searchable


@pytest.fixture
def states(engine: Engine) -> IndexStates:
    GenerationRecords(engine).ensure_first_generation("old/8", "words", 8)
    return IndexStates(engine)


def test_versions_that_searches_find_are_listed_with_what_the_index_must_hold(
    catalog: Catalog, jobs: Jobs, states: IndexStates
) -> None:
    arrive(catalog, "accepted")  # nothing was made of it yet
    jobs.fail(jobs.claim(JobKind.INGEST)[0], Failure("document_damaged", "It is damaged."))
    arrive(catalog, "words alone")
    by_words = searchable(jobs, chunks=3).version_id
    (unembedded,) = states.list_searchable_versions()
    assert (unembedded.id, unembedded.chunks, unembedded.needs_vectors) == (by_words, 3, False)
    embedded(jobs)
    (ready,) = states.list_searchable_versions()
    assert (ready.needs_vectors, ready.is_moving) == (True, False)
    jobs.requeue_ingest(by_words)
    (again,) = states.list_searchable_versions()
    assert again.is_moving
    finish_ingest(jobs, jobs.claim(JobKind.INGEST)[0], chunks=4)
    (written,) = states.list_searchable_versions()
    assert (written.chunks, written.needs_vectors, written.is_moving) == (4, False, False)


def test_deleted_staged_and_empty_versions_are_not_listed(catalog: Catalog, jobs: Jobs, states: IndexStates) -> None:
    gone, empty = arrive(catalog, "gone"), arrive(catalog, "empty")
    for chunks in (2, 0):
        finish_ingest(jobs, jobs.claim(JobKind.INGEST)[0], chunks=chunks)
    catalog.delete_document("ann", gone.id)
    assert catalog.load_version(empty.version.id).state is VersionState.SEARCHABLE
    assert states.list_searchable_versions() == []
    assert states.select_searchable_versions([gone.version.id, empty.version.id]) == {}


def test_a_version_whose_embedding_failed_must_have_its_words(
    catalog: Catalog, jobs: Jobs, states: IndexStates
) -> None:
    arrive(catalog, "a")
    job = searchable(jobs)
    jobs.fail(jobs.claim(JobKind.EMBED)[0], Failure("encoder_failed", "It failed."))
    (version,) = states.list_searchable_versions()
    assert (version.id, version.needs_vectors) == (job.version_id, False)


def test_a_sample_is_of_one_tenant_or_of_all_and_no_larger_than_asked(
    catalog: Catalog, jobs: Jobs, states: IndexStates
) -> None:
    for content, tenant in (("a", "ann"), ("b", "ann"), ("c", "bob")):
        arrive(catalog, content, tenant=tenant)
        searchable(jobs)
    assert {version.tenant_id for version in states.sample_versions(10)} == {"ann", "bob"}
    assert [version.tenant_id for version in states.sample_versions(10, tenant_id="bob")] == ["bob"]
    assert len(states.sample_versions(2)) == 2
    assert set(
        states.select_searchable_versions([version.id for version in states.list_searchable_versions()[:2]])
    ) == {version.id for version in states.list_searchable_versions()[:2]}


def test_a_result_is_read_as_it_was_recorded_and_a_mark_stays(states: IndexStates) -> None:
    assert states.load_state(1) == IndexState(1)
    states.record_state(IndexState(1, is_marked=True, versions=10, missing=1, requeued=1))
    states.record_state(IndexState(1, versions=10, missing=10, requeued=2, lost="It is gone."))
    found = states.load_state(1)
    assert (found.is_marked, found.versions, found.missing, found.requeued) == (True, 10, 10, 3)
    assert found.lost == "It is gone."
    assert found.checked_at is not None
    states.record_state(IndexState(1, is_marked=True, versions=10))
    assert (states.load_state(1).lost, states.load_state(1).requeued) == ("", 3)


def test_a_loss_is_told_with_the_generation_and_ends_with_it(engine: Engine, states: IndexStates) -> None:
    generations = GenerationRecords(engine)
    states.record_state(IndexState(1, is_marked=True, lost="It is gone."))
    assert (
        [each.lost for each in generations.list_live_generations()]
        == [generations.load_active_generation().lost]
        == ["It is gone."]
    )
    generations.start_generation("new/8", "words", 8)
    generations.activate(2)
    assert {each.id: (each.state, each.lost) for each in generations.list_generations()} == {
        1: (GenerationState.DISCARDED, "It is gone."),
        2: (GenerationState.ACTIVE, ""),
    }


def test_a_generation_that_is_revived_has_no_result_any_more(engine: Engine, states: IndexStates) -> None:
    generations = GenerationRecords(engine)
    states.record_state(IndexState(1, is_marked=True))
    generations.start_generation("new/8", "words", 8)
    generations.activate(2)
    generations.resume_building(1)
    assert states.load_state(1) == IndexState(1)
    states.record_state(IndexState(2, is_marked=True))
    generations.resume_building(1)
    assert states.load_state(2).is_marked


def test_copies_are_recorded_by_generation_and_forgotten_with_it(states: IndexStates) -> None:
    assert states.list_replica_states() == []
    states.record_replica_states([ReplicaStatus(1, 6, 4, "Short.", ("node 3",)), ReplicaStatus(2, 6, 0, "All.")])
    assert states.list_replica_states() == [
        ReplicaStatus(1, 6, 4, "Short.", ("node 3",)),
        ReplicaStatus(2, 6, 0, "All."),
    ]
    states.record_replica_states([ReplicaStatus(2, 6, 1, "Short.")])
    assert states.list_replica_states() == [ReplicaStatus(2, 6, 1, "Short.")]
    states.record_replica_states([])
    assert states.list_replica_states() == []
