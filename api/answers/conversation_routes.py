"""`/v1/conversations`: lists, shows and deletes sequences of questions with their answers."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query

from api.admission.access import Asker, Caller, Served
from api.admission.services import Services
from api.answers.asking import render_in_forms
from api.answers.conversation_schemas import ConversationOut, ConversationPage, ConversationWithTurnsOut, TurnOut
from api.answers.forms import Form
from api.answers.schemas import extract_cited_documents
from api.feedback.schemas import FeedbackOut
from api.http.cursors import decode_cursor, encode_cursor
from ingest.storage.answers.feedback_records import FeedbackEntry

router = APIRouter(prefix="/v1/conversations", tags=["conversations"])


@router.get("")
def listing(
    caller: Caller,
    served: Served,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    cursor: str | None = None,
) -> ConversationPage:
    """List conversations in which a question was answered, newest first, a page at a time.

    `POST /v1/answers` with `"conversation": "new"` begins one. They are kept for 90 days after they were last used, if
    the service is not set otherwise.
    """
    before = decode_cursor(cursor) if cursor else None
    found = served.answers.conversations.list_conversations(
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
    served: Served,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: str | None = None,
    render: Annotated[list[Form] | None, Query()] = None,
) -> ConversationWithTurnsOut:
    """Show a conversation with its questions and answers, oldest first, a page at a time.

    An answer is shown without quotations from documents that were deleted since or closed to the caller. `render` adds
    the texts of answers as `html`, as `mrkdwn`, or as both.
    """
    conversation = served.answers.conversations.load_conversation(
        caller.tenant_id, conversation_id, caller.visible_owner
    )
    found = served.answers.conversations.list_turns(
        caller.tenant_id,
        conversation_id,
        after=decode_cursor(cursor),
        limit=limit + 1,
        owner=caller.visible_owner,
    )
    page = found[:limit]
    named = {document for kept in page for document in extract_cited_documents(kept.body)}
    deleted = served.answers.conversations.list_withheld_documents(named, caller.readers)
    said = served.answers.feedback.list_by_author(caller.tenant_id, [kept.id for kept in page], caller.owner)
    turns = [
        _build_turn(served, TurnOut.from_kept_answer(kept, deleted), said.get(kept.id), render or ()) for kept in page
    ]
    more = encode_cursor(page[-1].turn or 0) if len(found) > limit else None
    return ConversationWithTurnsOut(
        **dict(ConversationOut.from_conversation(conversation)),
        turns=turns,
        next_cursor=more,
    )


def _build_turn(served: Services, turn: TurnOut, said: FeedbackEntry | None, forms: Sequence[Form]) -> TurnOut:
    own = None if said is None else FeedbackOut.from_entry(said, said.author)
    return turn.model_copy(update={"answer": render_in_forms(served, turn.answer, forms), "feedback": own})


@router.delete("/{conversation_id}", status_code=204)
def delete(conversation_id: str, caller: Asker, served: Served) -> None:
    """Delete a conversation with all its answers."""
    served.answers.conversations.delete(caller.tenant_id, conversation_id, caller.visible_owner)
