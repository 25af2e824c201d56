"""Answers a claimed run; threads and Celery workers share this code."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing
from decimal import Decimal
from typing import Any, Protocol

from ingest.storage.answers.run_log import RunLog
from ingest.storage.answers.run_records import Run, RunLogEntry, RunSpending
from ingest.storage.documents.records import UsedVersions
from ingest.storage.documents.rows import ActiveDocument
from ingest.storage.errors import LeadlineError, LeaseLostError
from ingest.storage.instrumentation import reach_fault_point
from ingest.storage.jobs.jobs import Jobs
from ingest.storage.queue.records import Job
from ingest.storage.quotas.records import to_nanodollars
from rlm.answers import build_stored_answer
from rlm.errors import LanguageModelRefusedError, LanguageModelUnavailableError, RunCancelledError, RunPausedError
from rlm.events import Completed, Event
from rlm.llm.budgets import Usage
from rlm.requests import AnswerOptions, AnswerRequest, AnswerScope, EarlierMessage, StrategyName
from rlm.runs.attempt import RunClock
from rlm.runs.bodies import get_run_state
from rlm.runs.durable import DurableRun
from rlm.runs.port import Durability
from rlm.runs.raises import compute_first_limits
from workers.deps import WorkerStopping
from workers.tasks.leases import watch_lease

# Maximum time for which a run's language model may be unreachable before the run fails.
_MAX_AWAY_SECONDS = 24 * 3600.0


class RunAnswerer(Protocol):
    """Answers a question in the same way as `rlm.answering.AnswerPipeline`."""

    def stream(
        self, request: AnswerRequest, *, cancelled: Callable[[], bool], durability: Durability
    ) -> Iterator[Event]: ...


class RunTask:
    """Answers a run's question, continuing where an earlier attempt was interrupted."""

    def __init__(self, jobs: Jobs, run_log: RunLog, run_answerer: RunAnswerer) -> None:
        self._jobs = jobs
        self._log = run_log
        self._answers = run_answerer

    def run(self, job: Job, should_stop: Callable[[], bool]) -> None:
        """Run one job.

        Raises `WorkerStopping` if the process is ending, `LeaseLostError` if the job was taken over, and any error that
        occurs while answering the question.
        """
        run = self._log.start_run(job)
        reach_fault_point("run.begun")
        clock, used = RunClock(run.seconds), UsedVersions(run.id)
        with watch_lease(self._jobs, job) as held:
            durable = DurableRun(run, _JobLog(self._log, job, clock, used, run.readers), clock)
            try:
                with closing(durable):
                    self._answer_run(job, run, used, durable, clock, is_cancelled=lambda: should_stop() or not held())
            except RunPausedError as paused:
                detail, resource = paused.detail, paused.resource
                self._log.pause_run(job, detail, resource, seconds=clock(), work=used.work)
            except RunCancelledError:
                self._raise_interruption(job, should_stop)
            except LanguageModelUnavailableError as error:
                raise _convert_long_outage(self._jobs.load_outage_seconds(job), error) from error

    def _answer_run(
        self,
        job: Job,
        run: Run,
        used_versions: UsedVersions,
        durable_run: DurableRun,
        clock: RunClock,
        *,
        is_cancelled: Callable[[], bool],
    ) -> None:
        request = _build_request(run, used_versions)
        for event in self._answers.stream(request, cancelled=is_cancelled, durability=durable_run):
            durable_run.record_event(event)
            if isinstance(event, Completed):
                durable_run.flush()
                reach_fault_point("run.answered")
                answer = event.answer
                kept = build_stored_answer(
                    answer,
                    run.id,
                    run.tenant_id,
                    run.question,
                    run.conversation_id,
                    run.owner,
                    scope=request.scope,
                )
                self._log.finish_run(
                    job, get_run_state(answer), kept.body, seconds=clock(), stored_answer=kept, work=used_versions.work
                )
                reach_fault_point("run.ended")
                return
        raise RunCancelledError("The run was cancelled.")

    def _raise_interruption(self, job: Job, should_stop: Callable[[], bool]) -> None:
        """Raise the error for an interruption: the process is ending, or this worker no longer holds the job."""
        self._jobs.require_lease(job)
        if should_stop():
            raise WorkerStopping
        raise LeaseLostError(f"The lease of job {job.id} lapsed because it could not be checked in time.")


class _JobLog:
    """The log of one run. Entries are written on behalf of the job that the worker holds."""

    def __init__(
        self, run_log: RunLog, job: Job, clock: RunClock, used_versions: UsedVersions, readers: frozenset[str] | None
    ) -> None:
        self._log = run_log
        self._job = job
        self._clock = clock
        self._used = used_versions
        self._readers = readers

    def load_bodies(self, keys: Collection[str]) -> Mapping[str, Mapping[str, Any]]:
        return self._log.load_entry_bodies(self._job.version_id, keys)

    def append_entries(self, entries: Sequence[RunLogEntry]) -> None:
        self._log.append_entries(self._job, entries, seconds=self._clock(), work=self._used.work)

    def list_hidden_versions(self, version_ids: Collection[str]) -> Collection[str]:
        return self._log.list_hidden_versions(version_ids, self._readers)

    def load_lost_usage(self) -> Usage:
        return Usage(**self._log.load_lost_call_usage(self._job.version_id))

    def record_spending(self, usage: Usage, dollars: Decimal) -> None:
        spent = RunSpending(usage.calls, 0, usage.prompt_tokens, usage.completion_tokens, to_nanodollars(dollars))
        self._log.increase_spending(self._job.version_id, spent)

    def list_pinned_documents(self, *, after: int) -> list[ActiveDocument]:
        return self._log.list_pinned_documents(self._job.version_id, readers=self._readers, after=after)


def _build_request(run: Run, used_versions: UsedVersions) -> AnswerRequest:
    """Build the request of a run. No confirmation is needed, because a run cannot exceed its budget."""
    return AnswerRequest(
        run.question,
        AnswerScope(run.tenant_id, run.collections, run.documents, run.filters, run.readers),
        tuple(EarlierMessage("user" if said["role"] == "user" else "assistant", said["text"]) for said in run.history),
        AnswerOptions(
            StrategyName(run.strategy),
            confirm=True,
            budget=compute_first_limits(run),
            every_record=run.every_record,
        ),
        used_versions,
    )


def _convert_long_outage(away_seconds: float, error: LeadlineError) -> LeadlineError:
    """Return the error unchanged, or a permanent error if the model has been unreachable for too long."""
    if away_seconds < _MAX_AWAY_SECONDS:
        return error
    return LanguageModelRefusedError(
        f"The language model was unreachable for too long: {error.detail}", hint=error.hint
    )
