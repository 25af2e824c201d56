"""`/v1/conversations`: lists, shows and deletes conversations."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query

from api.admission.access import Asker, Caller, ServicesDep
from api.admission.services import Services
from api.answers.asking import render_in_formats
from api.answers.conversation_schemas import ConversationOut, ConversationPage, ConversationWithTurnsOut, TurnOut
from api.answers.forms import Form
from api.answers.pending_schemas import PendingAnswerOut
from api.answers.schemas import extract_cited_document_ids
from api.answers.usual_times import UsualTimesDep
from api.feedback.schemas import FeedbackOut
from api.http.cursors import decode_cursor, encode_cursor
from ingest.storage.answers.feedback_records import FeedbackEntry

router = APIRouter(prefix="/v1/conversations", tags=["conversations"])


@router.get("")
def listing(
    caller: Caller,
    services: ServicesDep,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    cursor: str | None = None,
) -> ConversationPage:
    """List your conversations with at least one question, newest first. Paginated.

    `POST /v1/answers` with `"conversation": "new"` starts a conversation. By default, conversations are deleted 90 days
    after their last use.
    """
    before = decode_cursor(cursor) if cursor else None
    found = services.answers.conversations.list_conversations(
        caller.tenant_id, before=before, limit=limit + 1, owner=caller.visible_owner
    )
    more = encode_cursor(found[limit - 1].sequence) if len(found) > limit else None
    return ConversationPage(
        conversations=[ConversationOut.from_conversation(each) for each in found[:limit]], next_cursor=more
    )


@router.get("/{conversation_id}")
def one(
    conversation_id: str,
    caller: Caller,
    services: ServicesDep,
    usual_times: UsualTimesDep,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: str | None = None,
    render: Annotated[list[Form] | None, Query()] = None,
) -> ConversationWithTurnsOut:
    """Show a conversation with its questions and answers, oldest first. Paginated.

    Quotations from documents that were deleted or that you cannot read are omitted. `render` adds the text of each
    answer as `html`, `mrkdwn` or both.
    """
    conversation = services.answers.conversations.load_conversation(
        caller.tenant_id, conversation_id, caller.visible_owner
    )
    found = services.answers.conversations.list_turns(
        caller.tenant_id,
        conversation_id,
        after=decode_cursor(cursor),
        limit=limit + 1,
        owner=caller.visible_owner,
    )
    # guard: conversation-names-masked
    page = services.answers.conversations.mask_names(caller.readers, found[:limit])
    named = {document for kept in page for document in extract_cited_document_ids(kept.body)}
    deleted = services.answers.conversations.list_withheld_documents(named, caller.readers)
    feedback = services.answers.feedback.list_by_author(caller.tenant_id, [kept.id for kept in page], caller.owner)
    turns = [
        _build_turn(services, TurnOut.from_stored_answer(kept, deleted), feedback.get(kept.id), render or ())
        for kept in page
    ]
    more = encode_cursor(page[-1].turn or 0) if len(found) > limit else None
    usual = usual_times.compute_medians()
    pending = services.answers.pending.list_by_conversation(caller.tenant_id, conversation_id, caller.visible_owner)
    return ConversationWithTurnsOut(
        **dict(ConversationOut.from_conversation(conversation)),
        turns=turns,
        pending=[PendingAnswerOut.from_pending(each, usual) for each in pending],
        next_cursor=more,
    )


def _build_turn(services: Services, turn: TurnOut, feedback: FeedbackEntry | None, formats: Sequence[Form]) -> TurnOut:
    own = None if feedback is None else FeedbackOut.from_entry(feedback, feedback.author)
    return turn.model_copy(update={"answer": render_in_formats(services, turn.answer, formats), "feedback": own})


@router.delete("/{conversation_id}", status_code=204)
def delete(conversation_id: str, caller: Asker, services: ServicesDep) -> None:
    """Delete a conversation with all its answers."""
    services.answers.conversations.delete_conversation(caller.tenant_id, conversation_id, caller.visible_owner)
