"""Removes text that is based on deleted or replaced versions from stored answers and run logs.

Questions and figures, such as token counts, are not removed. Answers and log entries are processed as JSON. If only the
names of a deleted document were shown to the model, an answer keeps its text, in which the names are masked. Logs and
replies contain prompts, so they are removed in this case too.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, delete, null, or_, select, update

from ingest.storage.answers.masking import DELETED_NAME, NameMask, mask_answer
from ingest.storage.db.database import lock_derived_content, truncate_write_ahead_log, write_transaction
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
from ingest.storage.documents.records import ROUTE_SUFFIX, Work
from ingest.storage.documents.works import (
    GoneVersions,
    erase_gone_names,
    list_gone_versions,
    mark_version_redacted,
    mark_versions_gone,
    move_seen_version,
)
from ingest.storage.instrumentation import reach_fault_point
from ingest.storage.queue.records import JobKind
from ingest.storage.remarks import Remark, convert_remark_to_json

WITHHELD_TEXT = "[withheld: based on a document that was deleted or replaced]"
CLOSED_TEXT = "[withheld: based on a document that you cannot access]"
WITHHELD_NOTE = Remark("withheld_deleted")
CLOSED_NOTE = Remark("withheld_closed")
# Check results which mean that the cited passages support a sentence.
_SUPPORTED_CHECKS = frozenset({"verified", "quoted", "computed"})
# Fields of logged events that contain no text, keyed by event kind. In events of other kinds, all fields are removed.
_CALL_MEMBERS = frozenset({"purpose", "usage", "cached", "cut_off", "code"})
_SAFE_MEMBERS = {
    "start": frozenset[str](),
    "resume": frozenset({"attempt"}),
    "end": frozenset({"state", "code"}),
    "paused": frozenset({"resource"}),
    "budget": frozenset({"added", "budget", "pauses"}),
    "call": _CALL_MEMBERS,
    "lost": _CALL_MEMBERS,
}


def redact_answer(
    body: Mapping[str, Any],
    gone_versions: Mapping[str, str],
    question: str,
    names: Collection[str] | None,
    *,
    placeholder: str = WITHHELD_TEXT,
) -> dict[str, Any]:
    """Redact an answer that used removed versions. `gone_versions` maps these versions to their documents.

    A sentence is retained if it cites only other versions, is supported by them, and contains none of `names`, which
    are the names of these documents. If they are not known (None), no sentence is retained. Every other sentence is
    replaced by `placeholder`, because the model may have included text from a removed version. `question` is the user's
    question.
    """
    numbers = {each["number"] for each in body["citations"] if each["version_id"] in gone_versions}
    mask = None if names is None else NameMask(dict.fromkeys(names, placeholder))
    text, sentences = _redact_sentences(body["text"], body["sentences"], numbers, mask, placeholder)
    documents = set(gone_versions.values())
    return {
        **body,
        "text": text,
        "sentences": sentences,
        "citations": [_redact_citation(each) if each["number"] in numbers else each for each in body["citations"]],
        "searched": {
            **body["searched"],
            "queries": [],
            "documents": [_remove_titles(each, documents) for each in body["searched"]["documents"]],
            "read_passages": _select_accessible_passages(body["searched"].get("read_passages", ()), documents),
        },
        "question": question,
        "reasons": [],
        "coded_reasons": [],
        "notes": [WITHHELD_NOTE],
        "coded_notes": [convert_remark_to_json(WITHHELD_NOTE)],
        "result": None,
        "table": None,
    }


def redact_gone_versions(body: Mapping[str, Any], gone: GoneVersions, question: str) -> dict[str, Any]:
    """Redact an answer that used removed versions, and mask the names of deleted documents that it has seen."""
    redacted = redact_answer(body, gone.used, question, gone.used_names) if gone.used else dict(body)
    # guard: seen-names-masked
    return mask_answer(redacted, question, _build_mask(gone))


def redact_for_reader(
    body: Mapping[str, Any],
    inaccessible_versions: Mapping[str, str],
    question: str,
    names: Collection[str] | None,
) -> dict[str, Any]:
    """Redact an answer for a reader who may not see the `inaccessible_versions` versions.

    `inaccessible_versions` maps these versions to their documents, and `names` are the names of the documents. The
    redacted answer does not name any of the documents and contains no figure computed from them.
    """
    hidden = {each["number"] for each in body["citations"] if each["version_id"] in inaccessible_versions}
    redacted = redact_answer(body, inaccessible_versions, question, names, placeholder=CLOSED_TEXT)
    nowhere = {"document_id": "", "version_id": "", "page": None, "place": "", "start": 0, "end": 0}
    documents = set(inaccessible_versions.values())
    return {
        **redacted,
        "citations": [{**each, **nowhere} if each["number"] in hidden else each for each in redacted["citations"]],
        "searched": {
            **redacted["searched"],
            "documents": [each for each in redacted["searched"]["documents"] if each["document_id"] not in documents],
        },
        "notes": [CLOSED_NOTE],
        "coded_notes": [convert_remark_to_json(CLOSED_NOTE)],
        "coverage": None,
        "rows_behind_total": 0,
    }


def remove_route(body: Mapping[str, Any]) -> dict[str, Any]:
    """Remove the model's reasons for choosing a strategy from an answer.

    The reasons may quote text that the model saw while choosing.
    """
    return {**body, "reasons": [], "coded_reasons": [], "searched": {**body["searched"], "queries": []}}


def redact_event(kind: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """Remove all text from the body of a logged event. The event type and cost are retained."""
    safe = _SAFE_MEMBERS.get(kind, frozenset())
    return {name: value for name, value in body.items() if name in safe} | {"withheld": True}


def redact_history(messages: Sequence[Mapping[str, str]], gone: GoneVersions) -> list[dict[str, str]]:
    """Remove the text of earlier answers from the messages that precede the question.

    If the answers have only seen names of deleted documents, these names are masked instead.
    """
    mask = _build_mask(gone)
    return [
        {**each, "text": WITHHELD_TEXT if gone.used else mask.mask_text(each["text"])}
        if each["role"] == "assistant"
        else dict(each)
        for each in messages
    ]


def _build_mask(gone: GoneVersions) -> NameMask:
    return NameMask(dict.fromkeys(gone.names, DELETED_NAME))


def _redact_sentences(
    whole: str,
    sentences: Sequence[Mapping[str, Any]],
    removed_citations: set[int],
    names: NameMask | None,
    placeholder: str,
) -> tuple[str, list[dict[str, Any]]]:
    """Return the text of the retained sentences, and all sentences with their positions in this text.

    `whole` is the text before redaction, whose paragraphs and lists the new text keeps. The check of a sentence does
    not object to a name from an earlier sentence or from the question. So a sentence that only other documents support
    may still contain one of `names`.
    """
    text, last_end = "", 0
    kept: list[dict[str, Any]] = []
    for each in sentences:
        gap, last_end = whole[last_end : each["start"]], each["end"]
        stays = (
            each["check"] in _SUPPORTED_CHECKS
            and each["citations"]
            and not removed_citations & set(each["citations"])
            and not _names_document(each, kept[-1]["text"] if kept else "", names)
        )
        said = each["text"] if stays else placeholder
        if not stays and kept and kept[-1]["text"] == placeholder:
            continue  # consecutive withheld sentences share one placeholder
        if text:
            text += _build_gap(gap, are_both_kept=stays and kept[-1]["text"] != placeholder)
        place = {"text": said, "start": len(text), "end": len(text) + len(said)}
        text += said
        without: dict[str, Any] = {"citations": [], "check": "unchecked", "reason": "", "quotes": [], "support": None}
        kept.append({**each, **place} if stays else {**each, **place, **without})
    return text or placeholder, kept


def _build_gap(gap: str, *, are_both_kept: bool) -> str:
    """Return the white space between two sentences, of which one may have been replaced by a placeholder.

    Other text in the gap, such as the header of a table, is not retained. A placeholder is a paragraph of its own,
    because Markdown would append it to a list item otherwise.
    """
    if "\n" not in gap:
        return " "
    return gap if are_both_kept and gap.isspace() else "\n\n"


def _names_document(sentence: Mapping[str, Any], before: str, names: NameMask | None) -> bool:
    """Return whether a sentence may contain one of these names, which may begin in the sentence before it."""
    said = f"{before} {sentence['text']}", sentence["reason"]
    # guard: naming-sentence-withheld
    return names is None or any(names.find_spans(each) for each in said)


def _redact_citation(citation: Mapping[str, Any]) -> dict[str, Any]:
    return {**citation, "title": "", "heading_path": [], "quote": "", "deleted": True}


def _select_accessible_passages(
    passages: Sequence[Mapping[str, Any]], document_ids: Collection[str]
) -> list[Mapping[str, Any]]:
    return [each for each in passages if each["document_id"] not in document_ids]


def _remove_titles(document: Mapping[str, Any], document_ids: Collection[str]) -> dict[str, Any]:
    return {**document, "title": ""} if document["document_id"] in document_ids else dict(document)


_WORKS_AT_ONCE = 20
_EVENTS_AT_ONCE = 100
_WITHHELD_KEY = "withheld"


@dataclass(frozen=True)
class RedactionCounts:
    """Counts of redacted answers, redacted runs and removed model replies."""

    answers: int = 0
    runs: int = 0
    replies: int = 0

    def __add__(self, other: "RedactionCounts") -> "RedactionCounts":
        return RedactionCounts(self.answers + other.answers, self.runs + other.runs, self.replies + other.replies)


class Redaction:
    """Redacts all content that was derived from versions that are being removed.

    It works in small transactions. If it is interrupted, running it again continues where it stopped.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def redact_version(self, tenant_id: str, version_id: str) -> RedactionCounts:
        """Redact everything that was derived from a version, and prevent more from being stored.

        The counts are added to the receipt of the document's deletion in the same commits. A run in progress that used
        the version is queued again. It resumes from the remaining part of its log, without the version. Finally, the
        database's write-ahead log is truncated, because it still contains the earlier text. Raises
        `CatalogUnavailableError` if the write-ahead log is being read and cannot be truncated.
        """
        total = RedactionCounts()
        while True:
            with write_transaction(self._engine) as connection:
                lock_derived_content(connection, tenant_id, exclusive=True)
                mark_versions_gone(connection, [version_id])
                found = self._list_next_work_ids(connection, version_id)
                done = sum((_redact_work(connection, work, version_id) for work in found), RedactionCounts())
                _add_counts_to_receipt(connection, version_id, done)
                if not found:
                    erase_gone_names(connection, version_id)
            total += done
            reach_fault_point("redact.committed")
            if not found:
                # guard: wal-emptied
                truncate_write_ahead_log(self._engine)
                return total

    def _list_next_work_ids(self, connection: Connection, version_id: str) -> list[str]:
        pending = work_versions.c.version_id == version_id, work_versions.c.redacted.is_(False)
        query = select(work_versions.c.work_id).where(*pending).order_by(work_versions.c.work_id).limit(_WORKS_AT_ONCE)
        return list(connection.execute(query).scalars())


def _redact_work(connection: Connection, work_id: str, version_id: str) -> RedactionCounts:
    # guard: seen-version-moves
    if move_seen_version(connection, work_id, version_id):
        return RedactionCounts()
    removed = connection.execute(delete(replies).where(replies.c.work_id == work_id)).rowcount
    run_id = work_id.removesuffix(ROUTE_SUFFIX)
    gone = list_gone_versions(connection, Work(work_id, frozenset()))
    if run_id == work_id:
        answered = _redact_stored_answer(connection, work_id, gone)
        ran = _redact_run(connection, work_id, gone)
    else:
        answered = ran = 0
        _redact_events(connection, run_id, purpose="route")
        for table in (answers, runs):
            row = connection.execute(select(table).where(table.c.id == run_id).with_for_update()).first()
            if row is not None and row.answer is not None:
                body = remove_route(row.answer) if gone.used else row.answer
                body = mask_answer(body, row.question, _build_mask(gone))
                connection.execute(update(table).where(table.c.id == run_id).values(answer=body))
    mark_version_redacted(connection, work_id, version_id)
    return RedactionCounts(answered, ran, removed)


def _redact_stored_answer(connection: Connection, answer_id: str, gone: GoneVersions) -> int:
    row = connection.execute(select(answers).where(answers.c.id == answer_id).with_for_update()).first()
    if row is None:
        return 0
    body = redact_gone_versions(row.answer, gone, row.question)
    connection.execute(update(answers).where(answers.c.id == answer_id).values(answer=body))
    # guard: redact-feedback-comments
    _redact_feedback(connection, answer_id, gone)
    return int(body != row.answer)


def _redact_feedback(connection: Connection, answer_id: str, gone: GoneVersions) -> None:
    """Remove comments on an answer, which may quote the document, and the marks on its sentences and citations.

    If only names were seen, they are masked in the comments.
    """
    of_answer = feedback.c.answer_id == answer_id
    commented = of_answer, feedback.c.comment.is_not(None)
    if gone.used:
        connection.execute(update(feedback).where(of_answer).values(sentences=[], citations=[]))
        connection.execute(update(feedback).where(*commented).values(comment=WITHHELD_TEXT))
        return
    mask = _build_mask(gone)
    for row in connection.execute(select(feedback.c.id, feedback.c.comment).where(*commented)).all():
        masked = mask.mask_text(row.comment)
        connection.execute(update(feedback).where(feedback.c.id == row.id).values(comment=masked))


def _redact_run(connection: Connection, run_id: str, gone: GoneVersions) -> int:
    """Redact a run and its log.

    A run in progress is requeued, because its worker still has the text in memory.
    """
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
    changed: dict[str, Any] = {"progress": null(), "history": redact_history(row.history, gone)}
    if row.answer is not None:
        changed["answer"] = redact_gone_versions(row.answer, gone, row.question)
    if row.error_code is not None:
        changed["error_detail"] = "The reason is withheld: it was based on a document that was deleted or replaced."
    connection.execute(update(runs).where(runs.c.id == run_id).values(**changed))
    return 1


def _redact_events(connection: Connection, run_id: str, *, purpose: str | None = None) -> None:
    """Remove texts and keys from a run's log, so that none of its entries is reused.

    If `purpose` is given, only calls with that purpose are redacted.
    """
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
            changed: dict[str, Any] = {"body": redact_event(row.kind, row.body)}
            if row.kind not in ("start", "resume", "end"):
                changed["key"] = f"{_WITHHELD_KEY}:{row.sequence}"
            connection.execute(update(run_events).where(*of_event).values(**changed))
        after = found[-1].sequence


def _add_counts_to_receipt(connection: Connection, version_id: str, counts: RedactionCounts) -> None:
    document = select(versions.c.document_id).where(versions.c.id == version_id).scalar_subquery()
    connection.execute(
        update(deletions)
        .where(deletions.c.document_id == document)
        .values(
            answers_redacted=deletions.c.answers_redacted + counts.answers,
            runs_redacted=deletions.c.runs_redacted + counts.runs,
            replies_removed=deletions.c.replies_removed + counts.replies,
        )
    )
