"""Whatever schema a program sends: its output follows the schema, or is a refusal."""

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from rlm.answers import Answer, AnswerStatus, Draft, Output, OutputKind, SearchSummary
from rlm.errors import LanguageModelRefusedError, not_cancelled
from rlm.events import Completed
from rlm.form_schemas import build_reply_schema, require_possible_form
from rlm.formatting import format_output
from rlm.llm.budgets import Usage
from rlm.llm.json_schemas import compile_schema, find_violation
from rlm.llm.port import SubCall, SubFailure, SubReply
from rlm.llm.profiles import ModelProfile
from rlm.output_forms import OutputForm, OutputFormError, Tool, ToolResult
from rlm.requests import AnswerRequest, AnswerScope
from tests.support.answering import CAPABLE, pipeline
from tests.support.form_filler import fill_form, fill_schema

SMALL = replace(CAPABLE, routes=False, small=True)
DRAFT = Draft(AnswerStatus.ANSWERED, "Ada Brandt kept it [1].", {}, SearchSummary(0, 0, ()))
TREE = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "parts": {"type": "array", "items": {"$ref": "#"}}},
    "required": ["name", "parts"],
}
# A name with invisible characters or tokens of chat templates is changed in the prompt, and its output is a refusal.
NAMES = st.text(st.sampled_from("abcßéж漢_-$./ 01"), min_size=1, max_size=8)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)


def objects(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    def build(members: dict[str, Any]) -> dict[str, Any]:
        return {"type": "object", "properties": members, "required": list(members), "additionalProperties": False}

    return st.dictionaries(NAMES, inner, max_size=4).map(build)


SCHEMAS = st.recursive(
    st.sampled_from(
        [
            {"type": "string"},
            {"type": "integer", "minimum": 0, "maximum": 100},
            {"type": "number"},
            {"type": "boolean"},
            {"type": "null"},
            {"type": ["string", "null"]},
            {"type": "string", "enum": ["red", "blüe"]},
            {"$ref": "#/$defs/person"},
        ]
    ),
    lambda inner: (
        objects(inner)
        | inner.map(lambda each: {"type": "array", "items": each, "minItems": 1, "maxItems": 3})
        | st.lists(inner, min_size=1, max_size=3).map(lambda each: {"anyOf": each})
    ),
    max_leaves=8,
)
PERSON = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}


def with_definitions(schema: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    return {**schema, "$defs": {"person": PERSON}}


class Filler:
    """Replies to each call with what `fill` makes of its schema."""

    def __init__(self, fill: Callable[[Any], str]) -> None:
        self.fill = fill
        self.calls: list[SubCall] = []

    def run(
        self, calls: Sequence[SubCall], *, cancelled: Callable[[], bool] = not_cancelled
    ) -> Sequence[SubReply | SubFailure]:
        self.calls += calls
        return [SubReply(self.fill(call.schema), Usage(1, 1, 1)) for call in calls]


def fill_reply(schema: Any) -> str:  # noqa: ANN401 - JSON
    return fill_form({"response_format": {"json_schema": {"schema": schema}}, "messages": [{"content": ""}]})


def formatted(form: OutputForm, calls: Filler, profile: ModelProfile = CAPABLE) -> Output:
    output = format_output(form, "Who kept it?", DRAFT, (), calls, profile, "n0nce")
    assert output is not None
    return output


@given(schema=SCHEMAS.map(with_definitions))
def test_output_follows_any_schema_and_small_models_get_it_as_it_is(schema: dict[str, Any]) -> None:
    validator = Draft202012Validator(schema)
    for form in (OutputForm(schema), OutputForm(tools=(Tool("save", "", schema),), must_call=True)):
        require_possible_form(form, CAPABLE)
        Draft202012Validator.check_schema(build_reply_schema(form, can_refuse=True))
        for profile, fill in ((CAPABLE, fill_reply), (SMALL, lambda sent: json.dumps(fill_schema(sent)))):
            output = formatted(form, Filler(fill), profile)
            # A value of null says that something is missing, unless the program's schema allows null.
            if output.kind is not OutputKind.REFUSAL:
                validator.validate(json.loads(output.text))
            else:
                assert fill_schema(schema) is None


@given(schema=SCHEMAS.map(with_definitions), reply=JSON_VALUES)
def test_a_reply_that_does_not_follow_the_schema_is_never_output(schema: dict[str, Any], reply: object) -> None:
    output = formatted(OutputForm(schema), Filler(lambda _: json.dumps({"value": reply, "reason": ""})))
    valid = Draft202012Validator(schema).is_valid(reply)
    assert (output.kind is OutputKind.JSON) == valid
    assert not valid or json.loads(output.text) == reply


def test_a_number_that_json_does_not_have_is_a_refusal() -> None:
    output = formatted(OutputForm({"type": "number"}), Filler(lambda _: '{"value": 1e999, "reason": ""}'))
    assert output.kind is OutputKind.REFUSAL


def test_schemas_that_refer_to_themselves_are_filled_in_by_several_tools() -> None:
    form = OutputForm(tools=(Tool("save", "Saves it.", TREE), Tool("drop", "", PERSON)), must_call=True)
    reply = {"call": {"name": "save", "arguments": {"name": "a", "parts": [{"name": "b", "parts": []}]}}, "reason": ""}
    schema = build_reply_schema(form, can_refuse=True)
    assert find_violation(compile_schema(json.dumps(schema)), reply) is None
    reply["call"]["arguments"]["parts"][0]["name"] = 1  # type: ignore[index]
    assert find_violation(compile_schema(json.dumps(schema)), reply) is not None


def test_the_call_sees_the_answer_and_the_results_but_no_document() -> None:
    calls = Filler(lambda _: '{"call": null, "addition": " It is sunny. ", "reason": ""}')
    form = OutputForm(tools=(Tool("weather", "", PERSON),), results=(ToolResult("weather", "{}", "sunny"),))
    assert formatted(form, calls) == Output(OutputKind.ADDITION, "It is sunny.")
    (call,) = calls.calls
    assert "BEGIN answer n0nce\nAda Brandt kept it [1].\nEND answer n0nce" in call.prompt
    assert "BEGIN result of weather n0nce\n{}\nsunny\n" in call.prompt


@pytest.mark.parametrize(
    "form",
    [
        OutputForm(tools=(Tool("a", "", PERSON),)),
        OutputForm(tools=(Tool("a", "", PERSON), Tool("b", "", PERSON)), must_call=True),
    ],
)
def test_a_small_model_is_not_asked_to_choose(form: OutputForm) -> None:
    with pytest.raises(OutputFormError, match="too small"):
        require_possible_form(form, SMALL)
    require_possible_form(replace(form, tools=form.tools[:1], must_call=True), SMALL)


def test_without_a_language_model_no_form_is_possible() -> None:
    with pipeline({"Harbour": "Ada Brandt kept the lighthouse."}, None) as (answers, _):
        request = AnswerRequest("Who?", AnswerScope("ann"), form=OutputForm({"type": "object"}))
        with pytest.raises(OutputFormError, match="No language model"):
            answers.stream(request)


def test_the_pipeline_adds_the_output_and_counts_its_call() -> None:
    async def reply(prompt: str) -> str:
        if "JSON schema of your reply" in prompt:
            return '{"value": {"name": "Ada Brandt"}, "reason": ""}'
        await asyncio.sleep(0)
        return 'The documents do not say.\n<support answered="no">\n</support>'

    def ask(form: OutputForm | None) -> Answer:
        with pipeline({"Harbour": "Ada Brandt kept the lighthouse."}, reply) as (answers, _):
            *_, last = answers.stream(AnswerRequest("Who kept it?", AnswerScope("ann"), form=form))
        assert isinstance(last, Completed)
        return last.answer

    plain, made = ask(None), ask(OutputForm(PERSON))
    assert made.output == Output(OutputKind.JSON, '{"name": "Ada Brandt"}')
    assert (made.text, made.citations, made.usage.calls) == (plain.text, plain.citations, plain.usage.calls + 1)


def test_a_schema_that_multiplies_its_work_is_given_up_in_time() -> None:
    branch = {"properties": {"a": {"$ref": "#/$defs/b"}}, "required": ["a"]}
    schema = {"$ref": "#/$defs/b", "$defs": {"b": {"anyOf": [branch, {**branch, "title": "again"}]}}}
    value: dict[str, Any] = {}
    for _ in range(40):
        value = {"a": value}
    started = time.monotonic()
    with pytest.raises(LanguageModelRefusedError, match="too long"):
        find_violation(compile_schema(json.dumps(schema)), value)
    assert time.monotonic() - started < 30
