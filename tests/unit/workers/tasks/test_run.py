"""A run's worker, whose language model is away: how long it waits, and since when."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from sqlalchemy import Engine, update

from ingest.storage.answers.run_log import RunLog
from ingest.storage.answers.run_records import Run, RunRequest, RunState
from ingest.storage.answers.runs import Runs
from ingest.storage.db.database import open_database
from ingest.storage.db.schema import runs as run_rows
from ingest.storage.documents.catalog import Catalog
from ingest.storage.jobs.jobs import Jobs, compute_retry_delay_seconds
from ingest.storage.queue.records import Job, JobKind
from rlm.errors import LanguageModelUnavailableError, not_cancelled
from rlm.events import Event
from rlm.llm.budgets import Limits, Usage
from rlm.llm.port import Finished, SubCall, SubFailure, SubReply, ignore_result
from rlm.requests import AnswerRequest
from rlm.runs.port import Durability
from tests.fakes.whole_replies import WholeReplies
from tests.support.catalogs import age_absence, migrated_sqlite, wake
from tests.support.postgres import disposed
from workers.job_runner import JobRunner
from workers.tasks.run import RunTask

DAY_SECONDS = 24 * 3600.0


class GoingAway(WholeReplies):
    """Answers every sub-call, and the language model is away when it is done."""

    def run(
        self,
        calls: Sequence[SubCall],
        *,
        cancelled: Callable[[], bool] = not_cancelled,
        on_result: Finished = ignore_result,
    ) -> Sequence[SubReply | SubFailure]:
        for at, call in enumerate(calls):
            on_result(at, SubReply(call.prompt, Usage(1, 10, 2)))
        raise LanguageModelUnavailableError("The language model cannot be reached.")


class AwayAnswers:
    """The language model goes away after it has answered `prompts`."""

    def __init__(self) -> None:
        self.prompts: list[str] = []

    def stream(
        self, request: AnswerRequest, *, cancelled: Callable[[], bool], durability: Durability
    ) -> Iterator[Event]:
        calls = durability.wrap_sub_calls(GoingAway(), durability.build_budget(Limits(), None), None)
        calls.run([SubCall("", prompt, 10) for prompt in self.prompts])
        raise LanguageModelUnavailableError("The language model cannot be reached.")


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with disposed(open_database(migrated_sqlite(tmp_path / "catalog.sqlite"))) as engine:
        Catalog(engine).ensure_tenant("ann")
        yield engine


class Waiting:
    """A run whose worker finds the language model away, attempt after attempt."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.answers = engine, AwayAnswers()
        self._jobs, self._runs = Jobs(engine), Runs(engine)
        self._id = self._runs.create(RunRequest("ann", "Why?"))[0].id
        task = RunTask(self._jobs, RunLog(engine), self.answers)
        self._runner = JobRunner(self._jobs, should_stop=lambda: False, run_task=task)

    def attempt(self) -> Run:
        """The run after one more."""
        wake(self.engine)
        assert self._runner.run_once(JobKind.RUN) == 1
        return self._runs.load_run("ann", self._id)


@pytest.fixture
def waiting(engine: Engine) -> Waiting:
    return Waiting(engine)


def test_a_run_that_stood_in_the_queue_for_a_day_waits_for_its_model_as_any_other(waiting: Waiting) -> None:
    with waiting.engine.begin() as connection:
        connection.execute(update(run_rows).values(created_at=run_rows.c.created_at - 2 * DAY_SECONDS))
    assert waiting.attempt().state is RunState.QUEUED


def test_a_model_that_was_away_for_a_day_is_no_longer_waited_for(waiting: Waiting) -> None:
    waiting.attempt()
    age_absence(waiting.engine, DAY_SECONDS - 3600)
    assert waiting.attempt().state is RunState.QUEUED
    age_absence(waiting.engine, 3600)
    failed = waiting.attempt()
    assert failed.failure is not None
    assert (failed.state, failed.failure.code) == (RunState.FAILED, "language_model_refused")
    assert "unreachable for too long" in failed.failure.detail


def test_a_model_that_was_there_in_between_is_waited_for_anew(waiting: Waiting) -> None:
    waiting.attempt()
    age_absence(waiting.engine, DAY_SECONDS)
    waiting.answers.prompts.append("Is it?")
    assert waiting.attempt().state is RunState.QUEUED
    age_absence(waiting.engine, DAY_SECONDS)
    assert waiting.attempt().state is RunState.FAILED


def test_pauses_double_up_to_two_minutes() -> None:
    job = Job(1, JobKind.RUN, "ann", "r", "r", 1, 1)
    away, pauses = 0.0, []
    for _ in range(7):
        pauses.append(compute_retry_delay_seconds(job, away))
        away += pauses[-1]
    assert pauses == [5, 10, 20, 40, 80, 120, 120]
