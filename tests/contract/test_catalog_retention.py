"""What is kept for a time goes after it, and nothing else."""

import time

import pytest
from sqlalchemy import Engine, func, select

from ingest.storage.answers.conversations import Conversations
from ingest.storage.answers.records import StoredAnswer
from ingest.storage.answers.replies import Replies, StoredReply
from ingest.storage.answers.run_log import RunLog
from ingest.storage.answers.run_records import RunLogEntry, RunRequest, RunState
from ingest.storage.answers.runs import Runs
from ingest.storage.audit.records import Action
from ingest.storage.audit.store import Audit
from ingest.storage.db.schema import work_versions
from ingest.storage.documents.batches import Batches
from ingest.storage.documents.catalog import Catalog
from ingest.storage.documents.records import Work
from ingest.storage.errors import BatchNotFoundError, RunNotFoundError
from ingest.storage.jobs.jobs import Jobs
from ingest.storage.operations.expiry import Expiry
from ingest.storage.operations.retention import Retention
from ingest.storage.queue.records import JobKind
from tests.support.catalogs import accept, arrive

DAY_SECONDS = 24 * 3600.0


def later(engine: Engine, days: float) -> Expiry:
    return Expiry(engine, clock=lambda: time.time() + days * DAY_SECONDS)


def ended_run(engine: Engine, jobs: Jobs, version: str) -> str:
    run, _ = Runs(engine).create(RunRequest("ann", "What?"))
    (job,) = jobs.claim(JobKind.RUN)
    log, work = RunLog(engine), Work(run.id, frozenset({version}))
    log.start_run(job)
    log.append_entries(job, [RunLogEntry("a", "call", {"text": "said"})], seconds=1.0, work=work)
    answer = StoredAnswer(run.id, "ann", None, None, "What?", {"text": "said"}, (), time.time())
    log.finish_run(job, RunState.COMPLETED, answer.body, seconds=1.0, stored_answer=answer, work=work)
    return run.id


def test_a_runs_log_goes_first_and_followers_still_see_its_end_then_the_run_and_its_answer_by_its_own_time(
    engine: Engine, catalog: Catalog, jobs: Jobs
) -> None:
    run = ended_run(engine, jobs, arrive(catalog).version.id)
    waiting, _ = Runs(engine).create(RunRequest("ann", "And?"))
    retention = Retention(runs_days=20, run_logs_days=10, answers_days=40)
    assert later(engine, 9).delete_expired_records(retention) == {}
    assert later(engine, 11).delete_expired_records(retention) == {"run logs": 1}
    assert later(engine, 12).delete_expired_records(retention) == {}
    assert [event.kind for event in Runs(engine).list_events("ann", run)] == ["start", "end"]
    assert Runs(engine).load_run("ann", run).answer == {"text": "said"}
    assert later(engine, 21).delete_expired_records(retention) == {"runs": 1}
    with pytest.raises(RunNotFoundError):
        Runs(engine).load_run("ann", run)
    assert Conversations(engine).load_answer("ann", run).body == {"text": "said"}
    assert Runs(engine).load_run("ann", waiting.id).state is RunState.QUEUED


def test_a_closed_batch_goes_after_its_time_and_its_documents_stay(engine: Engine, catalog: Catalog) -> None:
    batches = Batches(engine)
    closed, open_ = (batches.create("ann", name=name)[0].id for name in ("closed", "open"))
    document = accept(catalog, batch_id=closed).document
    batches.close("ann", closed)
    assert later(engine, 5).delete_expired_records(Retention(batches_days=6)) == {}
    assert later(engine, 7).delete_expired_records(Retention(batches_days=6)) == {"batches": 1}
    with pytest.raises(BatchNotFoundError):
        batches.load_progress("ann", closed)
    assert batches.load_progress("ann", open_).batch.id == open_
    assert catalog.load_document("ann", document.id) == document


def test_the_audit_log_is_trimmed_once_a_day_of_it_is_too_old(engine: Engine, catalog: Catalog) -> None:
    arrive(catalog)
    audit, retention = Audit(engine), Retention(audit_days=10)
    assert later(engine, 10.5).delete_expired_records(retention) == {}
    assert later(engine, 11.5).delete_expired_records(retention) == {"audit": 3}
    assert (audit.verify().faults, audit.verify().entries) == ((), 1)
    audit.record_action(Action.TENANT_CHANGED, "tenant:ann", tenant_id="ann")
    assert audit.verify().faults == ()


def test_what_a_work_was_given_is_known_as_long_as_anything_of_it_is_kept(
    engine: Engine, catalog: Catalog, jobs: Jobs
) -> None:
    version = arrive(catalog).version.id
    run = ended_run(engine, jobs, version)
    Replies(engine).store_replies("ann", [StoredReply("key", "said", 1, 1, 1)], Work("asked", frozenset({version})))

    def works() -> int:
        with engine.connect() as connection:
            return connection.execute(select(func.count()).select_from(work_versions)).scalar_one()

    later(engine, 0).delete_expired_records(Retention())
    assert works() == 2
    Runs(engine).delete("ann", run)
    later(engine, 0).delete_expired_records(Retention())
    assert works() == 1
    Replies(engine).delete_replies("ann")
    later(engine, 0).delete_expired_records(Retention())
    assert works() == 0
