"""Runs in the catalog: what is logged of them, who may carry them, and what their owners see."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Engine, select, update

from ingest.storage.accounts.records import Scope
from ingest.storage.answers.run_log import RunLog
from ingest.storage.answers.run_records import Run, RunLogEntry, RunRequest, RunSpending, RunState
from ingest.storage.answers.runs import Runs
from ingest.storage.build import AccountStores
from ingest.storage.db.schema import jobs as job_rows
from ingest.storage.db.schema import runs as run_rows
from ingest.storage.documents.catalog import Catalog
from ingest.storage.errors import (
    IdempotencyKeyReusedError,
    KeyRevokedError,
    LeaseLostError,
    LogEntryTooLargeError,
    RunNotFoundError,
    RunsFullError,
    RunStateError,
    VersionInUseError,
)
from ingest.storage.jobs.jobs import MAX_ATTEMPTS, Jobs
from ingest.storage.operations.leftovers import UnusedContent
from ingest.storage.queue.records import Failure, Job, JobKind
from tests.support.catalogs import age_absence, arrival, arrive, at_once, embedded, lapse, searchable, wake

AWAY = Failure("language_model_unavailable", "It is away.")
SPENT = RunSpending(calls=1, prompt_tokens=10, completion_tokens=2)


@pytest.fixture
def runs(engine: Engine) -> Runs:
    return Runs(engine, max_waiting=5)


@pytest.fixture
def log(engine: Engine) -> RunLog:
    return RunLog(engine)


def asked(runs: Runs, question: str = "Why?", *, tenant: str = "ann", key: str | None = None) -> Run:
    return runs.create(RunRequest(tenant, question, idempotency_key=key))[0]


def claimed(jobs: Jobs) -> Job:
    (job,) = jobs.claim(JobKind.RUN)
    return job


def begun(runs: Runs, jobs: Jobs, log: RunLog) -> Job:
    asked(runs)
    job = claimed(jobs)
    log.start_run(job)
    return job


def call(key: str) -> RunLogEntry:
    return RunLogEntry(key, "call", {"text": key}, SPENT)


def kinds(runs: Runs, job: Job) -> list[str]:
    return [event.kind for event in runs.list_events("ann", job.version_id)]


def test_a_run_goes_from_queued_to_its_answer(runs: Runs, jobs: Jobs, log: RunLog) -> None:
    run = asked(runs)
    assert (run.state, run.attempt, run.started_at) == (RunState.QUEUED, 0, None)
    assert jobs.estimate_position(run.id) == 0
    job = claimed(jobs)
    assert log.start_run(job).state is RunState.RUNNING
    log.append_entries(job, [RunLogEntry("r", "reading", {"call": 1}, progress=True), call("a")], seconds=1.5)
    now = runs.load_run("ann", run.id)
    assert (now.progress, now.spent, now.seconds) == ({"call": 1}, SPENT, 1.5)
    log.finish_run(job, RunState.COMPLETED, {"text": "Because."}, seconds=2.5)
    done = runs.load_run("ann", run.id)
    assert (done.state, done.answer, done.seconds, done.has_ended) == (
        RunState.COMPLETED,
        {"text": "Because."},
        2.5,
        True,
    )
    assert [event.sequence for event in runs.list_events("ann", run.id)] == [1, 2, 3, 4]
    assert kinds(runs, job) == ["start", "reading", "call", "end"]
    assert jobs.count_unfinished_jobs() == {}


@pytest.mark.parametrize("character", ["a", "Ж", "鯨", "🐋", "\ud800", "\0", '"'])
def test_what_a_search_found_is_kept_whole_in_any_script(runs: Runs, jobs: Jobs, log: RunLog, character: str) -> None:
    job = begun(runs, jobs, log)
    body = {"found": [{"text": character * 1_000, "heading_path": [character * 200]} for _ in range(200)]}
    log.append_entries(job, [RunLogEntry("f", "retrieved", body)], seconds=1.0)
    assert log.load_entry_bodies(job.version_id, ["f"]) == {"f": body}


def test_what_is_logged_again_changes_and_costs_nothing(runs: Runs, jobs: Jobs, log: RunLog) -> None:
    job = begun(runs, jobs, log)
    log.append_entries(job, [call("a"), call("a"), call("b")], seconds=1.0)
    log.append_entries(job, [call("b"), call("c")], seconds=2.0)
    assert runs.load_run("ann", job.version_id).spent == RunSpending(calls=3, prompt_tokens=30, completion_tokens=6)
    assert kinds(runs, job) == ["start", "call", "call", "call"]
    assert log.load_entry_bodies(job.version_id, ["b", "x"]) == {"b": {"text": "b"}}


def test_a_resumed_run_finds_what_was_logged_and_a_worker_that_lost_it_adds_nothing(
    runs: Runs, jobs: Jobs, log: RunLog, engine: Engine
) -> None:
    job = begun(runs, jobs, log)
    log.append_entries(job, [call("a")], seconds=1.0)
    lapse(engine)
    assert jobs.requeue_lost_jobs(include_all_running=False) == 1
    assert runs.load_run("ann", job.version_id).state is RunState.QUEUED
    for late in (
        lambda: log.start_run(job),
        lambda: log.append_entries(job, [call("late")], seconds=9.0),
        lambda: log.finish_run(job, RunState.COMPLETED, {}, seconds=9.0),
    ):
        with pytest.raises(LeaseLostError):
            late()
    again = claimed(jobs)
    assert log.start_run(again).seconds == 1.0
    assert set(log.load_entry_bodies(job.version_id, ["a", "late"])) == {"a"}
    assert kinds(runs, job) == ["start", "call", "resume"]


def test_threads_that_log_at_once_number_their_events_without_a_gap(runs: Runs, jobs: Jobs, log: RunLog) -> None:
    job = begun(runs, jobs, log)
    ends = at_once(*(lambda n=n: log.append_entries(job, [call(f"{n}"), call("same")], seconds=1.0) for n in range(6)))
    assert ends == [None] * 6
    assert [event.sequence for event in runs.list_events("ann", job.version_id)] == list(range(1, 9))
    assert runs.load_run("ann", job.version_id).spent.calls == 7


def test_a_run_is_about_the_versions_that_were_active_when_it_began(
    runs: Runs, jobs: Jobs, log: RunLog, catalog: Catalog
) -> None:
    first = arrive(catalog, "first")
    searchable(jobs)
    arrive(catalog, "elsewhere", collection="other")
    searchable(jobs)
    arrive(catalog, "theirs", tenant="bob")
    searchable(jobs)
    arrive(catalog, "not yet searchable")
    run = runs.create(RunRequest("ann", "Why?", collections=("default",)))[0]
    job = claimed(jobs)
    assert (log.start_run(job).scope_documents, log.start_run(job).scope_characters) == (1, 10)
    assert [(p.document_id, p.version_id) for p in log.list_pinned_documents(run.id)] == [(first.id, first.version.id)]
    catalog.delete_document("ann", first.id)
    assert log.list_pinned_documents(run.id) == []
    assert log.list_hidden_versions([first.version.id]) == {first.version.id}


def test_a_run_keeps_how_it_was_asked_for(runs: Runs) -> None:
    asked = RunRequest("ann", "How many?", strategy="table", limits={"calls": 7}, every_record=True)
    run = runs.create(asked)[0]
    assert (run.strategy, run.limits, run.every_record) == ("table", {"calls": 7}, True)
    assert runs.create(RunRequest("ann", "How many?"))[0].every_record is False


def test_a_replaced_version_is_kept_until_the_runs_that_read_it_have_ended(
    runs: Runs, jobs: Jobs, log: RunLog, catalog: Catalog, engine: Engine
) -> None:
    document = arrive(catalog)
    searchable(jobs)
    embedded(jobs)
    old = document.version.id
    job = begun(runs, jobs, log)
    catalog.replace_document(arrival("b"), document.id, None)
    searchable(jobs)
    embedded(jobs)
    assert catalog.load_document("ann", document.id).active_version_id != old
    with pytest.raises(VersionInUseError):
        catalog.find_removable_version(old)
    assert UnusedContent(engine).select_abandoned_versions({old}) == set()
    log.finish_run(job, RunState.COMPLETED, {}, seconds=1.0)
    assert catalog.find_removable_version(old) is not None
    assert UnusedContent(engine).select_abandoned_versions({old}) == {old}


def test_a_deleted_version_goes_whoever_reads_it(runs: Runs, jobs: Jobs, log: RunLog, catalog: Catalog) -> None:
    document = arrive(catalog)
    searchable(jobs)
    begun(runs, jobs, log)
    catalog.delete_document("ann", document.id)
    assert catalog.find_removable_version(document.version.id) is not None


@pytest.mark.parametrize("running", [False, True])
def test_cancelling_ends_a_run_at_once_and_takes_it_from_its_worker(
    runs: Runs, jobs: Jobs, log: RunLog, running: bool
) -> None:
    run = asked(runs)
    job = claimed(jobs) if running else None
    assert [runs.cancel("ann", run.id).state for _ in range(2)] == [RunState.CANCELLED] * 2
    assert [event.kind for event in runs.list_events("ann", run.id)] == ["end"]
    assert jobs.claim(JobKind.RUN) == []
    if job is not None:
        with pytest.raises(LeaseLostError):
            jobs.require_lease(job)
        with pytest.raises(LeaseLostError):
            log.finish_run(job, RunState.COMPLETED, {}, seconds=1.0)


def test_cancelling_what_has_ended_changes_nothing(runs: Runs, jobs: Jobs, log: RunLog) -> None:
    job = begun(runs, jobs, log)
    log.finish_run(job, RunState.PARTIAL, {"text": "Some."}, seconds=1.0)
    assert runs.cancel("ann", job.version_id).state is RunState.PARTIAL


def test_of_a_cancellation_and_an_answer_at_once_one_counts(runs: Runs, jobs: Jobs, log: RunLog) -> None:
    for _ in range(5):
        job = begun(runs, jobs, log)
        cancelled, finished = at_once(
            lambda job=job: runs.cancel("ann", job.version_id).state,  # type: ignore[misc]
            lambda job=job: log.finish_run(job, RunState.COMPLETED, {"text": "x"}, seconds=1.0),  # type: ignore[misc]
        )
        run = runs.load_run("ann", job.version_id)
        assert cancelled is run.state
        assert isinstance(finished, LeaseLostError) == (run.state is RunState.CANCELLED)
        assert kinds(runs, job) == ["start", "end"]


def test_a_run_that_ends_its_worker_three_times_fails_with_the_reason(
    runs: Runs, jobs: Jobs, log: RunLog, engine: Engine
) -> None:
    run = asked(runs)
    for _ in range(MAX_ATTEMPTS):
        claimed(jobs)
        lapse(engine)
        jobs.requeue_lost_jobs(include_all_running=False)
    failed = runs.load_run("ann", run.id)
    assert failed.state is RunState.FAILED
    assert failed.failure is not None
    assert (failed.failure.code, failed.failure.detail) == (
        "worker_lost",
        "The run crashed its worker 3 times in 3 attempts.",
    )


def test_a_run_that_gets_further_in_each_attempt_is_never_given_up(
    runs: Runs, jobs: Jobs, log: RunLog, engine: Engine
) -> None:
    run = asked(runs)
    for number in range(2 * MAX_ATTEMPTS):
        job = claimed(jobs)
        log.start_run(job)
        log.append_entries(job, [call("a"), call(f"{number}")], seconds=1.0)
        assert runs.load_run("ann", run.id).attempt == 1
        if number % 2:
            assert jobs.retry(job, Failure("language_model_timeout", "It took too long."))
            wake(engine)
        else:
            lapse(engine)
            jobs.requeue_lost_jobs(include_all_running=False)
    assert runs.load_run("ann", run.id).state is RunState.QUEUED


def test_a_run_that_gets_no_further_ends_after_three_more_attempts(
    runs: Runs, jobs: Jobs, log: RunLog, engine: Engine
) -> None:
    job = begun(runs, jobs, log)
    lapse(engine)
    jobs.requeue_lost_jobs(include_all_running=False)
    for number in range(MAX_ATTEMPTS):
        job = claimed(jobs)
        log.start_run(job)
        log.append_entries(job, [call("a"), RunLogEntry(f"lost {number}", "lost", {"usage": {}})], seconds=1.0)
        lapse(engine)
        assert jobs.requeue_lost_jobs(include_all_running=False) == (number < MAX_ATTEMPTS - 1)
    failed = runs.load_run("ann", job.version_id)
    assert failed.failure is not None
    assert failed.failure.detail == "The run crashed its worker 3 times in 3 attempts."


@pytest.mark.parametrize("give_up", [Jobs.release_job, lambda jobs, job: jobs.postpone(job, Failure("away", "Away."))])
def test_an_attempt_that_got_further_and_does_not_count_leaves_none(
    runs: Runs, jobs: Jobs, log: RunLog, engine: Engine, give_up: Callable[[Jobs, Job], None]
) -> None:
    begun(runs, jobs, log)
    lapse(engine)
    jobs.requeue_lost_jobs(include_all_running=False)
    job = claimed(jobs)
    log.append_entries(job, [call("a")], seconds=1.0)
    give_up(jobs, job)
    assert runs.load_run("ann", job.version_id).attempt == 0


def away(engine: Engine) -> tuple[float, float]:
    """Since when the only job waits for something that is away, and when it looks again; 0.0 where it does not wait."""
    with engine.connect() as connection:
        since, again = connection.execute(select(job_rows.c.away_since, job_rows.c.not_before)).one()
    return since or 0.0, again


def postponed(jobs: Jobs, engine: Engine) -> Job:
    """The only run, waiting once more."""
    wake(engine)
    job = claimed(jobs)
    jobs.postpone(job, AWAY)
    return job


def test_the_longer_a_run_waits_for_what_is_away_the_later_it_looks_again(
    runs: Runs, jobs: Jobs, engine: Engine
) -> None:
    asked(runs)
    job = postponed(jobs, engine)
    since, again = away(engine)
    assert again - since == pytest.approx(5)
    assert jobs.load_outage_seconds(job) < 60
    age_absence(engine, 75)
    job = postponed(jobs, engine)
    still, again = away(engine)
    assert still == pytest.approx(since - 75, abs=0.001)
    assert again - still >= 75 + 80
    age_absence(engine, 100_000)
    postponed(jobs, engine)
    still, again = away(engine)
    assert again - still == pytest.approx(100_075 + 120, abs=60)
    assert jobs.load_outage_seconds(job) >= 100_075


def test_a_run_that_got_further_has_not_waited(runs: Runs, jobs: Jobs, log: RunLog, engine: Engine) -> None:
    asked(runs)
    postponed(jobs, engine)
    age_absence(engine, 100_000)
    wake(engine)
    job = claimed(jobs)
    log.append_entries(job, [RunLogEntry("lost", "lost", {"usage": {}})], seconds=1.0)
    assert jobs.load_outage_seconds(job) >= 100_000
    log.append_entries(job, [call("a")], seconds=1.0)
    assert jobs.load_outage_seconds(job) == 0.0
    jobs.postpone(job, AWAY)
    since, again = away(engine)
    assert again - since == pytest.approx(5)


def test_an_attempt_that_failed_otherwise_ends_the_wait(runs: Runs, jobs: Jobs, engine: Engine) -> None:
    asked(runs)
    postponed(jobs, engine)
    wake(engine)
    jobs.retry(claimed(jobs), AWAY)
    assert away(engine)[0] == 0.0


def test_a_document_looks_again_every_five_seconds(catalog: Catalog, jobs: Jobs, engine: Engine) -> None:
    arrive(catalog)
    for _ in range(2):
        (job,) = jobs.claim(JobKind.INGEST)
        jobs.postpone(job, AWAY)
        age_absence(engine, 1_000)
        since, again = away(engine)
        wake(engine)
    assert again - since == pytest.approx(2_000 + 5, abs=60)


def test_a_failed_run_says_why(runs: Runs, jobs: Jobs, log: RunLog) -> None:
    job = begun(runs, jobs, log)
    jobs.fail(job, Failure("language_model_refused", "It refused.", "Check the key."))
    run = runs.load_run("ann", job.version_id)
    assert (run.state, run.failure) == (
        RunState.FAILED,
        Failure("language_model_refused", "It refused.", "Check the key."),
    )
    assert runs.list_events("ann", run.id)[-1].body["code"] == "language_model_refused"


def test_a_tenant_has_only_so_many_running_and_others_go_on(engine: Engine, runs: Runs) -> None:
    jobs = Jobs(engine, runs_per_tenant=2)
    for question in "abc":
        asked(runs, question)
    served = [claimed(jobs) for _ in range(2)]
    assert jobs.claim(JobKind.RUN) == []
    asked(runs, tenant="bob")
    assert claimed(jobs).tenant_id == "bob"
    jobs.release_job(served[0])
    assert claimed(jobs).version_id == served[0].version_id


def test_claims_at_once_keep_a_tenants_limit(engine: Engine, runs: Runs) -> None:
    jobs = Jobs(engine, runs_per_tenant=2)
    for question in "abcde":
        asked(runs, question)
    claims = at_once(*(lambda: jobs.claim(JobKind.RUN) for _ in range(5)))
    assert sum(len(each) for each in claims if isinstance(each, list)) <= 2


def test_the_same_key_is_the_same_run_and_another_tenants_is_not(runs: Runs) -> None:
    first, again = (
        runs.create(RunRequest("ann", "Why?", idempotency_key="k")),
        runs.create(RunRequest("ann", "Why?", idempotency_key="k")),
    )
    assert (first[0].id, first[1], again[1]) == (again[0].id, True, False)
    known = runs.find_existing_run(RunRequest("ann", "Why?", idempotency_key="k"))
    assert known is not None
    assert known.id == first[0].id
    assert runs.find_existing_run(RunRequest("ann", "Why?", idempotency_key="other")) is None
    assert runs.find_existing_run(RunRequest("bob", "Why?", idempotency_key="k")) is None
    assert asked(runs, tenant="bob", key="k").id != first[0].id
    assert asked(runs).id != asked(runs).id


@pytest.mark.parametrize(
    "other",
    [
        {"question": "How?"},
        {"collections": ("default",)},
        {"documents": ("d",)},
        {"strategy": "table"},
        {"limits": {"calls": 7}},
        {"limits": {}},
        {"every_record": True},
    ],
)
def test_the_same_key_with_another_request_is_refused(runs: Runs, other: dict[str, Any]) -> None:
    request = RunRequest("ann", "Why?", idempotency_key="k", unasked={"calls": 5})
    runs.create(request)
    for use in (runs.create, runs.find_existing_run):
        with pytest.raises(IdempotencyKeyReusedError):
            use(replace(request, **other))
    assert len(runs.list_runs("ann")) == 1


def test_a_key_is_for_what_was_asked_and_not_for_what_the_service_made_of_it(runs: Runs) -> None:
    request = RunRequest("ann", "Why?", ("a", "b"), idempotency_key="k", unasked={"calls": 5})
    run = runs.create(request)[0]
    assert run.limits == {"calls": 5}
    again = runs.create(replace(request, unasked={"calls": 9}, collections=("b", "a", "b")))[0]
    assert (again.id, again.limits) == (run.id, {"calls": 5})


def test_a_key_of_an_earlier_release_is_its_run_whatever_was_asked(runs: Runs, engine: Engine) -> None:
    run = asked(runs, key="k")
    with engine.begin() as connection:
        connection.execute(update(run_rows).values(asked_sha256=None))
    assert asked(runs, "How?", key="k").id == run.id


def test_more_waiting_runs_than_may_be_are_refused_with_a_time_to_come_back(runs: Runs) -> None:
    for _ in range(5):
        asked(runs)
    with pytest.raises(RunsFullError) as refused:
        asked(runs)
    assert refused.value.retry_after_seconds > 0
    asked(runs, tenant="bob")


def test_runs_are_listed_newest_first_and_by_state(runs: Runs, jobs: Jobs, log: RunLog) -> None:
    first, second, third = asked(runs, "1"), asked(runs, "2"), asked(runs, "3")
    asked(runs, "theirs", tenant="bob")
    runs.cancel("ann", second.id)
    assert [run.id for run in runs.list_runs("ann")] == [third.id, second.id, first.id]
    assert [run.id for run in runs.list_runs("ann", before=third.sequence, limit=1)] == [second.id]
    assert [run.id for run in runs.list_runs("ann", states=[RunState.QUEUED])] == [third.id, first.id]
    assert [run.id for run in runs.list_runs("ann", states=[RunState.CANCELLED])] == [second.id]


def test_only_an_ended_run_is_deleted_and_nothing_of_it_is_left(runs: Runs, jobs: Jobs, log: RunLog) -> None:
    job = begun(runs, jobs, log)
    with pytest.raises(RunStateError):
        runs.delete("ann", job.version_id)
    runs.cancel("ann", job.version_id)
    runs.delete("ann", job.version_id)
    assert log.load_entry_bodies(job.version_id, ["start", "end"]) == {}
    with pytest.raises(RunNotFoundError):
        runs.load_run("ann", job.version_id)


def test_another_tenants_run_is_no_run(runs: Runs) -> None:
    run = asked(runs)
    for use in (runs.load_run, runs.list_events, runs.cancel, runs.delete):
        with pytest.raises(RunNotFoundError):
            use("bob", run.id)
    assert runs.list_runs("bob") == []
    assert runs.load_run("ann", run.id).state is RunState.QUEUED


def test_an_event_too_large_to_be_kept_is_refused(runs: Runs, jobs: Jobs, log: RunLog) -> None:
    job = begun(runs, jobs, log)
    with pytest.raises(LogEntryTooLargeError, match="'call'"):
        log.append_entries(job, [RunLogEntry("big", "call", {"text": "鯨" * 1_500_000})], seconds=1.0)
    assert kinds(runs, job) == ["start"]


def test_a_run_reads_what_its_asker_may_see_when_it_begins_and_when_it_goes_on(
    runs: Runs, jobs: Jobs, log: RunLog, catalog: Catalog, engine: Engine
) -> None:
    identities = AccountStores.from_engine(engine)
    identities.users.create("ann", "eve", ["hr"])
    key, _ = identities.keys.issue_key("ann", "eve", scopes=[Scope.ASK], user="eve")
    opened, closed, other = (
        catalog.accept_upload(replace(arrival(name), readers=readers, attributes={"year": year})).document
        for name, readers, year in (
            ("open", None, 1815),
            ("closed", frozenset({"group:hr"}), 1815),
            ("other", frozenset({"user:bob"}), 1815),
        )
    )
    catalog.accept_upload(replace(arrival("late"), attributes={"year": 1900}))
    for _ in range(4):
        searchable(jobs)
    readers = frozenset({"user:eve", "group:hr"})
    request = RunRequest("ann", "Why?", filters={"year": 1815}, owner="user:eve", key_id=key.id, readers=readers)
    runs.create(request)
    job = claimed(jobs)
    run = log.start_run(job)
    assert [each.document_id for each in log.list_pinned_documents(run.id, readers=run.readers)] == [
        opened.id,
        closed.id,
    ]
    assert [each.document_id for each in log.list_pinned_documents(run.id)] == [
        opened.id,
        closed.id,
    ]  # it counts no others either
    assert log.list_hidden_versions([closed.version.id, other.version.id], run.readers) == {other.version.id}
    with pytest.raises(RunNotFoundError):
        runs.load_run("ann", run.id, "user:bob")
    assert runs.list_runs("ann", owner="user:bob") == []
    runs.create(replace(request, idempotency_key="k"))
    with pytest.raises(IdempotencyKeyReusedError):
        runs.create(replace(request, idempotency_key="k", owner="user:bob"))
    identities.users.set_groups("ann", "eve", [])
    again = log.start_run(job)
    assert again.readers == frozenset({"user:eve"})
    assert [each.document_id for each in log.list_pinned_documents(run.id, readers=again.readers)] == [opened.id]
    assert runs.list_withheld_runs([run.id], again.readers) == {run.id}
    identities.keys.revoke_key("ann", key.id)
    with pytest.raises(KeyRevokedError):
        log.start_run(job)


def test_a_run_goes_on_with_the_key_that_its_own_was_rotated_to(
    runs: Runs, jobs: Jobs, log: RunLog, engine: Engine
) -> None:
    keys = AccountStores.from_engine(engine).keys
    key, _ = keys.issue_key("ann", "robot")
    runs.create(RunRequest("ann", "Why?", key_id=key.id))
    job = claimed(jobs)
    keys.rotate_key("ann", key.id)
    keys.revoke_key("ann", key.id)
    assert log.start_run(job).readers is None
