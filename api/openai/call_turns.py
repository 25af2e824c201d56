"""Loads the calls of functions to which a request sends only the results, without the question."""

from collections.abc import Sequence

from api.admission.services import Services
from api.openai.annotations import build_call_id
from api.openai.asked import TurnIn
from api.openai.responses import parse_response_id
from ingest.storage.accounts.records import Principal
from ingest.storage.answers.records import StoredAnswer
from ingest.storage.errors import AnswerNotFoundError
from rlm.answers import OutputKind

# Maximum number of responses in a row that call a function for one question.
_MAX_CALLS = 100


def has_question(turns: Sequence[TurnIn]) -> bool:
    return any(each.role == "user" and each.type == "message" for each in turns)


def load_last_call_turns(services: Services, caller: Principal, conversation_id: str) -> list[TurnIn]:
    """Return the turns of `load_call_turns` for the last answer of a conversation. Empty if it was deleted.

    Raises `ConversationNotFoundError`.
    """
    conversation = services.answers.conversations.load_conversation(
        caller.tenant_id, conversation_id, caller.visible_owner
    )
    before = _find_turn(services, caller, conversation_id, conversation.turns)
    if before is None:
        return []
    (before,) = services.answers.conversations.mask_names(caller.readers, [before])
    return load_call_turns(services, caller, before)


def load_call_turns(services: Services, caller: Principal, before: StoredAnswer) -> list[TurnIn]:
    """Return the question of an earlier response, with the calls for this question and their results so far."""
    question = TurnIn(role="user", content=before.question)
    turns: list[TurnIn] = []
    earlier: StoredAnswer | None = before
    for _ in range(_MAX_CALLS):
        if earlier is None:
            break
        asked = [TurnIn.model_validate(each) for each in (earlier.body.get("request") or {}).get("input") or ()]
        results = [each for each in asked if each.type in ("function_call", "function_call_output")]
        turns = [*results, *_build_call(earlier), *turns]
        if not asked or has_question(asked):
            break
        earlier = _find_previous_answer(services, caller, earlier)
    return [question, *turns]


def _build_call(answer: StoredAnswer) -> list[TurnIn]:
    output = answer.body.get("output")
    if not output or output["kind"] != OutputKind.CALL:
        return []
    call_id = build_call_id(answer.id)
    return [TurnIn(type="function_call", call_id=call_id, name=output["tool"], arguments=output["text"])]


def _find_previous_answer(services: Services, caller: Principal, answer: StoredAnswer) -> StoredAnswer | None:
    """Return the answer that this one continues, or None if it was deleted."""
    previous_id = answer.body["request"].get("previous_response_id")
    if previous_id is None:
        return _find_turn(services, caller, answer.conversation_id, (answer.turn or 0) - 1)
    try:
        return services.answers.conversations.load_answer(
            caller.tenant_id, parse_response_id(previous_id)[0], caller.visible_owner
        )
    except AnswerNotFoundError:
        return None


def _find_turn(services: Services, caller: Principal, conversation_id: str | None, turn: int) -> StoredAnswer | None:
    if conversation_id is None or turn < 1:
        return None
    found = services.answers.conversations.list_turns(
        caller.tenant_id, conversation_id, after=turn - 1, limit=1, owner=caller.visible_owner
    )
    return next((each for each in found if each.turn == turn), None)
