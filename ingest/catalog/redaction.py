"""Redacts what was made of a version that goes: answers, runs with their logs, feedback and kept replies."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, delete, null, or_, select, update

from ingest.storage.answers.redaction import WITHHELD, redacted_answer, redacted_event, redacted_history, without_route
from ingest.storage.db.database import lock_derived, scrub, write
from ingest.storage.db.schema import (
    answers,
    deletions,
    feedback,
    jobs,
    replies,
    run_events,
    runs,
    versions,
    work_versions,
)
from ingest.storage.documents.records import ROUTE
from ingest.storage.documents.works import gone_of, mark_gone
from ingest.storage.instrumentation import reach
from ingest.storage.queue.records import JobKind

_WORKS_AT_ONCE = 20
_EVENTS_AT_ONCE = 100
_WITHHELD_KEY = "withheld"


@dataclass(frozen=True)
class Redacted:
    """What was redacted or removed: answers, runs with their logs, and kept replies of models."""

    answers: int = 0
    runs: int = 0
    replies: int = 0

    def __add__(self, other: "Redacted") -> "Redacted":
        return Redacted(self.answers + other.answers, self.runs + other.runs, self.replies + other.replies)


class Redaction:
    """Redacts what was made of versions that go: in small transactions, and again from where it was interrupted."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def redact(self, tenant_id: str, version_id: str) -> Redacted:
        """Redact everything that was made of a version; nothing more of it can be stored afterwards.

        What a receipt of the document counts is added to it in the commits that redact. A run under way that was given
        the version begins again, from the part of its log that is left, without it. At the end, the database's log is
        emptied of what was there before. Raises `CatalogUnavailableError` while that cannot be done.
        """
        total = Redacted()
        while True:
            with write(self._engine) as connection:
                lock_derived(connection, tenant_id, alone=True)
                mark_gone(connection, [version_id])
                found = self._next_works(connection, version_id)
                done = sum((_redact_work(connection, work, version_id) for work in found), Redacted())
                _add_to_receipt(connection, version_id, done)
            total += done
            reach("redact.committed")
            if not found:
                # guard: wal-emptied
                scrub(self._engine)
                return total

    def _next_works(self, connection: Connection, version_id: str) -> list[str]:
        pending = work_versions.c.version_id == version_id, work_versions.c.redacted.is_(False)
        query = select(work_versions.c.work_id).where(*pending).order_by(work_versions.c.work_id).limit(_WORKS_AT_ONCE)
        return list(connection.execute(query).scalars())


def _redact_work(connection: Connection, work_id: str, version_id: str) -> Redacted:
    removed = connection.execute(delete(replies).where(replies.c.work_id == work_id)).rowcount
    run_id = work_id.removesuffix(ROUTE)
    if run_id == work_id:
        gone = gone_of(connection, work_id)
        answered = _redact_answer(connection, work_id, gone)
        ran = _redact_run(connection, work_id, gone)
    else:
        answered = ran = 0
        _redact_events(connection, run_id, purpose="route")
        for table in (answers, runs):
            row = connection.execute(select(table).where(table.c.id == run_id).with_for_update()).first()
            if row is not None and row.answer is not None:
                body = without_route(row.answer)
                connection.execute(update(table).where(table.c.id == run_id).values(answer=body))
    of_work = work_versions.c.work_id == work_id, work_versions.c.version_id == version_id
    connection.execute(update(work_versions).where(*of_work).values(redacted=True))
    return Redacted(answered, ran, removed)


def _redact_answer(connection: Connection, answer_id: str, gone: Mapping[str, str]) -> int:
    row = connection.execute(select(answers).where(answers.c.id == answer_id).with_for_update()).first()
    if row is None:
        return 0
    body = redacted_answer(row.answer, gone, row.question)
    connection.execute(update(answers).where(answers.c.id == answer_id).values(answer=body))
    # guard: redact-feedback-comments
    _redact_feedback(connection, answer_id)
    return 1


def _redact_feedback(connection: Connection, answer_id: str) -> None:
    """Take away what people said of an answer in words, which may be the document's, and what names its sentences."""
    of_answer = feedback.c.answer_id == answer_id
    connection.execute(update(feedback).where(of_answer).values(sentences=[], citations=[]))
    commented = of_answer, feedback.c.comment.is_not(None)
    connection.execute(update(feedback).where(*commented).values(comment=WITHHELD))


def _redact_run(connection: Connection, run_id: str, gone: Mapping[str, str]) -> int:
    """Redact a run with its log. One that is under way loses its worker, whose memory still has the text."""
    of_job = jobs.c.kind == JobKind.RUN, jobs.c.version_id == run_id
    connection.execute(
        update(jobs)
        .where(*of_job, jobs.c.state == "running")
        # guard: gone-version-stops-run
        .values(state="queued", fence=jobs.c.fence + 1, attempt=jobs.c.attempt - 1, lease_until=None)
    )
    connection.execute(update(jobs).where(*of_job).values(error_detail=null()))
    row = connection.execute(select(runs).where(runs.c.id == run_id).with_for_update()).first()
    if row is None:
        return 0
    _redact_events(connection, run_id)
    changed: dict[str, Any] = {"progress": null(), "history": redacted_history(row.history)}
    if row.answer is not None:
        changed["answer"] = redacted_answer(row.answer, gone, row.question)
    if row.error_code is not None:
        changed["error_detail"] = "The reason is withheld: it rested on a document that was deleted or replaced."
    connection.execute(update(runs).where(runs.c.id == run_id).values(**changed))
    return 1


def _redact_events(connection: Connection, run_id: str, *, purpose: str | None = None) -> None:
    """Take texts and keys out of a run's log, so that nothing of it is reused; of one `purpose` if it is given."""
    body, after = run_events.c.body, 0
    query = (
        select(run_events.c.sequence, run_events.c.kind, body)
        .where(run_events.c.run_id == run_id, run_events.c.key.not_like(f"{_WITHHELD_KEY}:%"))
        .order_by(run_events.c.sequence)
        .limit(_EVENTS_AT_ONCE)
    )
    if purpose is not None:
        query = query.where(or_(body["purpose"].as_string() == purpose, run_events.c.kind == "routed"))
    while found := connection.execute(query.where(run_events.c.sequence > after)).all():
        for row in found:
            of_event = run_events.c.run_id == run_id, run_events.c.sequence == row.sequence
            changed: dict[str, Any] = {"body": redacted_event(row.kind, row.body)}
            if row.kind not in ("start", "resume", "end"):
                changed["key"] = f"{_WITHHELD_KEY}:{row.sequence}"
            connection.execute(update(run_events).where(*of_event).values(**changed))
        after = found[-1].sequence


def _add_to_receipt(connection: Connection, version_id: str, done: Redacted) -> None:
    document = select(versions.c.document_id).where(versions.c.id == version_id).scalar_subquery()
    connection.execute(
        update(deletions)
        .where(deletions.c.document_id == document)
        .values(
            answers_redacted=deletions.c.answers_redacted + done.answers,
            runs_redacted=deletions.c.runs_redacted + done.runs,
            replies_removed=deletions.c.replies_removed + done.replies,
        )
    )
