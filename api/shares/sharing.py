"""Reads conversations and runs by a link, as far as everything that they were given is open to the reader."""

from collections.abc import Sequence
from dataclasses import replace

from api.admission.services import Services
from api.answers.conversation_schemas import TurnOut
from api.answers.run_schemas import RunWithAnswerOut
from api.answers.schemas import extract_cited_documents
from ingest.storage.accounts.records import Principal
from ingest.storage.answers.feedback_records import Share
from ingest.storage.answers.records import StoredAnswer
from ingest.storage.answers.run_records import Run
from ingest.storage.queue.records import Failure

_WITHHELD_REASON = "The reason is withheld: a document of the run is closed to you."


def load_shared_turns(
    served: Services, reader: Principal, share: Share, *, after: int, limit: int
) -> tuple[list[TurnOut], int | None]:
    """Return a page of the turns of a shared conversation, and the number of its last turn if there are more."""
    assert share.conversation_id is not None
    found = served.answers.conversations.list_turns(
        share.tenant_id, share.conversation_id, after=after, limit=limit + 1
    )
    seen = served.answers.shares.redact_for_readers(reader.readers, found[:limit])
    withheld = _find_withheld(served, reader, seen)
    turns = [TurnOut.from_kept_answer(kept, withheld) for kept in seen]
    return turns, (found[limit - 1].turn if len(found) > limit else None)


def load_shared_run(served: Services, reader: Principal, share: Share) -> RunWithAnswerOut:
    """Return a shared run. Where a document of its scope is closed to the reader, it does not say what the scope is."""
    assert share.run_id is not None
    run = served.answers.runs.load_run(share.tenant_id, share.run_id)
    closed = is_run_closed(served, reader, run.id)
    if run.answer is not None:
        kept = StoredAnswer(run.id, run.tenant_id, None, None, run.question, run.answer, (), run.created_at)
        (seen,) = served.answers.shares.redact_for_readers(reader.readers, [kept])
        run = replace(run, answer=seen.body)
    if closed:
        run = _remove_scope(run)
    deleted = (
        served.answers.conversations.list_withheld_documents(extract_cited_documents(run.answer), reader.readers)
        if run.answer
        else ()
    )
    return RunWithAnswerOut.from_run(run, deleted=deleted, withheld=closed)


def is_run_closed(served: Services, reader: Principal, run_id: str) -> bool:
    """True if a run may have read something that is closed to the reader, so that its log is."""
    return bool(served.answers.runs.list_withheld_runs([run_id], reader.readers)) or served.answers.shares.is_closed(
        reader.readers, run_id
    )


def _remove_scope(run: Run) -> Run:
    failure = run.failure and Failure(run.failure.code, _WITHHELD_REASON, "")
    return replace(
        run, collections=(), documents=(), filters={}, scope_documents=None, scope_characters=None, failure=failure
    )


def _find_withheld(served: Services, reader: Principal, seen: Sequence[StoredAnswer]) -> set[str]:
    named = {document for kept in seen for document in extract_cited_documents(kept.body)}
    return served.answers.conversations.list_withheld_documents(named, reader.readers)
