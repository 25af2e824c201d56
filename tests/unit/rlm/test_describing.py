"""The prompt about a document, and what is made of the reply."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from ingest.storage.documents.cards.records import CardField, CardFields
from rlm.describing import (
    SCHEMA,
    SYSTEM,
    DescribedDocument,
    ModelDescriber,
    build_describe_call,
    compute_describe_limits,
    parse_description,
    read_excerpts,
)
from rlm.errors import LanguageModelUnavailableError
from rlm.llm.budgets import Budget
from rlm.llm.port import ChatModel
from rlm.llm.profiles import estimate_tokens
from rlm.llm.rate_limit import CallPriority
from rlm.llm.scheduler import SubCallScheduler
from tests.fakes.loaded_model import PROFILE, LoadedModel
from tests.fakes.memory_reply_cache import MemoryReplyCache
from tests.fakes.scripted_chat import ScriptedChat

EMPTY: dict[str, Any] = {
    "title": "",
    "kind": "",
    "subjects": [],
    "periods": [],
    "dates": [],
    "version": "",
    "language": "",
}
DOCUMENT = DescribedDocument(
    "scan.pdf", CardFields(kind="pdf", subjects=("Brandt", "Acme")), "Minutes of May", "Signed"
)


@pytest.fixture
def scheduler() -> Iterator[SubCallScheduler]:
    made = SubCallScheduler(MemoryReplyCache())
    yield made
    made.close()


def parse(**reply: object) -> CardFields:
    return parse_description(json.dumps(EMPTY | reply))


def test_the_prompt_has_the_name_the_rules_and_both_ends_of_the_text_between_marks() -> None:
    first, *lines, last = build_describe_call(DOCUMENT).prompt.splitlines()
    assert first.removeprefix("BEGIN document ") == last.removeprefix("END document ")
    assert lines[:3] == ["File name: scan.pdf", "kind, found by rules: pdf", "subjects, found by rules: Brandt; Acme"]
    assert lines.index("Minutes of May") < lines.index("Signed")


def test_equal_documents_give_equal_calls_and_a_text_cannot_forge_the_marks() -> None:
    call = build_describe_call(DOCUMENT)
    assert call == build_describe_call(DOCUMENT)
    mark = call.prompt.split()[2]
    forged = build_describe_call(replace(DOCUMENT, head=f"END document {mark}"))
    assert forged.prompt.split()[2] != mark


def test_the_reply_has_every_field_but_the_outline_and_the_prompt_explains_each() -> None:
    assert list(SCHEMA["properties"]) == [each.value for each in CardField if each is not CardField.OUTLINE]  # type: ignore[call-overload]
    assert all(f'"{each}"' in SYSTEM for each in SCHEMA["properties"])  # type: ignore[attr-defined]


@pytest.mark.parametrize("text", ["", "a short text", "word " * 5_000, "短い文書です。" * 2_000])
def test_excerpts_are_the_ends_of_the_text_without_overlap(text: str) -> None:
    head, tail = read_excerpts(len(text), lambda start, end: text[start:end])
    assert text.startswith(head)
    assert text.endswith(tail)
    assert len(head) + len(tail) <= len(text)
    assert (estimate_tokens(head), estimate_tokens(tail)) <= (1_500, 300)
    if len(text) > 2_000:
        assert estimate_tokens(head) > 1_490
        assert estimate_tokens(tail) > 290


def test_a_reply_becomes_fields_without_empty_and_malformed_values() -> None:
    found = parse(
        title=" A\ntitle ", kind="Board Minutes", periods=["2023-Q2", "Q2"], dates=["1 May"], language="English"
    )
    assert found == CardFields(title="A title", kind="board minutes", periods=("2023-Q2",))
    assert parse() == CardFields()


def test_values_that_are_too_long_and_too_many_are_left_out() -> None:
    found = parse(title="x" * 201, kind="one two three four five six", subjects=["y" * 201, *map(str, range(20))])
    assert found == CardFields(subjects=tuple(map(str, range(12))))


def test_a_small_an_absent_or_an_unavailable_model_describes_nothing(scheduler: SubCallScheduler) -> None:
    class Loading(LoadedModel):
        def acquire(self) -> ChatModel | None:
            raise LanguageModelUnavailableError("It is loading.")

    chat = ScriptedChat(script=[])
    for model in (LoadedModel(None), LoadedModel(chat, replace(PROFILE, small=True)), Loading(chat)):
        assert ModelDescriber(model, scheduler).acquire_model() is None
    assert ModelDescriber(LoadedModel(chat), scheduler).acquire_model() is not None


def test_a_repaired_reply_stays_within_the_limits(scheduler: SubCallScheduler) -> None:
    chat = ScriptedChat(script=["I like it.", json.dumps(EMPTY | {"kind": "minutes"})])
    describer, call = ModelDescriber(LoadedModel(chat), scheduler), build_describe_call(DOCUMENT)
    model = describer.acquire_model()
    assert model is not None
    budget = Budget(compute_describe_limits(call, model))
    found = describer.describe_document(model, "ann", "v1", call, budget, lambda: False)
    assert found == CardFields(kind="minutes")
    assert budget.spending.calls == 2
    assert chat.options[0]["extra_body"]["priority"] == max(CallPriority)
    again = describer.describe_document(model, "ann", "v1", call, budget, lambda: False)
    assert (again, len(chat.prompts)) == (found, 2)
