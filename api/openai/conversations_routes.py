"""`/v1/conversations`: conversations for clients of OpenAI's protocol, with ids that begin with `conv_`.

The same conversations, without the prefix, are shown by the routes in `api.answers.conversation_routes`.
"""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from pydantic import Field

from api.admission.access import Asker, Caller, ServicesDep
from api.admission.services import Services
from api.http.problems import BadRequestError
from api.openai.asked import LenientModel
from api.openai.conversation_ids import PREFIX, ConversationRoute, build_conversation_id
from api.openai.items import ConversationItems, parse_added_items, start_conversation
from api.openai.response_settings import MetadataIn
from api.openai.response_states import build_view
from api.openai.responses import MAX_RESULTS, RESULTS
from api.openai.responses_routes import Include
from api.openai.stores.files import ObjectId, Order, PageLimit, build_list_page
from ingest.storage.accounts.records import Principal
from ingest.storage.answers.records import Conversation

router = APIRouter(prefix="/v1/conversations", tags=["openai"], route_class=ConversationRoute)

_PATH = f"/{PREFIX}{{conversation_id}}"
_MAX_ITEMS = 20
ItemId = Annotated[str, Path(max_length=200)]


class ConversationWithItemsIn(LenientModel):
    """A new conversation, and the items that it begins with."""

    items: list[dict[str, Any]] = Field(default_factory=list, max_length=_MAX_ITEMS)
    metadata: MetadataIn | None = None


class MetadataChangeIn(LenientModel):
    """The new metadata of a conversation, which replaces the existing one."""

    metadata: MetadataIn | None


class ItemsIn(LenientModel):
    """Items to add to a conversation."""

    items: list[dict[str, Any]] = Field(max_length=_MAX_ITEMS)


@router.post("")
def create_openai_conversation(
    caller: Asker, services: ServicesDep, body: ConversationWithItemsIn | None = None
) -> dict[str, Any]:
    """Create a conversation in OpenAI's format. `items` are earlier messages; questions see them as history.

    Send the id as `conversation` of `POST /v1/responses`.
    """
    body = body or ConversationWithItemsIn()
    identifier = start_conversation(services, caller, body.metadata, parse_added_items(body.items))
    return _build_object(_load(services, caller, identifier))


@router.get(_PATH)
def get_openai_conversation(conversation_id: str, caller: Caller, services: ServicesDep) -> dict[str, Any]:
    """Show a conversation in OpenAI's format. Without the prefix `conv_`, its questions and answers are shown."""
    return _build_object(_load(services, caller, conversation_id))


@router.post(_PATH)
def change_openai_conversation(
    conversation_id: str, body: MetadataChangeIn, caller: Asker, services: ServicesDep
) -> dict[str, Any]:
    """Replace a conversation's metadata."""
    return _build_object(
        services.answers.conversations.replace_metadata(
            caller.tenant_id, conversation_id, body.metadata or {}, caller.visible_owner
        )
    )


@router.delete(_PATH)
def delete_openai_conversation(conversation_id: str, caller: Asker, services: ServicesDep) -> dict[str, Any]:
    """Delete a conversation with all its items and answers."""
    services.answers.conversations.delete_conversation(caller.tenant_id, conversation_id, caller.visible_owner)
    return {"id": build_conversation_id(conversation_id), "object": "conversation.deleted", "deleted": True}


@router.get(f"{_PATH}/items")
def list_conversation_items(
    conversation_id: str,
    request: Request,
    caller: Caller,
    services: ServicesDep,
    limit: PageLimit = 20,
    order: Order = "desc",
    after: ObjectId = None,
    include: Include = None,
) -> dict[str, Any]:
    """List the items of a conversation, the last one first: added items, questions, searches and answers. Paginated.

    Quotations from documents that were deleted or that you cannot read are omitted.
    """
    found = _open_items(request, services, caller, conversation_id, include)
    page, has_more = found.load_page(order, after, limit)
    return build_list_page(page, has_more=has_more)


@router.post(f"{_PATH}/items")
def add_conversation_items(conversation_id: str, body: ItemsIn, caller: Asker, services: ServicesDep) -> dict[str, Any]:
    """Add items to the end of a conversation. The texts of users and assistants become history of later questions."""
    added = parse_added_items(body.items)
    services.answers.conversations.add_items(caller.tenant_id, conversation_id, added, caller.visible_owner)
    return build_list_page([each.body["item"] for each in added], has_more=False)


@router.get(f"{_PATH}/items/{{item_id}}")
def get_conversation_item(
    conversation_id: str,
    item_id: ItemId,
    request: Request,
    caller: Caller,
    services: ServicesDep,
    include: Include = None,
) -> dict[str, Any]:
    """Show an item of a conversation."""
    return _open_items(request, services, caller, conversation_id, include).load_item(item_id)


@router.delete(f"{_PATH}/items/{{item_id}}")
def delete_conversation_item(
    conversation_id: str, item_id: ItemId, request: Request, caller: Asker, services: ServicesDep
) -> dict[str, Any]:
    """Delete an added item, and return the conversation.

    Questions and answers of responses are only deleted together, with `DELETE /v1/responses/{id}`.
    """
    changed = services.answers.conversations.delete_item(
        caller.tenant_id, conversation_id, item_id, caller.visible_owner
    )
    if changed is None:
        # Raises `ItemNotFoundError` if there is no such item.
        _open_items(request, services, caller, conversation_id, None).load_item(item_id)
        raise BadRequestError(
            "The item belongs to a response, and a question and its answer are only deleted together.",
            hint="Delete the response with DELETE /v1/responses/{id}.",
            field_path="path.item_id",
        )
    return _build_object(changed)


def _load(services: Services, caller: Principal, identifier: str) -> Conversation:
    return services.answers.conversations.load_conversation(caller.tenant_id, identifier, caller.visible_owner)


def _open_items(
    request: Request, services: Services, caller: Principal, identifier: str, include: list[str] | None
) -> ConversationItems:
    limit = MAX_RESULTS if RESULTS in (include or ()) else None
    view = build_view(request, services, caller, with_search=True, result_limit=limit)
    return ConversationItems(services, caller, _load(services, caller, identifier), view)


def _build_object(conversation: Conversation) -> dict[str, Any]:
    return {
        "id": build_conversation_id(conversation.id),
        "object": "conversation",
        "created_at": int(conversation.created_at),
        "metadata": dict(conversation.metadata),
    }
