"""A claimed run is answered; threads and Celery workers use it alike."""

import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from decimal import Decimal
from typing import Any, Protocol

import structlog

from ingest.storage.answers.run_log import RunLog
from ingest.storage.answers.run_records import Entry, Run, Spent
from ingest.storage.documents.records import UsedVersions
from ingest.storage.documents.rows import ActiveDocument
from ingest.storage.errors import LeadlineError, LeaseLostError
from ingest.storage.instrumentation import reach
from ingest.storage.jobs.jobs import Jobs
from ingest.storage.queue.records import Job
from ingest.storage.quotas.records import nanodollars
from rlm.answers import kept_answer
from rlm.errors import LanguageModelRefusedError, LanguageModelUnavailableError, RunCancelledError, RunPausedError
from rlm.events import Completed, Event
from rlm.llm.budgets import Usage
from rlm.requests import AnswerRequest, AnswerScope, Message, StrategyName, Wanted
from rlm.runs.attempt import RunClock
from rlm.runs.bodies import state_of
from rlm.runs.durable import DurableRun
from rlm.runs.port import Durability
from rlm.runs.raises import first_limits
from workers.deps import Stopping

# How often a worker checks whether its run was cancelled.
_LOOK_SECONDS = 0.5
# After this long without its language model a run fails.
_PATIENCE_SECONDS = 24 * 3600.0

log = structlog.get_logger(__name__)


class Answers(Protocol):
    """Answers a question, as `rlm.answering.Answering` does."""

    def stream(
        self, request: AnswerRequest, *, cancelled: Callable[[], bool], durability: Durability
    ) -> Iterator[Event]: ...


class RunTask:
    """Answers a run's question, from where an earlier attempt was interrupted."""

    def __init__(self, jobs: Jobs, run_log: RunLog, answers: Answers) -> None:
        self._jobs = jobs
        self._log = run_log
        self._answers = answers

    def run(self, job: Job, stopping: Callable[[], bool]) -> None:
        """Run one job. Raises `Stopping`, errors of answering, and `LeaseLostError` if the job was taken away."""
        run = self._log.begin(job)
        reach("run.begun")
        clock, used = RunClock(run.seconds), UsedVersions(run.id)
        with self._watching(job) as held:
            durable = DurableRun(run, _JobLog(self._log, job, clock, used, run.readers), clock)
            try:
                with closing(durable):
                    self._answer(job, run, used, durable, clock, cancelled=lambda: stopping() or not held())
            except RunPausedError as paused:
                detail, resource = paused.detail, paused.resource
                self._log.pause(job, detail, resource, seconds=clock(), work=used.work)
            except RunCancelledError:
                self._raise_reason(job, stopping)
            except LanguageModelUnavailableError as error:
                raise _or_refused(self._jobs.away_seconds(job), error) from error

    def _answer(
        self,
        job: Job,
        run: Run,
        used: UsedVersions,
        durable: DurableRun,
        clock: RunClock,
        *,
        cancelled: Callable[[], bool],
    ) -> None:
        for event in self._answers.stream(_request(run, used), cancelled=cancelled, durability=durable):
            durable.record(event)
            if isinstance(event, Completed):
                durable.flush()
                reach("run.answered")
                answer = event.answer
                kept = kept_answer(answer, run.id, run.tenant_id, run.question, run.conversation_id, run.owner)
                self._log.finish(job, state_of(answer), kept.body, seconds=clock(), kept=kept, work=used.work)
                reach("run.ended")
                return
        raise RunCancelledError("The run was cancelled.")

    def _raise_reason(self, job: Job, stopping: Callable[[], bool]) -> None:
        """Raise why the run was interrupted: the process ends, or the job is no longer this worker's."""
        self._jobs.check(job)
        if stopping():
            raise Stopping
        raise LeaseLostError(f"Job {job.id} could not be seen to be held for too long.")

    @contextmanager
    def _watching(self, job: Job) -> Iterator[Callable[[], bool]]:
        """Yield a function that tells whether the job is still held, as of half a second ago.

        While the catalog is away, the job counts as held for as long as its lease would last.
        """
        over, lost = threading.Event(), threading.Event()

        def watch() -> None:
            seen = time.monotonic()
            while not over.wait(_LOOK_SECONDS):
                try:
                    self._jobs.check(job)
                    seen = time.monotonic()
                except LeaseLostError:
                    return lost.set()
                except Exception as error:  # noqa: BLE001 - without this thread nobody would learn of a cancellation
                    log.warning("a run's job cannot be looked at", job=job.id, error=repr(error))
                    if time.monotonic() - seen > self._jobs.lease_seconds:
                        return lost.set()
            return None

        watcher = threading.Thread(target=watch, name=f"run-{job.id}", daemon=True)
        watcher.start()
        try:
            yield lambda: not lost.is_set()
        finally:
            over.set()
            watcher.join()


class _JobLog:
    """The log of one run, bound to the job that its worker holds."""

    def __init__(
        self, run_log: RunLog, job: Job, clock: RunClock, used: UsedVersions, readers: frozenset[str] | None
    ) -> None:
        self._log = run_log
        self._job = job
        self._clock = clock
        self._used = used
        self._readers = readers

    def logged(self, keys: Collection[str]) -> Mapping[str, Mapping[str, Any]]:
        return self._log.logged(self._job.version_id, keys)

    def append(self, entries: Sequence[Entry]) -> None:
        self._log.append(self._job, entries, seconds=self._clock(), work=self._used.work)

    def withheld(self, version_ids: Collection[str]) -> Collection[str]:
        return self._log.withheld(version_ids, self._readers)

    def lost(self) -> Usage:
        return Usage(**self._log.lost(self._job.version_id))

    def spent(self, usage: Usage, dollars: Decimal) -> None:
        spent = Spent(usage.calls, 0, usage.prompt_tokens, usage.completion_tokens, nanodollars(dollars))
        self._log.raise_spent(self._job.version_id, spent)

    def pinned(self, *, after: int) -> list[ActiveDocument]:
        return self._log.pinned(self._job.version_id, readers=self._readers, after=after)


def _request(run: Run, used: UsedVersions) -> AnswerRequest:
    """Return a run's request; it spends no more than its budget, so nothing is left to be confirmed."""
    return AnswerRequest(
        run.question,
        AnswerScope(run.tenant_id, run.collections, run.documents, run.filters, run.readers),
        tuple(Message("user" if said["role"] == "user" else "assistant", said["text"]) for said in run.history),
        Wanted(
            StrategyName(run.strategy),
            confirm=True,
            budget=first_limits(run),
            every_record=run.every_record,
        ),
        used,
    )


def _or_refused(away_seconds: float, error: LeadlineError) -> LeadlineError:
    """Return the error, or a permanent one once the model has been away for too long."""
    if away_seconds < _PATIENCE_SECONDS:
        return error
    return LanguageModelRefusedError(f"The language model was away for too long: {error.detail}", hint=error.hint)
