"""Items of conversations: messages that clients add, and the questions and answers of a conversation's turns."""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from api.admission.services import Services
from api.answers.asking import build_visible_answer
from api.http.problems import ApiError, BadRequestError
from api.openai.asked import TurnIn, extract_text
from api.openai.limits import limit_text
from api.openai.responses import ResponseView, build_output_items
from ingest.storage.accounts.records import Principal
from ingest.storage.answers.records import Conversation, ConversationItem, StoredAnswer
from ingest.storage.errors import AnswerNotFoundError

_QUESTION, _MESSAGE, _SEARCH, _CALL = "msg_in_", "msg_", "fs_", "fc_"
_UNTITLED = "Untitled"
_TURNS_PER_READ = 50


class ItemNotFoundError(ApiError):
    """The conversation has no such item."""

    code = "item_not_found"
    status = 404
    default_hint = "List the items with GET /v1/conversations/{id}/items."


def build_item(identifier: str, message: Mapping[str, Any]) -> dict[str, Any]:
    """Return a message or another item of a client as an item with an id."""
    if message.get("type", "message") != "message":
        return {**message, "id": identifier}
    role, content = message.get("role"), message.get("content")
    if isinstance(content, str):
        part = {"type": "output_text", "annotations": [], "logprobs": []} if role == "assistant" else {}
        content = [{"type": "input_text", **part, "text": content}]
    return {"id": identifier, "type": "message", "role": role, "status": "completed", "content": content or []}


def parse_added_items(items: Sequence[Mapping[str, Any]]) -> list[ConversationItem]:
    """Return the items that a client adds. Raises `BadRequestError` if a message is not text."""
    added = []
    for number, item in enumerate(items):
        try:
            turn = TurnIn.model_validate(item)
        except ValidationError as error:
            raise BadRequestError(
                "An item is not valid.",
                hint="Send messages with `role` and `content`, or items from the output of a response.",
                field_path=f"items.{number}",
            ) from error
        added.append(build_added_item(turn, item))
    return added


def build_added_item(turn: TurnIn, item: Mapping[str, Any] | None = None) -> ConversationItem:
    """Return a message of a client as an item to store. The text of a user or an assistant becomes history."""
    identifier = f"{_MESSAGE}{uuid.uuid4().hex}"
    shown = build_item(identifier, item or turn.model_dump(mode="json", exclude_unset=True))
    text = extract_text(turn) if turn.type == "message" else ""
    return ConversationItem(identifier, 0, {"role": turn.role, "text": text, "item": shown})


def start_conversation(
    services: Services, caller: Principal, metadata: Mapping[str, str] | None, items: Sequence[ConversationItem]
) -> str:
    """Create a conversation with these items and return its id. Its title is the first message of a user."""
    title = next((each.body["text"] for each in items if each.body["role"] == "user" and each.body["text"]), _UNTITLED)
    return services.answers.conversations.start_conversation(
        caller.tenant_id, title, caller.owner, metadata=metadata, items=items
    )


class ConversationItems:
    """The items of a conversation as the caller may see them: added items, and two or three items of each turn."""

    def __init__(self, services: Services, caller: Principal, conversation: Conversation, view: ResponseView) -> None:
        self._services = services
        self._caller = caller
        self._conversation = conversation
        self._view = view

    def load_page(self, order: str, after_id: str | None, limit: int) -> tuple[list[dict[str, Any]], bool]:
        """Return the next items, and whether more follow. Raises `ItemNotFoundError` if `after_id` is unknown."""
        is_rising, found = order == "asc", []
        begin = (0 if is_rising else self._conversation.turns) if after_id is None else self._find_turn(after_id)
        is_skipping = after_id is not None
        for item in self._iter_items(begin, is_rising=is_rising):
            if is_skipping:
                is_skipping = item["id"] != after_id
                continue
            found.append(item)
            if len(found) > limit:
                break
        return found[:limit], len(found) > limit

    def load_item(self, item_id: str) -> dict[str, Any]:
        """Return an item. Raises `ItemNotFoundError` if the conversation has no such item."""
        turn = self._find_turn(item_id)
        for item in self._iter_items(turn, is_rising=True):
            if item["id"] == item_id:
                return item
        raise ItemNotFoundError(f"Item {item_id!r} not found.")

    def _find_turn(self, item_id: str) -> int:
        """Return the number of the turn that an item belongs to or follows."""
        for each in self._conversation.items:
            if each.id == item_id:
                return each.turn
        answer_id = item_id
        for prefix in (_QUESTION, _MESSAGE, _SEARCH, _CALL):
            if item_id.startswith(prefix):
                answer_id = item_id.removeprefix(prefix)
                break
        try:
            found = self._services.answers.conversations.load_answer(
                self._caller.tenant_id, answer_id, self._caller.visible_owner
            )
        except AnswerNotFoundError as error:
            raise ItemNotFoundError(f"Item {item_id!r} not found.") from error
        if found.conversation_id != self._conversation.id or found.turn is None:
            raise ItemNotFoundError(f"Item {item_id!r} not found.")
        return found.turn

    def _iter_items(self, begin: int, *, is_rising: bool) -> Iterator[dict[str, Any]]:
        """Yield the items from the turn `begin` on, upwards or downwards. Items before the first turn have turn 0."""
        added: dict[int, list[dict[str, Any]]] = {}
        for each in self._conversation.items:
            added.setdefault(each.turn, []).append(dict(each.body["item"]))
        last = self._conversation.turns
        low = begin if is_rising else max(0, begin - _TURNS_PER_READ + 1)
        while True:
            high = min(last, low + _TURNS_PER_READ - 1) if is_rising else begin
            turns = self._load_turns(low, high)
            numbers = range(low, high + 1)
            for number in numbers if is_rising else reversed(numbers):
                items = [*turns.get(number, ()), *added.get(number, ())]
                yield from items if is_rising else reversed(items)
            if (high >= last) if is_rising else (low == 0):
                return
            if is_rising:
                low = high + 1
            else:
                begin, low = low - 1, max(0, low - _TURNS_PER_READ)

    def _load_turns(self, low: int, high: int) -> dict[int, list[dict[str, Any]]]:
        """Return the items of the turns from `low` to `high`, keyed by turn."""
        conversations, caller = self._services.answers.conversations, self._caller
        found = conversations.list_turns(
            caller.tenant_id,
            self._conversation.id,
            after=max(0, low - 1),
            limit=max(1, high - low + 1),
            owner=caller.visible_owner,
        )
        return {each.turn or 0: self._build_turn_items(each) for each in found if (each.turn or 0) <= high}

    def _build_turn_items(self, stored: StoredAnswer) -> list[dict[str, Any]]:
        question = build_item(f"{_QUESTION}{stored.id}", {"role": "user", "content": stored.question})
        answer = build_visible_answer(self._services, self._caller, stored)
        request = stored.body.get("request") or {}
        tools = request.get("tools") or ()
        view = replace(self._view, with_search=any(each.get("type") == "file_search" for each in tools))
        return [question, *build_output_items(limit_text(answer, request.get("max_output_tokens")), stored.id, view)]
