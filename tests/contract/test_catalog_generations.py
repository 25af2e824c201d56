"""Generations of the index in the catalog: one is active, and writes to one that was left do not count."""

import pytest
from sqlalchemy import Engine

from ingest.storage.audit.records import Action
from ingest.storage.audit.store import Audit, AuditFilter
from ingest.storage.documents.catalog import Catalog
from ingest.storage.documents.records import EmbedReport, VersionState
from ingest.storage.errors import GenerationChangedError, GenerationStateError, LeaseLostError
from ingest.storage.generations.records import BuildProgress, Generation, GenerationState
from ingest.storage.generations.store import GenerationRecords
from ingest.storage.jobs.jobs import MAX_ATTEMPTS, Jobs
from ingest.storage.queue.records import Failure, Job, JobKind
from tests.support.catalogs import arrive, at_once, embedded, finish_ingest, lapse, searchable, wake

OLD, NEW = ("old/8", "words", 8), ("new/16", "words", 16)


@pytest.fixture
def generations(engine: Engine) -> GenerationRecords:
    made = GenerationRecords(engine)
    made.ensure_first_generation(*OLD)
    return made


def ready(catalog: Catalog, jobs: Jobs, content: str) -> str:
    """A document with two chunks that is ready in the active generation; its version's id."""
    arrive(catalog, content)
    job = searchable(jobs)
    embedded(jobs)
    return job.version_id


def put_in(generations: GenerationRecords, jobs: Jobs) -> list[str]:
    """Say of every version that is missing that it is in the generation being built."""
    generations.queue_missing_versions()
    done: list[str] = []
    while claimed := jobs.claim(JobKind.REEMBED, limit=10):
        for job in claimed:
            jobs.finish_reembed(job)
            done.append(job.version_id)
    return done


def states(generations: GenerationRecords) -> dict[int, str]:
    return {generation.id: generation.state.value for generation in generations.list_generations()}


def test_the_first_generation_is_recorded_once(generations: GenerationRecords) -> None:
    first = generations.ensure_first_generation(*NEW)
    assert (first.id, first.encoder, first.dimension, first.state) == (1, "old/8", 8, GenerationState.ACTIVE)
    assert generations.list_generations() == [first] == generations.list_live_generations()
    assert (
        generations.load_active_generation(),
        generations.find_inactive_generation(),
        generations.list_discarded_ids(),
    ) == (
        first,
        None,
        [],
    )


def test_many_processes_that_start_at_once_record_one(engine: Engine) -> None:
    ends = at_once(*[lambda: GenerationRecords(engine).ensure_first_generation(*OLD)] * 4)
    assert all(isinstance(end, Generation) and end.id == 1 for end in ends)
    assert len(GenerationRecords(engine).list_generations()) == 1


def test_a_generation_is_built_from_what_belongs_into_an_index(
    catalog: Catalog, jobs: Jobs, generations: GenerationRecords
) -> None:
    whole = ready(catalog, jobs, "a")
    arrive(catalog, "b")
    half = searchable(jobs).version_id
    gone = arrive(catalog, "c")
    searchable(jobs)
    catalog.delete_document("ann", gone.id)
    arrive(catalog, "d")  # nothing was made of it yet
    begun = generations.start_generation(*NEW)
    assert (begun.id, begun.state, generations.find_inactive_generation()) == (2, GenerationState.BUILDING, begun)
    assert (generations.queue_missing_versions(), generations.queue_missing_versions()) == (2, 0)
    assert generations.load_progress() == BuildProgress(versions=2, versions_done=0, chunks=4, chunks_done=0, failed=0)
    claimed = jobs.claim(JobKind.REEMBED, limit=10)
    assert {(job.version_id, job.generation) for job in claimed} == {(whole, 2), (half, 2)}
    jobs.finish_reembed(claimed[0])
    assert generations.load_progress().percent == 50
    assert [version.id for version in generations.list_complete_versions()] == [claimed[0].version_id]
    assert {version.id for version in generations.list_indexable_versions()} == {whole, half}


def test_without_a_generation_to_build_there_is_nothing_to_claim(
    catalog: Catalog, jobs: Jobs, generations: GenerationRecords
) -> None:
    ready(catalog, jobs, "a")
    assert generations.queue_missing_versions() == 0
    assert jobs.claim(JobKind.REEMBED) == []


def test_beginning_again_goes_on_and_another_is_refused_with_the_next_step(generations: GenerationRecords) -> None:
    begun = generations.start_generation(*NEW)
    assert generations.start_generation(*NEW) == begun
    with pytest.raises(GenerationStateError, match=r"Generation 2 .*being built.*discard --unfinished"):
        generations.start_generation("third/8", "words", 8)


@pytest.mark.parametrize(
    ("encoder", "sparse", "copies", "command"),
    [
        ("other", "words", None, "reembed"),
        ("one", "words", 1, "spread"),
        ("one", "other words", 1, "rebuild"),
        ("one", "words", None, "rebuild"),
    ],
)
def test_an_incomplete_generation_is_continued_with_the_command_that_began_it(
    catalog: Catalog,
    jobs: Jobs,
    generations: GenerationRecords,
    encoder: str,
    sparse: str,
    copies: int | None,
    command: str,
) -> None:
    ready(catalog, jobs, "a")
    active = generations.load_active_generation()
    given = {"one": active.encoder, "other": NEW[0]}[encoder], {"words": active.sparse}.get(sparse, sparse)
    generations.start_generation(*given, 8, source_id=copies)
    generations.queue_missing_versions()
    with pytest.raises(GenerationStateError, match=f"Continue the build with `leadline index {command}`"):
        generations.activate(2)
    with pytest.raises(GenerationStateError, match=f"Continue building the generation with `leadline index {command}`"):
        generations.start_generation("third/8", "words", 8)


def test_a_switch_waits_for_the_rest_and_says_how_much_that_is(
    engine: Engine, catalog: Catalog, jobs: Jobs, generations: GenerationRecords
) -> None:
    for content in "abcd":
        ready(catalog, jobs, content)
    generations.start_generation(*NEW)
    generations.queue_missing_versions()
    for job in jobs.claim(JobKind.REEMBED, limit=3):
        jobs.finish_reembed(job)
    with pytest.raises(GenerationStateError, match=r"Generation 2 is 75 % built: 1 of 4 .*index reembed"):
        generations.activate(2)
    assert states(generations) == {1: "active", 2: "building"}
    put_in(generations, jobs)
    assert generations.activate(2).state is GenerationState.ACTIVE
    assert generations.activate(2).id == 2
    (switched,) = Audit(engine).list_latest(AuditFilter(whole=True, action=Action.INDEX_SWITCHED))
    assert (switched.object, switched.details) == ("generation:2", {"previous": 1})
    assert states(generations) == {1: "previous", 2: "active"}
    assert jobs.count_unfinished_jobs() == {}


def test_a_document_that_came_meanwhile_is_waited_for(
    catalog: Catalog, jobs: Jobs, generations: GenerationRecords
) -> None:
    ready(catalog, jobs, "a")
    generations.start_generation(*NEW)
    put_in(generations, jobs)
    arrive(catalog, "b")
    searchable(jobs)
    with pytest.raises(GenerationStateError, match="1 of 2"):
        generations.activate(2)


def test_what_was_written_to_the_generation_that_was_left_does_not_count(
    catalog: Catalog, jobs: Jobs, generations: GenerationRecords
) -> None:
    arrive(catalog, "a")
    arrive(catalog, "b")
    first = searchable(jobs)
    (embedding,) = jobs.claim(JobKind.EMBED)
    (ingesting,) = jobs.claim(JobKind.INGEST)
    assert (embedding.generation, ingesting.generation) == (1, 1)
    generations.start_generation(*NEW)
    put_in(generations, jobs)
    generations.activate(2)
    with pytest.raises(GenerationChangedError):
        jobs.finish_embed([EmbedReport(embedding, 1, chunks_indexed=2)])
    with pytest.raises(GenerationChangedError):
        finish_ingest(jobs, ingesting, chunks=2)
    assert catalog.load_version(first.version_id).state is VersionState.SEARCHABLE
    jobs.postpone(embedding, Failure("generation_changed", ""))
    jobs.release_job(ingesting)
    jobs.pause_kind(JobKind.COLLECT)
    (again,) = jobs.claim(JobKind.INGEST)
    assert again.generation == 2
    finish_ingest(jobs, again, chunks=2)


def test_a_builder_of_a_generation_that_was_switched_or_discarded_cannot_commit(
    catalog: Catalog, jobs: Jobs, generations: GenerationRecords
) -> None:
    ready(catalog, jobs, "a")
    generations.start_generation(*NEW)
    generations.queue_missing_versions()
    (job,) = jobs.claim(JobKind.REEMBED)
    with pytest.raises(GenerationStateError, match="discard --unfinished"):
        generations.discard_inactive_generation(allow_unfinished=False)
    assert generations.discard_inactive_generation(allow_unfinished=True) is not None
    with pytest.raises(GenerationChangedError):
        jobs.finish_reembed(job)
    generations.start_generation("third/8", "words", 8)
    with pytest.raises(GenerationChangedError):
        jobs.finish_reembed(job)
    assert (states(generations), generations.list_discarded_ids()) == (
        {1: "active", 2: "discarded", 3: "building"},
        [2],
    )
    assert generations.load_progress().versions_done == 0


def test_the_way_back_lacks_what_came_since_and_nothing_else(
    catalog: Catalog, jobs: Jobs, generations: GenerationRecords
) -> None:
    ready(catalog, jobs, "a")
    arrive(catalog, "b")
    half = searchable(jobs).version_id  # in the old generation it has no vectors
    generations.start_generation(*NEW)
    put_in(generations, jobs)
    generations.activate(2)
    embedded(jobs)
    later = ready(catalog, jobs, "c")
    assert generations.queue_missing_versions() == 0  # a generation that is kept is not added to
    assert generations.resume_building(1).state is GenerationState.BUILDING
    assert set(put_in(generations, jobs)) == {half, later}
    generations.activate(1)
    assert states(generations) == {1: "active", 2: "previous"}


def test_a_deletion_ends_what_is_put_into_a_generation_and_is_not_waited_for(
    catalog: Catalog, jobs: Jobs, generations: GenerationRecords, engine: Engine
) -> None:
    document = arrive(catalog, "a")
    searchable(jobs)
    embedded(jobs)
    generations.start_generation(*NEW)
    generations.queue_missing_versions()
    (job,) = jobs.claim(JobKind.REEMBED)
    deleted = catalog.delete_document("ann", document.id)
    assert deleted.worked_on == {job.version_id}  # so nothing counts as removed before the builder's lease is over
    assert jobs.claim(JobKind.COLLECT) == []
    with pytest.raises(LeaseLostError):
        jobs.finish_reembed(job)
    assert generations.queue_missing_versions() == 0
    assert generations.load_progress().is_complete
    wake(engine)
    assert [job.version_id for job in jobs.claim(JobKind.COLLECT)] == [job.version_id]


def test_what_cannot_be_put_in_fails_alone_and_is_tried_again_when_asked(
    catalog: Catalog, jobs: Jobs, generations: GenerationRecords, engine: Engine
) -> None:
    version = ready(catalog, jobs, "a")
    generations.start_generation(*NEW)
    generations.queue_missing_versions()
    for _ in range(MAX_ATTEMPTS):
        assert jobs.claim(JobKind.REEMBED)
        lapse(engine)
        jobs.requeue_lost_jobs(include_all_running=False)
    assert catalog.load_version(version).state is VersionState.READY
    progress = generations.load_progress()
    assert (progress.failed, progress.is_complete, jobs.count_unfinished_jobs()) == (1, False, {})
    ((document, failure),) = generations.list_failures()
    assert (document, failure.code) == (catalog.load_version(version).document_id, "worker_lost")
    assert generations.retry_failed_versions() == 1
    (job,) = jobs.claim(JobKind.REEMBED)
    jobs.fail(job, Failure("text_lost", "gone"))
    assert catalog.load_version(version).state is VersionState.READY
    assert generations.list_failures() == [(document, Failure("text_lost", "gone"))]


def test_what_the_index_has_lost_is_put_in_again(catalog: Catalog, jobs: Jobs, generations: GenerationRecords) -> None:
    version = ready(catalog, jobs, "a")
    generations.start_generation(*NEW)
    put_in(generations, jobs)
    assert generations.requeue_versions([version, "unknown"]) == 1
    assert not generations.load_progress().is_complete
    assert put_in(generations, jobs) == [version]


def test_discarding_removes_the_one_that_is_kept_and_then_nothing(
    catalog: Catalog, jobs: Jobs, generations: GenerationRecords
) -> None:
    ready(catalog, jobs, "a")
    generations.start_generation(*NEW)
    put_in(generations, jobs)
    generations.activate(2)
    gone = generations.discard_inactive_generation(allow_unfinished=False)
    assert gone is not None
    assert gone.id == 1
    assert generations.discard_inactive_generation(allow_unfinished=False) is None
    assert [generation.id for generation in generations.list_live_generations()] == [2]
    assert generations.start_generation(*OLD).id == 3  # a number does not come back
    with pytest.raises(GenerationStateError, match="discarded"):
        generations.activate(1)


def test_strangers_belong_into_no_index_and_are_not_on_their_way(
    catalog: Catalog, jobs: Jobs, generations: GenerationRecords
) -> None:
    whole = ready(catalog, jobs, "a")
    arrive(catalog, "b")
    (job,) = jobs.claim(JobKind.INGEST)
    jobs.record_progress(job, VersionState.INDEXING)
    assert generations.select_stray_versions({whole, job.version_id, "unknown"}) == {"unknown"}
    assert generations.is_indexable_version(whole)
    assert not generations.is_indexable_version(job.version_id)


@pytest.mark.parametrize("round_", range(4))
def test_a_commit_and_a_switch_at_once_leave_nothing_that_is_not_in_the_active_generation(
    catalog: Catalog, jobs: Jobs, generations: GenerationRecords, round_: int
) -> None:
    put: dict[int, set[str]] = {1: set(), 2: set()}
    put[1].add(ready(catalog, jobs, "a"))
    generations.start_generation(*NEW)
    put[2] |= set(put_in(generations, jobs))
    arrive(catalog, f"racing-{round_}")
    (job,) = jobs.claim(JobKind.INGEST)

    def commit() -> Job:
        finish_ingest(jobs, job, chunks=2)
        put[1].add(job.version_id)
        return job

    ends = at_once(commit, lambda: generations.activate(2))
    refused = [end for end in ends if isinstance(end, Exception)]
    assert len(refused) == 1  # whoever comes second finds that the other was first
    assert isinstance(refused[0], GenerationChangedError | GenerationStateError)
    active = generations.load_active_generation().id
    assert {version.id for version in generations.list_indexable_versions()} <= put[active]
