"""Loads shared conversations and runs, limited to what the reader may see."""

from collections.abc import Sequence
from dataclasses import replace

from api.admission.services import Services
from api.answers.conversation_schemas import TurnOut
from api.answers.run_schemas import RunWithAnswerOut
from api.answers.schemas import extract_cited_document_ids
from ingest.storage.accounts.records import Principal
from ingest.storage.answers.feedback_records import Share
from ingest.storage.answers.records import StoredAnswer
from ingest.storage.answers.run_records import Run
from ingest.storage.queue.records import Failure

_WITHHELD_REASON = "The reason is withheld, because you cannot read one of the run's documents."


def load_shared_turns(
    services: Services, reader: Principal, share: Share, *, last_turn_number: int, limit: int
) -> tuple[list[TurnOut], int | None]:
    """Return a page of turns, and the number of its last turn if more turns follow."""
    assert share.conversation_id is not None
    found = services.answers.conversations.list_turns(
        share.tenant_id, share.conversation_id, after=last_turn_number, limit=limit + 1
    )
    seen = services.answers.shares.redact_for_readers(reader.readers, found[:limit])
    withheld = _find_withheld_documents(services, reader, seen)
    turns = [TurnOut.from_stored_answer(kept, withheld).model_copy(update={"scope": None}) for kept in seen]
    return turns, (found[limit - 1].turn if len(found) > limit else None)


def load_shared_run(services: Services, reader: Principal, share: Share) -> RunWithAnswerOut:
    """Return a shared run. Its scope is withheld if it contains a document that the reader cannot read."""
    assert share.run_id is not None
    run = services.answers.runs.load_run(share.tenant_id, share.run_id)
    closed = is_run_log_withheld(services, reader, run.id)
    if run.answer is not None:
        kept = StoredAnswer(run.id, run.tenant_id, None, None, run.question, run.answer, (), run.created_at)
        (seen,) = services.answers.shares.redact_for_readers(reader.readers, [kept])
        run = replace(run, answer=seen.body)
    if closed:
        run = _remove_scope(run)
    deleted = (
        services.answers.conversations.list_withheld_documents(extract_cited_document_ids(run.answer), reader.readers)
        if run.answer
        else ()
    )
    return RunWithAnswerOut.from_run(run, deleted_documents=deleted, is_withheld=closed)


def is_run_log_withheld(services: Services, reader: Principal, run_id: str) -> bool:
    """Return whether a run's log must be withheld, because the run may have read documents that the reader cannot."""
    return bool(
        services.answers.runs.list_withheld_runs([run_id], reader.readers)
    ) or services.answers.shares.has_inaccessible_sources(reader.readers, run_id)


def _remove_scope(run: Run) -> Run:
    failure = run.failure and Failure(run.failure.code, _WITHHELD_REASON, "")
    return replace(
        run, collections=(), documents=(), filters={}, scope_documents=None, scope_characters=None, failure=failure
    )


def _find_withheld_documents(services: Services, reader: Principal, answers: Sequence[StoredAnswer]) -> set[str]:
    named = {document for kept in answers for document in extract_cited_document_ids(kept.body)}
    return services.answers.conversations.list_withheld_documents(named, reader.readers)
