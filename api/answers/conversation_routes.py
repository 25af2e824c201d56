"""`/v1/conversations`: lists, searches, shows, renames, exports and deletes conversations."""

from collections.abc import Iterator, Sequence
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import StreamingResponse

from api.admission.access import Asker, Caller, ServicesDep
from api.admission.services import Services
from api.answers.asking import render_in_formats
from api.answers.conversation_export import EXPORTS, build_export
from api.answers.conversation_schemas import (
    ConversationIn,
    ConversationOut,
    ConversationPage,
    ConversationWithTurnsOut,
    TurnOut,
)
from api.answers.forms import ExportForm, Form
from api.answers.pending_schemas import PendingAnswerOut
from api.answers.schemas import extract_cited_document_ids
from api.answers.usual_times import UsualTimesDep
from api.feedback.schemas import FeedbackOut
from api.http.cursors import decode_cursor, encode_cursor
from api.languages import catalogue
from ingest.storage.accounts.records import Principal
from ingest.storage.answers.feedback_records import FeedbackEntry

_TURNS_PER_READ = 50

router = APIRouter(prefix="/v1/conversations", tags=["conversations"])


@router.get("")
def list_conversations(
    caller: Caller,
    services: ServicesDep,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    cursor: str | None = None,
    search: Annotated[str, Query(max_length=200)] = "",
    mine: bool = False,
) -> ConversationPage:
    """List your conversations with at least one question, newest first. Paginated.

    An admin sees the conversations of all users, or with `mine` only their own.

    `POST /v1/answers` with `"conversation": "new"` starts a conversation. By default, conversations are deleted 90 days
    after their last use.

    `search` lists only conversations that contain all of these words in the title, the questions or the answers, in
    upper or lower case. A page may then contain fewer conversations than `limit`: continue until `next_cursor` is null.
    """
    before = decode_cursor(cursor) if cursor else None
    owner = caller.owner if mine else caller.visible_owner
    if search.strip():
        return _search(caller, services, search, before, limit, owner)
    found = services.answers.conversations.list_conversations(
        caller.tenant_id, before=before, limit=limit + 1, owner=owner
    )
    more = encode_cursor(found[limit - 1].sequence) if len(found) > limit else None
    listed = [ConversationOut.from_conversation(each) for each in found[:limit]]
    return ConversationPage(conversations=_add_states(caller, services, listed), next_cursor=more)


def _search(
    caller: Principal, services: Services, words: str, before: int | None, limit: int, owner: str | None
) -> ConversationPage:
    found = services.answers.conversations.search_conversations(
        caller.tenant_id, words, before=before, limit=limit, owner=owner, readers=caller.readers
    )
    listed = [ConversationOut.from_found_conversation(each) for each in found.found]
    return ConversationPage(
        conversations=_add_states(caller, services, listed),
        next_cursor=None if found.searched_to is None else encode_cursor(found.searched_to),
    )


def _add_states(caller: Principal, services: Services, conversations: list[ConversationOut]) -> list[ConversationOut]:
    states = services.answers.pending.load_last_states(caller.tenant_id, [each.id for each in conversations])
    return [each.with_last_state(states.get(each.id)) for each in conversations]


@router.get("/{conversation_id}")
def get_conversation(
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
    turns, more = _load_turns(caller, services, conversation_id, decode_cursor(cursor), limit, render or ())
    usual = usual_times.compute_medians()
    pending = services.answers.pending.list_by_conversation(caller.tenant_id, conversation_id, caller.visible_owner)
    return ConversationWithTurnsOut(
        **dict(ConversationOut.from_conversation(conversation)),
        turns=turns,
        pending=[PendingAnswerOut.from_pending(each, usual) for each in pending],
        next_cursor=None if more is None else encode_cursor(more),
    )


@router.patch("/{conversation_id}")
def rename_conversation(
    conversation_id: str, body: ConversationIn, caller: Asker, services: ServicesDep
) -> ConversationOut:
    """Rename a conversation."""
    return ConversationOut.from_conversation(
        services.answers.conversations.rename_conversation(
            caller.tenant_id, conversation_id, body.title, caller.visible_owner
        )
    )


@router.get("/{conversation_id}/export", response_class=StreamingResponse, responses={200: {"content": EXPORTS}})
def export_conversation(
    conversation_id: str,
    caller: Caller,
    services: ServicesDep,
    request: Request,
    form: ExportForm = ExportForm.MARKDOWN,
) -> StreamingResponse:
    """Download a conversation as a file: `markdown` for people, or `json` for programs.

    The Markdown file marks each statement as proven, partly proven, found or not proven, and lists the sources with the
    cited words; its own words are in the language of `Accept-Language`. The JSON file is the conversation with all
    turns. Like `GET /v1/conversations/{id}`, both omit quotations from documents that were deleted or that you cannot
    read.
    """
    conversation = services.answers.conversations.load_conversation(
        caller.tenant_id, conversation_id, caller.visible_owner
    )
    language = catalogue.choose_language(request.cookies.get(catalogue.COOKIE), request.headers.get("Accept-Language"))
    turns = _iter_turns(caller, services, conversation_id)
    return build_export(ConversationOut.from_conversation(conversation), turns, form, catalogue.Texts(language))


def _iter_turns(caller: Principal, services: Services, conversation_id: str) -> Iterator[TurnOut]:
    after: int | None = 0
    while after is not None:
        turns, after = _load_turns(caller, services, conversation_id, after, _TURNS_PER_READ, ())
        yield from turns


def _load_turns(
    caller: Principal, services: Services, conversation_id: str, after: int, limit: int, formats: Sequence[Form]
) -> tuple[list[TurnOut], int | None]:
    """Return a page of turns that the caller may see, and the number of its last turn if more turns follow."""
    found = services.answers.conversations.list_turns(
        caller.tenant_id, conversation_id, after=after, limit=limit + 1, owner=caller.visible_owner
    )
    # guard: conversation-names-masked
    page = services.answers.conversations.mask_names(caller.readers, found[:limit])
    named = {document for kept in page for document in extract_cited_document_ids(kept.body)}
    deleted = services.answers.conversations.list_withheld_documents(named, caller.readers)
    feedback = services.answers.feedback.list_by_author(caller.tenant_id, [kept.id for kept in page], caller.owner)
    turns = [
        _build_turn(services, TurnOut.from_stored_answer(kept, deleted), feedback.get(kept.id), formats)
        for kept in page
    ]
    return turns, (page[-1].turn or 0) if len(found) > limit else None


def _build_turn(services: Services, turn: TurnOut, feedback: FeedbackEntry | None, formats: Sequence[Form]) -> TurnOut:
    own = None if feedback is None else FeedbackOut.from_entry(feedback, feedback.author)
    return turn.model_copy(update={"answer": render_in_formats(services, turn.answer, formats), "feedback": own})


@router.delete("/{conversation_id}", status_code=204)
def delete_conversation(conversation_id: str, caller: Asker, services: ServicesDep) -> None:
    """Delete a conversation with all its answers."""
    services.answers.conversations.delete_conversation(caller.tenant_id, conversation_id, caller.visible_owner)
