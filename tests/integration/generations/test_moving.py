"""Moving an index to another encoder and back while documents come and go: the real engine, embedded and served."""

import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from ingest.storage import instrumentation as faultpoints
from ingest.storage.documents.records import Document
from ingest.storage.errors import GenerationChangedError, GenerationStateError
from ingest.storage.generations.records import BuildProgress, Generation, GenerationState
from ingest.storage.queue.records import JobKind
from retrieval import build
from retrieval.encoders.registry import Encoders
from retrieval.errors import IndexMismatchError
from retrieval.index.generations import require_matching_encoders
from retrieval.index.port import SearchScope
from retrieval.search.search import Mode, SearchRequest
from tests.support.books import book
from tests.support.catalogs import wake
from tests.support.encoders import hashing_encoders
from tests.support.fault_points import FAULT_POINTS
from tests.support.generations_fixture import SHIPS, WHALE, GenerationsFixture
from tests.support.installations import OURS
from tests.support.vector_servers import VectorServer
from tests.support.worker_fixture import no
from workers.generations.switcher import GenerationSwitcher, Watch
from workers.job_runner import JobRunner


@pytest.fixture(autouse=True)
def disarmed() -> Iterator[None]:
    yield
    faultpoints.set_fault_point_hook(None)


def moved(at: GenerationsFixture, name: str = "hashing-32") -> None:
    at.switcher.build_generation(at.choice(name), at.sparse.fingerprint)
    at.switcher.switch()


def test_searches_use_the_old_generation_until_the_switch_and_the_new_one_from_there(at: GenerationsFixture) -> None:
    whale, ships = at.ready(WHALE, "w.md"), at.ready(SHIPS, "s.md")
    with at.open.use_active_generation() as made:
        assert (made.id, made.encoder.dimension) == (1, 64)
    at.switcher.build_generation(at.choice("hashing-32"), at.sparse.fingerprint)
    assert at.verify(2).is_consistent
    assert at.found("white whale")[0] == whale.id
    with at.open.use_active_generation() as made:
        assert made.id == 1
    at.switcher.switch()
    assert at.found("three masts")[0] == ships.id
    with at.open.use_active_generation() as made:
        assert (made.id, made.encoder.dimension) == (2, 32)
    assert at.verify().is_consistent


def test_a_switch_adds_what_is_missing_while_documents_go_on_arriving(at: GenerationsFixture) -> None:
    for number in range(4):
        at.ready(book(number, chapters=2), f"{number}.md")
    at.begin("hashing-32")
    worker = JobRunner(at.jobs, at.ingest, at.embed, at.collect, should_stop=no)
    arrived: list[Document] = []
    with ThreadPoolExecutor() as threads:
        switched = threads.submit(at.switcher.switch)
        while not switched.done():
            arrived.append(at.upload(f"{SHIPS}\nThe day {len(arrived)} at sea.\n", f"log-{len(arrived)}.md"))
            worker.run_once(JobKind.INGEST)
            worker.run_once(JobKind.EMBED)
    assert arrived
    assert switched.result().id == at.records.load_active_generation().id == 2
    at.work_off()
    assert at.verify().is_consistent
    with at.open.use_active_generation() as made:
        present = made.index.count_chunks_by_version()
    assert {document.version.id for document in arrived} <= set(present)


def test_a_rollback_has_as_many_rounds_as_documents_go_on_arriving(at: GenerationsFixture) -> None:
    at.ready(WHALE)
    moved(at)
    rounds = 0

    def build(_: Watch) -> None:
        nonlocal rounds
        at.build()
        rounds += 1
        if rounds < 25:
            at.ready(f"{SHIPS}\nThe day {rounds} at sea.\n", f"log-{rounds}.md")

    returned = GenerationSwitcher(at.records, build).roll_back()
    assert (rounds, returned.id, at.records.load_active_generation().id) == (25, 1, 1)
    assert at.verify().is_consistent


def test_a_generation_that_is_discarded_meanwhile_is_not_said_to_be_complete(at: GenerationsFixture) -> None:
    at.ready(WHALE)

    def build(_: Watch) -> None:
        at.records.discard_inactive_generation(allow_unfinished=True)

    switcher = GenerationSwitcher(at.records, build)
    with pytest.raises(GenerationStateError, match="Another process discarded generation 2 before it was complete"):
        switcher.build_generation(at.choice("hashing-32"), at.sparse.fingerprint)


def test_a_rollback_that_was_interrupted_is_continued_with_the_same_command(at: GenerationsFixture) -> None:
    at.ready(WHALE)
    moved(at)
    at.ready(SHIPS)
    at.records.resume_building(1)
    with pytest.raises(GenerationStateError, match="Continue the build with `leadline index rollback`"):
        at.records.activate(1)


def test_a_switch_that_would_take_too_long_stops_building_and_says_how_long(at: GenerationsFixture) -> None:
    for number in range(4):
        at.ready(book(number, chapters=2), f"{number}.md")
    at.begin("hashing-32")
    built: list[BuildProgress] = []

    def build(watch: Watch) -> None:
        """Build one version a minute."""
        for minute in range(4):
            at.task.run(at.jobs.claim(JobKind.REEMBED, limit=1), no)
            at.now = 60.0 * (minute + 1)
            built.append(at.records.load_progress())
            watch(built[-1], 0)

    slow = GenerationSwitcher(at.records, build, switch_seconds=30.0, clock=lambda: at.now)
    with pytest.raises(GenerationStateError, match=r"At the current pace, they take .* minutes; a switch may take 30"):
        slow.switch()
    assert (len(built), at.records.load_active_generation().id) == (2, 1)


def test_a_builder_ends_when_another_process_discards_the_generation(at: GenerationsFixture) -> None:
    at.ready(WHALE)
    at.begin("hashing-32")
    at.records.queue_missing_versions()
    assert len(at.jobs.claim(JobKind.REEMBED)) == 1  # another worker holds the only version
    discarded: list[Generation | None] = []

    def discard() -> None:
        assert not discarded, "the builder goes on although the generation is gone"
        discarded.append(at.records.discard_inactive_generation(allow_unfinished=True))

    at.builder.run(no, discard)
    assert [each and each.id for each in discarded] == [2]


def test_a_search_that_began_before_the_switch_ends_on_the_generation_it_began_with(at: GenerationsFixture) -> None:
    at.ready(WHALE)
    at.switcher.build_generation(at.choice("hashing-32"), at.sparse.fingerprint)
    with at.open.use_active_generation() as made:
        query = made.encoder.embed_query("whale")
        at.switcher.switch()
        at.found("whale")  # this process has followed
        assert len(query) == 64
        with at.open.use_active_generation() as now:
            assert now.id == 2
        _, by_dense = made.index.search(SearchScope("ann"), sparse_vector=None, dense_vector=query, limit=5)
        assert len(by_dense) == 1


def test_documents_that_come_change_and_go_meanwhile_are_right_after_the_switch_and_after_the_way_back(
    at: GenerationsFixture,
) -> None:
    kept, changed, gone = (at.ready(book(n, chapters=1), f"{n}.md") for n in range(3))
    at.begin("hashing-32")
    at.records.queue_missing_versions()
    at.builder.run_once()
    during = at.upload(WHALE, "during.md")
    at.replace(changed, book(11, chapters=1), "1.md")
    at.deleter.delete_document("ann", gone.id)
    at.work_off()
    at.build()
    late = at.ready("# Last\n\nOne line that came when all was built.\n", "late.md")
    assert at.switcher.switch().id == 2
    assert at.verify().is_consistent
    assert at.found("white", Mode.BM25)[0] == during.id
    assert at.points_of(gone.id) == {1: 0, 2: 0}

    since = at.ready(SHIPS, "since.md")
    at.replace(kept, book(12, chapters=1), "0.md")
    at.deleter.delete_document("ann", during.id)
    at.work_off()
    assert at.points_of(during.id) == {1: 0, 2: 0}
    assert at.switcher.roll_back().id == 1
    assert at.verify().is_consistent
    assert at.found("wind", Mode.BM25)[0] == since.id
    assert set(at.found("the", Mode.DENSE, top_k=50)) == {kept.id, changed.id, late.id, since.id}
    assert at.switcher.roll_back().id == 1
    assert at.switcher.switch().id == 2
    assert at.verify().is_consistent
    assert at.switcher.switch().id == 2


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_any_order_of_changes_builds_and_switches_ends_in_agreement(  # noqa: C901 - a step each
    at: GenerationsFixture, seed: int
) -> None:
    source = random.Random(seed)
    documents: list[Document] = []
    number = 0

    def upload() -> None:
        documents.append(
            at.upload(f"# Log {seed}.{number}\n\nThe day {number} at sea, and no land in sight.\n", f"{number}.md")
        )

    def replace_one() -> None:
        at.replace(source.choice(documents), f"# Log\n\nWhat {number} said of the day was not so.\n", "r.md")

    def delete_one() -> None:
        at.deleter.delete_document("ann", documents.pop(source.randrange(len(documents))).id)

    def work_some() -> None:
        wake(at.engine)
        for job in at.jobs.claim(JobKind.INGEST):
            at.ingest.run(job, no)
        if jobs := at.jobs.claim(JobKind.EMBED, limit=4):
            at.embed.run(jobs, no)

    def begin() -> None:
        if at.records.find_inactive_generation() is None:
            at.begin("hashing-32" if at.records.load_active_generation().dimension != 32 else "hashing-96")

    def build_some() -> None:
        at.builder.run_once()

    def switch() -> None:
        if (beside := at.records.find_inactive_generation()) is not None:
            (at.switcher.switch if beside.id > at.records.load_active_generation().id else at.switcher.roll_back)()

    def discard() -> None:
        at.records.discard_inactive_generation(allow_unfinished=True)
        at.open.remove_discarded_indexes()

    steps: list[Callable[[], None]] = [upload, upload, work_some, work_some, begin, build_some, switch, discard]
    upload()
    for number in range(1, 40):  # noqa: B007 - the steps use it
        step = source.choice([*steps, replace_one, delete_one] if documents else steps)
        step()
        assert at.records.load_active_generation().state is GenerationState.ACTIVE
    at.work_off()
    assert at.verify().is_consistent
    if (beside := at.records.find_inactive_generation()) is not None:
        at.records.resume_building(beside.id)
        at.build()
        assert at.verify(beside.id).is_consistent
        switch()
        assert at.verify().is_consistent
    with at.open.use_all_indexes() as indexes:
        in_use = {version.id for version in at.records.list_indexable_versions()}
        for index in indexes.values():
            assert set(index.count_chunks_by_version()) <= in_use


def test_a_worker_that_wrote_to_the_generation_that_was_left_does_it_again_in_the_new_one(
    at: GenerationsFixture,
) -> None:
    at.ready(WHALE)
    late = at.upload(SHIPS, "late.md")
    at.switcher.build_generation(at.choice("hashing-32"), at.sparse.fingerprint)
    (job,) = at.jobs.claim(JobKind.INGEST)

    def switch(point: str) -> None:
        if point == "ingest.indexed":
            at.switcher.switch()

    faultpoints.set_fault_point_hook(switch)
    with pytest.raises(GenerationChangedError):
        at.ingest.run(job, no)
    faultpoints.set_fault_point_hook(None)
    at.jobs.release_job(job)
    at.work_off()
    assert at.found("three masts")[0] == late.id
    assert at.verify().is_consistent


@pytest.mark.slow
def test_a_builder_killed_anywhere_leaves_what_the_next_one_completes(at: GenerationsFixture) -> None:
    class Killed(BaseException):
        pass

    at.ready(book(0, chapters=1), "long.md")
    at.ready(WHALE, "short.md")
    points = [point for point in FAULT_POINTS if point.startswith("reembed.")]
    for point in points:

        def die(reached: str, point: str = point) -> None:
            if reached == point:
                faultpoints.set_fault_point_hook(None)
                raise Killed

        at.begin("hashing-32")
        at.records.queue_missing_versions()
        faultpoints.set_fault_point_hook(die)
        with pytest.raises(Killed):
            at.builder.run_once()
        at.jobs.requeue_lost_jobs(include_all_running=True)
        at.build()
        assert at.records.load_progress().is_complete, point
        assert at.verify(at.records.find_inactive_generation().id).is_consistent, point  # type: ignore[union-attr]
        at.records.discard_inactive_generation(allow_unfinished=True)
        at.open.remove_discarded_indexes()


@pytest.mark.slow
def test_a_process_killed_in_the_switch_has_not_switched(at: GenerationsFixture) -> None:
    class Killed(BaseException):
        pass

    def die(point: str) -> None:
        if point == "switch.committing":
            raise Killed

    at.ready(WHALE)
    at.switcher.build_generation(at.choice("hashing-32"), at.sparse.fingerprint)
    faultpoints.set_fault_point_hook(die)
    with pytest.raises(Killed):
        at.switcher.switch()
    faultpoints.set_fault_point_hook(None)
    assert at.records.load_active_generation().id == 1
    assert at.switcher.switch().id == 2
    assert at.verify().is_consistent


def test_a_document_deleted_while_it_is_put_into_a_generation_is_in_none_when_it_counts_as_collected(
    at: GenerationsFixture,
) -> None:
    document = at.ready(book(1, chapters=2))
    for point in ("reembed.writing", "reembed.half_indexed", "reembed.encoded", "reembed.written"):
        at.begin("hashing-32")
        at.records.queue_missing_versions()
        claimed = at.jobs.claim(JobKind.REEMBED)

        def delete(reached: str, point: str = point, document: Document = document) -> None:
            if reached == point:
                faultpoints.set_fault_point_hook(None)
                at.deleter.delete_document("ann", document.id)

        faultpoints.set_fault_point_hook(delete)
        with pytest.raises(Exception):  # noqa: B017 - whichever it is that finds it gone
            at.task.run(claimed, no)
        at.work_off()
        assert at.catalog.load_deletion("ann", document.id).collected
        assert set(at.points_of(document.id).values()) == {0}, point
        at.records.discard_inactive_generation(allow_unfinished=True)
        at.open.remove_discarded_indexes()
        document = at.ready(book(1, chapters=2) + point)


def test_what_was_lost_on_the_way_is_put_in_again_before_the_way_back(at: GenerationsFixture) -> None:
    document = at.ready(book(3, chapters=1))
    moved(at)
    with at.open.use_generation(1) as old:
        assert old.index.delete_version("ann", document.version.id) > 0
    at.builder.run_once()
    assert at.switcher.roll_back().id == 1
    assert at.verify().is_consistent


def test_a_process_follows_a_switch_that_another_one_made(tmp_path: Path, double: VectorServer) -> None:
    store = build.build_server_store(double.url, OURS)
    mine, theirs = GenerationsFixture(tmp_path, store), GenerationsFixture(tmp_path, store)
    whale = mine.ready(WHALE)
    assert theirs.found("white whale") == [whale.id]
    moved(mine)
    mine.records.discard_inactive_generation(allow_unfinished=False)
    mine.open.remove_discarded_indexes()
    # Within the second in which it does not look, it meets a generation that is gone.
    assert theirs.searcher.search(SearchRequest("ann", "white whale")).hits[0].passage.document_id == whale.id
    with theirs.open.use_active_generation() as made:
        assert made.id == 2
    with pytest.raises(GenerationChangedError, match="discarded"), theirs.open.use_generation(1):
        pass
    late = theirs.upload(SHIPS, "s.md")
    theirs.work_off()
    assert mine.found("three masts")[0] == late.id
    for at in (mine, theirs):
        at.close()
    store.remove_index(2)


def test_a_process_without_the_new_encoder_goes_on_with_the_old_generation_and_is_not_ready(
    tmp_path: Path, double: VectorServer
) -> None:
    store = build.build_server_store(double.url, OURS)
    mine, poor = GenerationsFixture(tmp_path, store), GenerationsFixture(tmp_path, store)
    poor.open._encoders = Encoders(hashing_encoders().choices[:1])
    whale = mine.ready(WHALE)
    assert poor.found("white whale") == [whale.id]
    poor.open.require_ready()
    moved(mine)
    assert poor.found("white whale") == [whale.id]
    with pytest.raises(Exception, match="has no encoder"):
        poor.open.require_ready()
    mine.switcher.roll_back()
    assert poor.found("white whale") == [whale.id]
    poor.open.require_ready()
    for at in (mine, poor):
        at.close()
    for generation in (1, 2):
        store.remove_index(generation)


def test_refusals_name_the_next_step(at: GenerationsFixture) -> None:
    for n in range(4):
        at.upload(f"# Log {n}\n\nThe day {n} at sea.\n", f"{n}.md")
    at.work_off()
    with pytest.raises(GenerationStateError, match="reembed --encoder"):
        at.switcher.switch()
    with pytest.raises(GenerationStateError, match="index show"):
        at.switcher.roll_back()
    with pytest.raises(GenerationStateError, match="index rebuild"):
        at.switcher.build_generation(at.choice("hashing"), at.sparse.fingerprint)
    with pytest.raises(GenerationStateError, match="reembed --encoder NAME"):
        at.switcher.build_generation(None, at.sparse.fingerprint)
    at.begin("hashing-32")
    with pytest.raises(GenerationStateError, match=r"Generation 2 is 0 % built: 4 of 4 .*index reembed"):
        at.records.activate(2)
    with pytest.raises(GenerationStateError, match="discard --unfinished"):
        at.switcher.roll_back()
    assert at.switcher.build_generation(None, at.sparse.fingerprint).id == 2
    at.switcher.switch()
    with pytest.raises(GenerationStateError, match=r"Generation 1 .*kept for a rollback.*index discard"):
        at.switcher.build_generation(at.choice("hashing-96"), at.sparse.fingerprint)


def test_a_start_with_another_encoder_is_refused_with_the_commands_that_move(at: GenerationsFixture) -> None:
    active = at.records.load_active_generation()
    require_matching_encoders(active, at.encoders, at.sparse, encoder_name=None)
    require_matching_encoders(active, at.encoders, at.sparse, encoder_name="hashing")
    with pytest.raises(IndexMismatchError, match=r"reembed --encoder hashing-32.*index switch"):
        require_matching_encoders(active, at.encoders, at.sparse, encoder_name="hashing-32")
    with pytest.raises(IndexMismatchError, match=r"does not have.*reembed --encoder"):
        require_matching_encoders(replace(active, encoder="other/8"), at.encoders, at.sparse, encoder_name=None)
    with pytest.raises(IndexMismatchError, match="index rebuild"):
        require_matching_encoders(replace(active, sparse="other"), at.encoders, at.sparse, encoder_name=None)
