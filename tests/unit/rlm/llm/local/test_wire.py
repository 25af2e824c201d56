import json
from typing import Any

import pytest
from pydantic import ValidationError

from rlm.errors import (
    ContextTooLongError,
    LanguageModelError,
    LanguageModelOutputError,
    LanguageModelRefusedError,
    LanguageModelTimeoutError,
    LanguageModelUnavailableError,
)
from rlm.llm.local.protocol import (
    ChatCompletionRequest,
    ChatMessage,
    CompletionWriter,
    GenerationRequest,
    Usage,
    error_status,
)


def generation_request(**body: Any) -> GenerationRequest:  # noqa: ANN401 - JSON
    asked = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], **body}
    return ChatCompletionRequest.model_validate(asked).to_engine_request()


def test_what_is_left_out_has_the_protocols_defaults() -> None:
    assert generation_request() == GenerationRequest(
        messages=(ChatMessage("user", "Hi"),), max_tokens=None, temperature=1.0, top_p=1.0, seed=None
    )


def test_every_setting_reaches_the_engine() -> None:
    request = generation_request(
        max_completion_tokens=9,
        temperature=0,
        top_p=0.5,
        seed=3,
        response_format={"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}},
    )
    assert (request.max_tokens, request.temperature, request.top_p) == (9, 0.0, 0.5)
    assert request.seed == 3
    assert request.json_schema is not None
    assert json.loads(request.json_schema) == {"type": "object"}


def test_older_and_shorter_spellings_are_understood() -> None:
    assert generation_request(max_tokens=4).max_tokens == 4
    assert generation_request(response_format={"type": "text"}).json_schema is None
    schema = generation_request(response_format={"type": "json_object"}).json_schema
    assert schema is not None
    assert json.loads(schema) == {"type": "object"}


def test_messages_may_come_from_a_developer_or_empty() -> None:
    messages = [{"role": "developer", "content": "ab"}, {"role": "assistant", "content": None, "refusal": None}]
    request = generation_request(messages=messages)
    assert request.messages == (ChatMessage("system", "ab"), ChatMessage("assistant", ""))


@pytest.mark.parametrize(
    "body",
    [
        {"messages": []},
        {"messages": [{"role": "tool", "content": "x"}]},
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
        {"n": 2},
        {"tools": [{"type": "function"}]},
        {"temperature": 2.5},
        {"temperature": -0.1},
        {"top_p": 0},
        {"max_tokens": 0},
        {"stop": ["1"]},
        {"response_format": {"type": "json_schema"}},
    ],
)
def test_what_the_engine_cannot_do_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        generation_request(**body)


def test_the_chunks_of_an_answer_share_its_id() -> None:
    writer = CompletionWriter("m")
    events = [writer.delta("a", first=True), writer.end("stop"), writer.usage(Usage(3, 4))]
    chunks = [json.loads(event.removeprefix(b"data: ")) for event in events]
    assert len({chunk["id"] for chunk in chunks}) == 1
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": "a"}
    assert chunks[1]["choices"][0]["finish_reason"] == "stop"
    assert chunks[2]["usage"] == {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
    assert chunks[2]["choices"] == []


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (ContextTooLongError("x", prompt_tokens=9, limit_tokens=5), 400, "context_length_exceeded"),
        (LanguageModelRefusedError("x"), 400, "language_model_refused"),
        (LanguageModelUnavailableError("x"), 503, "language_model_unavailable"),
        (LanguageModelTimeoutError("x"), 503, "language_model_timeout"),
        (LanguageModelOutputError("x"), 503, "language_model_output"),
    ],
)
def test_every_error_has_a_status_and_a_code(error: LanguageModelError, status: int, code: str) -> None:
    found, body = error_status(error)
    assert (found, body["error"]["code"]) == (status, code)


def test_a_prompt_that_is_too_long_is_told_its_length() -> None:
    _, body = error_status(ContextTooLongError("x", prompt_tokens=9, limit_tokens=5))
    assert (body["error"]["prompt_tokens"], body["error"]["limit_tokens"]) == (9, 5)
