"""Servers that refuse a part of what they are sent: found out at first use, over real HTTP."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from rlm.llm.budgets import Budget, Limits
from rlm.llm.chat_models import build_remote_chat_model
from rlm.llm.port import SubCall, SubFailure, SubReply
from rlm.llm.profiles import ModelProfile
from rlm.llm.scheduler import SubCallScheduler
from tests.support.misbehaving_openai import MisbehavingOpenAI, misbehaving_openai, picky
from tests.support.scheduling import SCHEMA

PROFILE = ModelProfile("m", 8_000, 500, request_options={"seed": 1})
TEXT = SubCall("Be brief.", "What is it?", 50)
JSON = replace(TEXT, schema=SCHEMA)


@pytest.fixture
def server() -> Iterator[MisbehavingOpenAI]:
    with misbehaving_openai() as made:
        yield made


def ask(
    server: MisbehavingOpenAI, *calls: SubCall, profile: ModelProfile = PROFILE, background: bool = False
) -> list[SubReply | SubFailure]:
    """One after the other, of one client."""
    scheduler = SubCallScheduler(jitter=lambda: 0.0)
    chat = build_remote_chat_model(server.url, profile)
    try:
        bound = scheduler.bind_sub_calls(chat, profile, tenant_id="ann", budget=Budget(Limits()), background=background)
        return [bound.run([call])[0] for call in calls]
    finally:
        scheduler.close()


def unknown(name: str, error: dict[str, Any]) -> Any:  # noqa: ANN401 - a behaviour's argument
    return lambda body: error if name in body else None


PYDANTIC = "[{'type': 'extra_forbidden', 'loc': ('body', '%s'), 'msg': 'Extra inputs are not permitted'}]"


@pytest.mark.parametrize("name", ["max_completion_tokens", "temperature", "stream_options", "cache_salt", "seed"])
@pytest.mark.parametrize(
    "error",
    [
        {"message": "Unsupported parameter.", "param": "%s"},
        {"message": "Unrecognized request argument supplied: %s"},
        {"message": "This model does not stream messages with %s."},
        {"message": PYDANTIC},
    ],
    ids=["named", "in words", "in other words", "as a place"],
)
def test_a_parameter_that_is_refused_is_left_out_from_then_on(
    server: MisbehavingOpenAI, name: str, error: dict[str, str]
) -> None:
    said = {key: value.replace("%s", name) for key, value in error.items()}
    server.behaviours = [picky(unknown(name, said), "It is.")]
    replies = ask(server, TEXT, replace(TEXT, prompt="And that?"))
    assert [isinstance(each, SubReply) for each in replies] == [True, True]
    assert [name in body for body in server.requests] == [True, False, False]
    assert all("max_tokens" in body or "max_completion_tokens" in body for body in server.requests)


def test_a_vllm_without_priorities_gets_none_after_the_first(server: MisbehavingOpenAI) -> None:
    said = {"message": "Got priority 2 but Priority scheduling is not enabled."}
    server.behaviours = [picky(unknown("priority", said), "It is.")]
    results = ask(server, TEXT, replace(TEXT, prompt="And why?"), background=True)
    assert all(isinstance(result, SubReply) for result in results)
    assert [body.get("priority") for body in server.requests] == [2, None, None]


def test_several_are_found_one_after_the_other(server: MisbehavingOpenAI) -> None:
    refused = ("temperature", "cache_salt", "max_completion_tokens")

    def refusal(body: dict[str, Any]) -> dict[str, Any] | None:
        return next(({"message": "No.", "param": name} for name in refused if name in body), None)

    server.behaviours = [picky(refusal, "It is.")]
    assert isinstance(ask(server, TEXT)[0], SubReply)
    assert len(server.requests) == 4


@pytest.mark.parametrize("taken", ["json_object", None])
def test_a_schema_goes_down_in_steps_until_the_server_takes_it(server: MisbehavingOpenAI, taken: str | None) -> None:
    def refusal(body: dict[str, Any]) -> dict[str, Any] | None:
        form = body.get("response_format", {}).get("type")
        return None if form in (None, taken) else {"message": "This response_format type is unavailable now."}

    server.behaviours = [picky(refusal, 'Of course: {"n": 1}')]
    replies = ask(server, JSON, replace(JSON, prompt="And that?"))
    assert [each.text for each in replies if isinstance(each, SubReply)] == ['{"n": 1}'] * 2
    last = server.requests[-1]
    assert last.get("response_format", {}).get("type") == taken
    assert '"required":["n"]' in last["messages"][0]["content"], "the schema is in words where nothing enforces it"
    assert '"required":["n"]' not in server.requests[0]["messages"][0]["content"]
    assert [body["messages"][-1]["content"] for body in server.requests].count("And that?") == 1


def test_a_refusal_that_names_nothing_is_taken_for_one_of_the_schema(server: MisbehavingOpenAI) -> None:
    server.behaviours = [picky(unknown("response_format", {"message": "Not implemented."}), '{"n": 1}')]
    assert isinstance(ask(server, JSON)[0], SubReply)


def test_a_schema_that_alone_is_refused_changes_nothing_for_others(server: MisbehavingOpenAI) -> None:
    odd = {**SCHEMA, "description": "odd"}

    def refusal(body: dict[str, Any]) -> dict[str, Any] | None:
        schema = body.get("response_format", {}).get("json_schema", {}).get("schema")
        return {"message": "Invalid schema.", "param": "response_format"} if schema == odd else None

    server.behaviours = [picky(refusal, '{"n": 1}')]
    replies = ask(server, JSON, replace(JSON, schema=odd), replace(JSON, prompt="And that?"))
    assert all(isinstance(each, SubReply) for each in replies)
    assert server.requests[-1]["response_format"]["type"] == "json_schema"


def test_a_profile_may_say_at_once_what_a_server_makes_of_schemas(server: MisbehavingOpenAI) -> None:
    server.behaviours = [picky(lambda _: None, '{"n": 1}')]
    ask(server, JSON, profile=replace(PROFILE, structured_output="none"))
    assert [body.get("response_format") for body in server.requests] == [None]
    assert "Reply with JSON" in server.requests[0]["messages"][0]["content"]


def test_a_template_without_a_system_role_gets_its_words_with_the_question(server: MisbehavingOpenAI) -> None:
    def refusal(body: dict[str, Any]) -> dict[str, Any] | None:
        system = any(message["role"] == "system" for message in body["messages"])
        return {"message": "System role not supported", "param": "messages"} if system else None

    server.behaviours = [picky(refusal, "It is.")]
    assert isinstance(ask(server, TEXT)[0], SubReply)
    (message,) = server.requests[-1]["messages"]
    assert (message["role"], message["content"]) == ("user", "Be brief.\n\nWhat is it?")


def test_what_is_wrong_with_the_request_itself_is_refused_and_nothing_is_learned(server: MisbehavingOpenAI) -> None:
    server.behaviours = [picky(lambda _: {"message": "max_completion_tokens is too large: 50."}, "")]
    (failure,) = ask(server, TEXT)
    assert isinstance(failure, SubFailure)
    assert failure.code == "language_model_refused"
    assert len(server.requests) == 2
