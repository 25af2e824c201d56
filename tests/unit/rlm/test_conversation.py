"""Follow-ups become questions that stand alone, out of as much of the conversation as there is room for."""

import json

import pytest

from rlm.conversation import SYSTEM, condense_question, mark_unproven_statements
from rlm.errors import LanguageModelOutputError, LanguageModelUnavailableError
from rlm.llm.port import SubFailure
from rlm.requests import EarlierMessage
from tests.fakes.scripted_calls import Reply, ScriptedCalls
from tests.support.contexts import CAPABLE

HISTORY = (EarlierMessage("user", "Who kept the lighthouse?"), EarlierMessage("assistant", "Ada Brandt kept it [1]."))


def condensed(
    reply: Reply, history: tuple[EarlierMessage, ...] = HISTORY, context_tokens: int = 32_000
) -> tuple[str, ScriptedCalls]:
    calls = ScriptedCalls({"condense": reply})
    profile = CAPABLE.with_context_tokens(context_tokens)
    return condense_question("When did she light it?", history, calls, profile, "nonce"), calls


def written(question: str) -> str:
    return json.dumps({"question": question})


def test_a_follow_up_is_rewritten_with_what_was_said_before() -> None:
    found, calls = condensed(written("When did Ada Brandt light the lighthouse?"))
    assert found == "When did Ada Brandt light the lighthouse?"
    assert all(text in calls.calls[0].prompt for text in ("Ada Brandt kept it", "When did she light it?"))
    assert all(word in calls.calls[0].system for word in ("JSON", '"question"')), "not every server enforces the schema"


def test_without_a_conversation_the_model_is_not_asked() -> None:
    found, calls = condensed(written("Other"), ())
    assert (found, calls.calls) == ("When did she light it?", [])


@pytest.mark.parametrize("reply", [written("  ?! "), SubFailure(LanguageModelOutputError.code, "Nonsense.")])
def test_a_reply_of_no_use_leaves_the_question_as_it_is(reply: Reply) -> None:
    assert condensed(reply)[0] == "When did she light it?"


def test_a_model_that_is_away_is_the_callers_to_hear_of() -> None:
    with pytest.raises(LanguageModelUnavailableError):
        condensed(SubFailure(LanguageModelUnavailableError.code, "It is away."))


def test_of_two_hundred_turns_the_last_ones_reach_the_model_within_its_window() -> None:
    turns = tuple(EarlierMessage("user" if n % 2 else "assistant", f"Turn {n}. " + "words " * 100) for n in range(400))
    _, calls = condensed(written("When?"), turns, context_tokens=8_000)
    prompt = calls.calls[0].prompt
    assert "Turn 399." in prompt
    assert "Turn 1." not in prompt
    assert len(prompt) < 4 * 8_000
    assert prompt.index("Turn 398.") < prompt.index("Turn 399."), "in the order in which it was said"


def test_statements_that_are_not_proven_say_so_to_the_model_that_reads_them_later() -> None:
    rows: tuple[tuple[str, str, list[int], str | None], ...] = (
        ("Ada Brandt kept it [1].", "verified", [1], "full"),
        ("She came in 1902 [1].", "unsupported", [1], "none"),
        ("| Ada | 1902 [1] |", "quoted", [1], "partial"),
        ("The lamp was green [1].", "quoted", [1], None),
        ("Nobody helped her.", "unchecked", [], None),
    )
    sentences, text = [], ""
    for said, check, cited, support in rows:
        start = len(text) + bool(text)
        text = f"{text} {said}".strip()
        sentences.append(
            {"text": said, "start": start, "end": start + len(said), "citations": cited, "check": check,
             "support": support, "reason": ""}
        )  # fmt: skip
    answer = {"text": text, "status": "answered", "table": None, "sentences": sentences}
    assert mark_unproven_statements(answer) == (
        "Ada Brandt kept it [1]. She came in 1902 [1]. (not proven) | Ada | 1902 [1] (only partly proven) | "
        "The lamp was green [1]. (not checked) Nobody helped her. (not proven)"
    )
    unjudged = [{**each, "check": "quoted", "support": None, "citations": [1]} for each in sentences]
    assert mark_unproven_statements({**answer, "sentences": unjudged}) == text, "where nothing is judged"
    assert all(mark in SYSTEM for mark in ("(not proven)", "(only partly proven)", "(not checked)"))
