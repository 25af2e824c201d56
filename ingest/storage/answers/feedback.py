"""Feedback on stored answers, from the API, the portal and Slack. Each author has at most one entry per answer."""

import time
import uuid
from collections.abc import Callable, Collection
from typing import Any

from sqlalchemy import Engine, Row, delete, func, insert, select, update

from ingest.storage.accounts.access import Readers
from ingest.storage.answers.conversations import load_answer
from ingest.storage.answers.feedback_records import MAX_COMMENT_CHARS, FeedbackEntry, FeedbackFilter, Rating, Verdict
from ingest.storage.answers.masking import NameMask, load_masks
from ingest.storage.answers.records import StoredAnswer
from ingest.storage.answers.redaction import WITHHELD_TEXT
from ingest.storage.db.database import lock_tenant, read_transaction, write_transaction
from ingest.storage.db.schema import answers, feedback
from ingest.storage.documents.works import list_inaccessible_versions
from ingest.storage.errors import FeedbackInvalidError, FeedbackNotFoundError
from ingest.storage.webhooks.outbox import publish_event
from ingest.storage.webhooks.records import EventType


class Feedback:
    """The feedback of all tenants. Each call accesses the feedback of a single tenant.

    If `owner` is given, a method finds only feedback on that owner's answers. An author is a string such as `user:ann`
    or `key:ID`.
    """

    def __init__(self, engine: Engine, *, clock: Callable[[], float] = time.time) -> None:
        self._engine = engine
        self._clock = clock

    def record_feedback(
        self, tenant_id: str, answer_id: str, author: str, verdict: Verdict, *, owner: str | None = None
    ) -> FeedbackEntry:
        """Store an author's feedback on an answer, replacing the author's earlier feedback.

        Raises `AnswerNotFoundError` if there is no such answer, and `FeedbackInvalidError` if it has no such sentence
        or citation.
        """
        with write_transaction(self._engine) as connection:
            lock_tenant(connection, tenant_id)
            _require_valid_verdict(load_answer(connection, tenant_id, answer_id, owner), verdict)
            now = self._clock()
            said = {
                "rating": verdict.rating.value,
                "comment": verdict.comment.strip() or None,
                "sentences": sorted(set(verdict.sentences)),
                "citations": sorted(set(verdict.citations)),
                "updated_at": now,
            }
            mine = feedback.c.answer_id == answer_id, feedback.c.author == author
            if not connection.execute(update(feedback).where(*mine).values(**said)).rowcount:
                query = select(func.max(feedback.c.sequence)).where(feedback.c.tenant_id == tenant_id)
                last = connection.execute(query).scalar() or 0
                connection.execute(
                    insert(feedback).values(
                        id=str(uuid.uuid4()),
                        sequence=last + 1,
                        tenant_id=tenant_id,
                        answer_id=answer_id,
                        author=author,
                        created_at=now,
                        **said,
                    )
                )
            entry = _build_entry(connection.execute(_build_query(tenant_id).where(*mine)).one())
            given = {"feedback": entry.id, "answer": answer_id, "rating": verdict.rating.value}
            publish_event(connection, tenant_id, EventType.FEEDBACK_GIVEN, [given], change=f":{now:.3f}")
            return entry

    def list_for_answer(
        self, tenant_id: str, answer_id: str, author: str | None = None, *, owner: str | None = None
    ) -> list[FeedbackEntry]:
        """List the feedback on an answer. If `author` is given, list only that author's feedback.

        Raises `AnswerNotFoundError` if there is no such answer.
        """
        query = _build_query(tenant_id).where(feedback.c.answer_id == answer_id)
        if author is not None:
            query = query.where(feedback.c.author == author)
        with read_transaction(self._engine) as connection:
            load_answer(connection, tenant_id, answer_id, owner)
            return [_build_entry(row) for row in connection.execute(query.order_by(feedback.c.sequence)).all()]

    def list_by_author(self, tenant_id: str, answer_ids: Collection[str], author: str) -> dict[str, FeedbackEntry]:
        """Return an author's feedback on these answers, keyed by answer id.

        The caller must have checked that the author may read the answers.
        """
        query = _build_query(tenant_id).where(feedback.c.answer_id.in_(list(answer_ids)), feedback.c.author == author)
        with read_transaction(self._engine) as connection:
            return {row.answer_id: _build_entry(row) for row in connection.execute(query).all()}

    def delete_feedback(self, tenant_id: str, answer_id: str, author: str, *, owner: str | None = None) -> None:
        """Delete an author's feedback on an answer.

        Raises `AnswerNotFoundError` if there is no such answer, and `FeedbackNotFoundError` if there is no such
        feedback.
        """
        mine = feedback.c.tenant_id == tenant_id, feedback.c.answer_id == answer_id, feedback.c.author == author
        with write_transaction(self._engine) as connection:
            load_answer(connection, tenant_id, answer_id, owner)
            if not connection.execute(delete(feedback).where(*mine)).rowcount:
                raise FeedbackNotFoundError(f"You have not given feedback on answer {answer_id!r}.")

    def list_latest(
        self,
        tenant_id: str,
        filters: FeedbackFilter | None = None,
        *,
        before: int | None = None,
        limit: int = 50,
        readers: Readers = None,
    ) -> list[FeedbackEntry]:
        """List a tenant's feedback with a `sequence` below `before`, newest first.

        A comment may quote the documents used for the answer, so it is withheld unless these readers may see all of
        those documents. Names of documents that the answer has only seen are masked.
        """
        filters = filters or FeedbackFilter()
        query = _build_query(tenant_id)
        for column, value in (
            (feedback.c.rating, filters.rating and filters.rating.value),
            (feedback.c.answer_id, filters.answer_id),
            (feedback.c.author, filters.author),
        ):
            query = query if value is None else query.where(column == value)
        if filters.commented is not None:
            query = query.where(feedback.c.comment.is_not(None) == filters.commented)
        if filters.since is not None:
            query = query.where(feedback.c.updated_at >= filters.since)
        if filters.until is not None:
            query = query.where(feedback.c.updated_at < filters.until)
        if before is not None:
            query = query.where(feedback.c.sequence < before)
        with read_transaction(self._engine) as connection:
            rows = connection.execute(query.order_by(feedback.c.sequence.desc()).limit(limit)).all()
            closed = list_inaccessible_versions(connection, [row.answer_id for row in rows], readers)
            masks = load_masks(connection, readers, [row.answer_id for row in rows])
        return [_build_entry(row, masks[row.answer_id], is_withheld=row.answer_id in closed) for row in rows]


def _build_query(tenant_id: str) -> Any:  # noqa: ANN401 - a select of many columns
    about = (
        answers.c.conversation_id,
        answers.c.question,
        answers.c.answer["strategy"].as_string().label("strategy"),
        answers.c.answer["model"].as_string().label("model"),
    )
    return (
        select(feedback, *about)
        .join(answers, answers.c.id == feedback.c.answer_id)
        .where(feedback.c.tenant_id == tenant_id)
    )


def _build_entry(row: Row[Any], mask: NameMask | None = None, *, is_withheld: bool = False) -> FeedbackEntry:
    comment = WITHHELD_TEXT if is_withheld and row.comment else row.comment or ""
    comment = comment if mask is None else mask.mask_text(comment)
    return FeedbackEntry(
        row.id,
        row.sequence,
        row.answer_id,
        row.conversation_id,
        row.author,
        Verdict(Rating(row.rating), comment, tuple(row.sentences), tuple(row.citations)),
        row.question,
        row.strategy or "",
        row.model,
        row.created_at,
        row.updated_at,
    )


def _require_valid_verdict(answer: StoredAnswer, verdict: Verdict) -> None:
    if len(verdict.comment) > MAX_COMMENT_CHARS:
        raise FeedbackInvalidError(
            f"The comment has {len(verdict.comment):,} characters; the limit is {MAX_COMMENT_CHARS:,}."
        )
    numbers = {each["number"] for each in answer.body.get("citations", ())}
    _require_existing_numbers(verdict.sentences, range(1, len(answer.body.get("sentences", ())) + 1), "sentence")
    _require_existing_numbers(verdict.citations, numbers, "citation")


def _require_existing_numbers(numbers: Collection[int], existing_numbers: Collection[int], label: str) -> None:
    for number in numbers:
        # guard: feedback-names-own-citations
        if number not in existing_numbers:
            raise FeedbackInvalidError(f"The answer has no {label} {number}.")
