"""When an index counts as lost, when its versions are indexed again, and when it says nothing at all."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from ingest.storage.documents.records import Document, VersionState
from ingest.storage.generations.records import IndexState, SearchableVersion
from ingest.storage.queue.records import JobKind
from retrieval import build
from retrieval.errors import IndexLostError, IndexUnavailableError
from retrieval.index.edge.qdrant_edge_index import QdrantEdgeIndex
from retrieval.index.generations import IndexPresence
from tests.support.generations_fixture import SHIPS, GenerationsFixture
from tests.support.installations import OURS
from tests.support.worker_fixture import no
from workers.upkeep.index_checks import IndexChecks, IndexComparison, build_compared_state

MARKED = IndexState(1, is_marked=True)
UNKNOWN = IndexState(1)


def versions(
    count: int, *, is_moving: bool = False, settled_at: float = 0.0, prefix: str = "v"
) -> list[SearchableVersion]:
    return [SearchableVersion(f"{prefix}{n}", "ann", 2, True, is_moving, settled_at) for n in range(count)]


def test_one_version_in_a_hundred_may_be_missing_and_two_may_not() -> None:
    hundred = versions(100)
    one = build_compared_state(MARKED, is_marked=True, comparison=IndexComparison(hundred, hundred[:1]))
    assert (one.lost, one.versions, one.missing) == ("", 100, 1)
    two = build_compared_state(MARKED, is_marked=True, comparison=IndexComparison(hundred, hundred[:2]))
    assert "2 of 100 documents" in two.lost


def test_versions_that_are_about_to_be_indexed_again_count_on_neither_side() -> None:
    resting, moving = versions(50), versions(50, is_moving=True, prefix="m")
    found = build_compared_state(MARKED, is_marked=True, comparison=IndexComparison([*resting, *moving], moving))
    assert (found.lost, found.versions, found.missing) == ("", 50, 0)


def test_an_index_without_its_mark_is_lost_however_few_versions_it_lacks() -> None:
    thousand = versions(1_000)
    found = build_compared_state(MARKED, is_marked=False, comparison=IndexComparison(thousand, thousand[:1]))
    assert "removed or replaced" in found.lost
    moving = versions(1, is_moving=True)
    assert build_compared_state(MARKED, is_marked=False, comparison=IndexComparison(moving, moving)).lost


def test_an_index_without_its_mark_that_has_everything_gets_it_again() -> None:
    found = build_compared_state(MARKED, is_marked=False, comparison=IndexComparison(versions(10), []))
    assert (found.lost, found.is_marked) == ("", True)


def test_an_index_of_an_earlier_release_is_adopted_if_it_agrees_and_lost_if_not() -> None:
    ten = versions(10)
    adopted = build_compared_state(UNKNOWN, is_marked=False, comparison=IndexComparison(ten, []))
    assert (adopted.lost, adopted.is_marked) == ("", True)
    refused = build_compared_state(UNKNOWN, is_marked=False, comparison=IndexComparison(ten, ten))
    assert refused.lost
    assert not refused.is_marked


def test_a_new_installation_is_marked_and_one_whose_versions_all_move_is_not_judged() -> None:
    assert build_compared_state(UNKNOWN, is_marked=False, comparison=IndexComparison([], [])).is_marked
    moving = versions(3, is_moving=True)
    undecided = build_compared_state(UNKNOWN, is_marked=False, comparison=IndexComparison(moving, moving))
    assert (undecided.lost, undecided.is_marked) == ("", False)


def test_after_a_crash_the_last_writes_may_be_missing_and_nothing_older() -> None:
    old, last = versions(5, settled_at=1_000.0), versions(5, settled_at=9_000.0, prefix="l")
    everything = [*old, *last]
    crashed = build_compared_state(
        MARKED, is_marked=True, comparison=IndexComparison(everything, last), after_crash=True
    )
    assert (crashed.lost, crashed.missing) == ("", 5)
    assert build_compared_state(MARKED, is_marked=True, comparison=IndexComparison(everything, last)).lost
    assert build_compared_state(
        MARKED, is_marked=True, comparison=IndexComparison(everything, [old[0], *last]), after_crash=True
    ).lost
    assert build_compared_state(
        MARKED, is_marked=False, comparison=IndexComparison(everything, last), after_crash=True
    ).lost


@pytest.fixture
def at(tmp_path: Path) -> Iterator[GenerationsFixture]:
    made = GenerationsFixture(tmp_path, build.build_embedded_store(tmp_path, OURS))
    yield made
    made.close()


def fill(at: GenerationsFixture, count: int) -> list[Document]:
    documents = [at.upload(f"# {n}\n\nWords of document number {n}.", f"{n}.md") for n in range(count)]
    at.work_off()
    return documents


def lose(at: GenerationsFixture, *documents: Document) -> None:
    """Remove the chunks of documents from the active index, and leave the catalog as it is."""
    with at.open.use_index(at.records.load_active_generation().id) as index:
        for document in documents:
            assert index.delete_version("ann", document.version.id)


def test_what_is_missing_is_indexed_again_counted_and_found(at: GenerationsFixture) -> None:
    documents = fill(at, 100)
    at.checks.check_index()
    lose(at, documents[7])
    found = at.checks.check_index()
    assert (found.versions, found.missing, found.requeued, found.lost) == (100, 1, 1, "")
    assert at.checks.check_index().missing == 0  # it waits to be indexed again, and is not queued twice
    at.work_off()
    assert at.checks.check_index().missing == 0
    assert at.states.load_state(1).requeued == 1
    assert at.verify().is_consistent
    assert documents[7].id in at.found("document number 7")


def test_a_version_without_its_vectors_is_missing_too(at: GenerationsFixture) -> None:
    documents = fill(at, 3)
    with at.open.use_index(1) as index:
        points = list(index.iter_version_chunks("ann", documents[0].version.id))
        index.delete_version("ann", documents[0].version.id)
        index.upsert_chunks(points, [at.sparse.encode_document("words") for _ in points])
    assert "1 of 3" in at.checks.inspect_index().lost


def test_a_loss_refuses_searches_and_a_rebuild_serves_them_again_without_a_restart(at: GenerationsFixture) -> None:
    documents = fill(at, 4)
    at.checks.check_index()
    lose(at, *documents[:2])
    assert at.checks.check_index().lost
    with pytest.raises(IndexLostError, match=r"2 of 4 documents.*leadline index rebuild"):
        at.found("document")
    with pytest.raises(IndexLostError):
        at.open.require_ready()
    at.switcher.rebuild_index(at.encoders.choices[0], at.sparse.fingerprint)
    assert len(at.found("document", top_k=4)) == 4
    at.open.require_ready()
    assert at.checks.check_index().lost == ""
    assert at.verify().is_consistent
    assert at.records.list_discarded_ids() == [1]  # nobody can go back to it
    at.open.remove_discarded_indexes()
    assert at.store.check_presence(1) is IndexPresence.ABSENT


def test_documents_wait_for_a_lost_index_to_be_made_again_and_none_fails(at: GenerationsFixture) -> None:
    documents = fill(at, 2)
    at.checks.check_index()
    embedding = at.upload(SHIPS, "ships.md")
    (job,) = at.jobs.claim(JobKind.INGEST)
    at.ingest.run(job, no)
    lose(at, *documents, embedding)
    assert at.checks.check_index().lost
    (claimed,) = at.jobs.claim(JobKind.EMBED)
    with pytest.raises(IndexLostError):
        at.embed.run([claimed], no)
    at.jobs.release_job(claimed)
    at.switcher.rebuild_index(at.encoders.choices[0], at.sparse.fingerprint)
    at.work_off()
    assert at.state(embedding) is VersionState.READY
    assert at.verify().is_consistent


def test_a_search_without_hits_finds_the_loss_and_looks_seldom(at: GenerationsFixture) -> None:
    documents = fill(at, 3)
    at.checks.check_index()
    lose(at, *documents)
    with pytest.raises(IndexLostError, match="3 of 3 documents"):
        at.found("document")
    at.states.record_state(replace(at.states.load_state(1), requeued=0, lost=""))  # as if nobody had noticed
    assert at.found("document") == []  # the last look was a moment ago
    at.checked_at += 3_600.0
    with pytest.raises(IndexLostError):
        at.found("document")


def test_a_search_without_hits_of_another_tenant_says_nothing(at: GenerationsFixture) -> None:
    fill(at, 3)
    at.checks.check_index()
    at.checks.check_empty_search("bob")
    assert at.states.load_state(1).lost == ""


def test_deletions_replacements_and_moves_are_no_loss(at: GenerationsFixture) -> None:
    documents = fill(at, 6)
    at.checks.check_index()
    at.deleter.delete_document("ann", documents[0].id)
    at.replace(documents[1], "# New\n\nOther words.")
    at.catalog.cancel_latest_version("ann", at.upload("# C\n\nCancelled.", "c.md").id)
    at.begin("hashing-32")
    assert at.checks.check_index().lost == ""
    at.work_off()
    assert at.checks.check_index().lost == ""
    at.build()
    at.records.activate(2)
    found = at.checks.check_index()
    assert (found.generation, found.versions, found.missing, found.lost) == (2, 5, 0, "")
    assert at.store.check_presence(2) is IndexPresence.MARKED
    at.switcher.roll_back()
    assert at.checks.check_index().lost == ""


def test_a_document_that_is_deleted_during_a_comparison_is_not_missing(
    at: GenerationsFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    documents = fill(at, 3)
    at.checks.check_index()
    count_each = QdrantEdgeIndex.count_chunks_of_versions

    def delete_first(index: QdrantEdgeIndex, versions: Sequence[tuple[str, str]], **more: bool) -> dict[str, int]:
        at.deleter.delete_document("ann", documents[0].id)
        return count_each(index, versions, **more)

    monkeypatch.setattr(QdrantEdgeIndex, "count_chunks_of_versions", delete_first)
    found = at.checks.check_index()
    assert (found.missing, found.lost) == (0, "")


def test_a_generation_that_is_left_during_a_check_is_not_judged(
    at: GenerationsFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    documents = fill(at, 2)
    lose(at, *documents)
    presence = at.store.check_presence

    def switch_first(generation_id: int) -> IndexPresence:
        monkeypatch.undo()
        at.begin("hashing-32")
        at.build()
        at.records.activate(2)
        return presence(generation_id)

    monkeypatch.setattr(at.store, "check_presence", switch_first)
    at.checks.check_index()
    assert at.states.load_state(1).checked_at is None
    assert at.records.list_discarded_ids() == []  # nothing was recorded that would make the way back impossible


def test_a_generation_that_was_kept_is_judged_anew_when_it_comes_back(at: GenerationsFixture) -> None:
    fill(at, 3)
    at.checks.check_index()
    at.begin("hashing-32")
    at.build()
    at.records.activate(2)
    at.now += 10.0
    at.open.require_ready()  # follows
    with at.open._lock:
        index = at.open._indexes.pop(1)
    index.close()
    at.store.remove_index(1)  # while nobody searched it
    at.switcher.roll_back()
    assert at.checks.check_index().lost == ""
    assert at.verify().is_consistent


def test_an_index_that_cannot_be_asked_is_not_judged(at: GenerationsFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(at, 2)
    at.checks.check_index()
    at_first = at.states.load_state(1).checked_at

    def away(generation_id: int) -> IndexPresence:
        raise IndexUnavailableError("The vector server does not answer.")

    monkeypatch.setattr(at.store, "check_presence", away)
    at.checks.check_opened_index(after_crash=True)
    at.checks.check_empty_search("ann")
    with pytest.raises(IndexUnavailableError):
        at.checks.check_index()
    assert at.states.load_state(1).checked_at == at_first


def test_after_a_crash_staged_versions_are_indexed_again_too(at: GenerationsFixture) -> None:
    (document,) = fill(at, 1)
    at.checks.check_index()
    at.replace(document, "# Second\n\nThe second version.")
    (job,) = at.jobs.claim(JobKind.INGEST)
    at.ingest.run(job, no)
    with at.open.use_index(1) as index:
        index.delete_version("ann", job.version_id)
    checks = IndexChecks(*at.check_parts, pause=lambda: None)
    checks.check_opened_index(after_crash=True)
    (again,) = at.jobs.claim(JobKind.INGEST)
    at.ingest.run(again, no)
    at.work_off()
    assert at.state(document) is VersionState.READY
    assert at.verify().is_consistent
