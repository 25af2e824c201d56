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
    TokenUsage,
    build_error_response,
)


def generation_request(**body: Any) -> GenerationRequest:  # noqa: ANN401 - JSON
    asked = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], **body}
    return ChatCompletionRequest.model_validate(asked).to_engine_request()


def test_what_is_left_out_is_the_engines_choice() -> None:
    assert generation_request() == GenerationRequest((ChatMessage("user", "Hi"),))


def test_every_setting_reaches_the_engine() -> None:
    schema = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}
    request = generation_request(max_completion_tokens=9, temperature=0, response_format=schema)
    assert request.max_tokens == 9
    assert request.json_schema is not None
    assert json.loads(request.json_schema) == {"type": "object"}
    assert generation_request(max_tokens=4).max_tokens == 4


@pytest.mark.parametrize(
    "body",
    [
        {"messages": []},
        {"messages": [{"role": "tool", "content": "x"}]},
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
        {"n": 2},
        {"tools": [{"type": "function"}]},
        {"temperature": 0.5},
        {"top_p": 0.5},
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
    events = [
        writer.build_delta_event("a", is_first=True),
        writer.build_end_event("stop"),
        writer.build_usage_event(TokenUsage(3, 4)),
    ]
    chunks = [json.loads(event.removeprefix(b"data: ")) for event in events]
    assert len({chunk["id"] for chunk in chunks}) == 1
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": "a"}
    assert chunks[1]["choices"][0]["finish_reason"] == "stop"
    assert chunks[2]["usage"] == {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
    assert chunks[2]["choices"] == []


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (ContextTooLongError("x"), 400, "context_length_exceeded"),
        (LanguageModelRefusedError("x"), 400, "language_model_refused"),
        (LanguageModelUnavailableError("x"), 503, "language_model_unavailable"),
        (LanguageModelTimeoutError("x"), 503, "language_model_timeout"),
        (LanguageModelOutputError("x"), 503, "language_model_output"),
    ],
)
def test_every_error_has_a_status_and_a_code(error: LanguageModelError, status: int, code: str) -> None:
    found, body = build_error_response(error)
    assert (found, body["error"]["code"]) == (status, code)
