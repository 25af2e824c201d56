import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlm.errors import LanguageModelError, LanguageModelOutputError, LanguageModelRefusedError
from rlm.llm.completion import ThoughtFilter
from rlm.llm.port import SubCall
from rlm.llm.profiles import ModelProfile
from rlm.llm.structured_output import build_retry_call, extract_reply, require_valid_schema

LABELS = {
    "type": "object",
    "properties": {"labels": {"type": "array", "items": {"enum": ["a", "b"]}}},
    "required": ["labels"],
    "additionalProperties": False,
}
CALL = SubCall("", "Label these.", 100, LABELS)
GOOD = '{"labels": ["a", "b"]}'
PROFILE = ModelProfile("m", 8_000, 150)


def read(reply: str, finish: str, call: SubCall) -> str:
    """What is made of a whole reply."""
    thoughts = ThoughtFilter(wait_for_tag=True)
    return extract_reply(reply, thoughts.feed(reply) + thoughts.finish(), finish, call)


@pytest.mark.parametrize(
    "reply",
    [
        GOOD,
        f"  {GOOD}\n",
        f"```json\n{GOOD}\n```",
        f"Here:\n\n```\n{GOOD}\n```\nGood luck!",
        f"I looked at [all] of it {{carefully}}: {GOOD}. Done.",
        f"<think>Is it {{a}}?</think>{GOOD}",
        f'Perhaps {{"labels": ["b"]}}? No.\n</think>\n\n{GOOD}',
    ],
)
def test_the_json_of_a_reply_is_found_however_it_is_wrapped(reply: str) -> None:
    assert json.loads(read(reply, "stop", CALL)) == {"labels": ["a", "b"]}


def test_json_that_quotes_the_end_of_a_thought_is_whole() -> None:
    quoting = SubCall("", "Quote it.", 100, {"type": "object", "properties": {"quote": {"type": "string"}}})
    reply = '{"quote": "It ends with </think>, and {}."}'
    assert read(reply, "stop", quoting) == reply


def test_json_that_was_whole_before_the_tokens_ran_out_counts() -> None:
    assert read(GOOD + " " * 50, "length", CALL) == GOOD


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        ("", "empty"),
        ("   \n", "empty"),
        ("<think>I never stop", "empty"),
        ("a and b", "not JSON"),
        ('{"labels": ["a", "c"]}', "properties/labels/items/enum"),
        ('{"labels": ["a"], "sure": true}', "additionalProperties"),
        ('["a"]', "type"),
        ('{"labels": NaN}', "not JSON"),
        ("[" * 50_000, "not JSON"),
    ],
)
def test_what_is_wrong_is_said_without_the_replys_own_words(reply: str, said: str) -> None:
    with pytest.raises(LanguageModelOutputError, match=said) as refused:
        read(reply, "stop", CALL)
    assert not refused.value.cut_off
    assert "sure" not in refused.value.detail


def test_a_reply_of_words_needs_no_shape_and_is_good_as_far_as_it_goes() -> None:
    free = SubCall("", "Say.", 100)
    assert read("It is so.", "stop", free) == "It is so."
    assert read("It is", "length", free) == "It is"
    with pytest.raises(LanguageModelOutputError, match="100 tokens") as cut:
        read("<think>Is it", "length", free)
    assert cut.value.cut_off
    with pytest.raises(LanguageModelRefusedError, match="filter"):
        read("It", "content_filter", free)


def test_a_cut_reply_gets_twice_the_room_up_to_the_models_own_limit() -> None:
    cut = LanguageModelOutputError("Cut.", cut_off=True)
    again = build_retry_call(CALL, cut, PROFILE)
    assert again is not None
    assert (again.max_tokens, again.prompt) == (150, CALL.prompt)
    assert build_retry_call(again, cut, PROFILE) is None


@pytest.mark.parametrize("schema", [{"type": "sausage"}, {"properties": 7}, {"enum": "a"}, {"minimum": "1"}])
def test_what_is_no_schema_is_refused_with_the_place(schema: dict[str, object]) -> None:
    with pytest.raises(LanguageModelRefusedError, match=next(iter(schema))):
        require_valid_schema(schema)


@given(st.text() | st.text(alphabet='{}[]",:ab \n`'), st.sampled_from(["stop", "length", ""]))
def test_no_reply_breaks_it(reply: str, finish: str) -> None:
    for call in (CALL, SubCall("", "", 10)):
        with contextlib.suppress(LanguageModelError):
            assert read(reply, finish, call).strip()


@pytest.mark.parametrize("pattern", ["(a|aa)+$", "["])
def test_a_pattern_that_takes_too_long_is_refused_and_stops_nothing(pattern: str) -> None:
    call = SubCall("", "Name it.", 100, {"type": "string", "pattern": pattern})
    with pytest.raises(LanguageModelRefusedError, match="pattern"):
        read(json.dumps("a" * 5_000 + "!"), "stop", call)


def test_a_pattern_is_kept_to() -> None:
    call = SubCall("", "When?", 100, {"type": "string", "pattern": r"^\d{4}-\d\d$"})
    assert read('"2024-05"', "stop", call) == '"2024-05"'
    with pytest.raises(LanguageModelOutputError, match="pattern is violated"):
        read('"May 2024"', "stop", call)


def test_patterns_of_members_are_refused_before_anything_is_asked() -> None:
    with pytest.raises(LanguageModelRefusedError, match="patternProperties"):
        require_valid_schema({"type": "object", "properties": {"x": {"patternProperties": {"(a+)+$": {}}}}})
