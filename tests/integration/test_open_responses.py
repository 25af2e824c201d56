"""The cases of Open Responses' compliance suite against a running service, each reply and event by its schema."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from openresponses_types import types as schema
from pydantic import BaseModel

from tests.support.harbour import KEEPER, Model, harbour

ANSWER = "Ada Brandt kept it [1]."
EVENTS: dict[str, type[BaseModel]] = {
    "response.created": schema.ResponseCreatedStreamingEvent,
    "response.in_progress": schema.ResponseInProgressStreamingEvent,
    "response.output_item.added": schema.ResponseOutputItemAddedStreamingEvent,
    "response.content_part.added": schema.ResponseContentPartAddedStreamingEvent,
    "response.output_text.delta": schema.ResponseOutputTextDeltaStreamingEvent,
    "response.output_text.annotation.added": schema.ResponseOutputTextAnnotationAddedStreamingEvent,
    "response.output_text.done": schema.ResponseOutputTextDoneStreamingEvent,
    "response.content_part.done": schema.ResponseContentPartDoneStreamingEvent,
    "response.output_item.done": schema.ResponseOutputItemDoneStreamingEvent,
    "response.completed": schema.ResponseCompletedStreamingEvent,
}


@pytest.fixture(scope="module")
def http(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with harbour(tmp_path_factory.mktemp("home"), Model()) as service:
        yield service.client.http


def message(role: str, content: str) -> dict[str, str]:
    return {"type": "message", "role": role, "content": content}


def asked(http: httpx.Client, given: Any, **more: Any) -> schema.ResponseResource:  # noqa: ANN401 - JSON
    """A response that is whole by the schema, completed, and has one item."""
    sent = http.post("/v1/responses", json={"model": "leadline", "input": given, **more})
    assert sent.status_code == 200, sent.text
    made = schema.ResponseResource.model_validate(sent.json())
    assert made.status == "completed"
    assert len(made.output) == 1
    return made


def text_of(made: schema.ResponseResource) -> str:
    (item,) = made.output
    assert isinstance(item, schema.Message)
    (part,) = item.content
    assert isinstance(part, schema.OutputTextContent)
    for each in part.annotations:
        assert part.text[each.root.start_index : each.root.end_index] == "[1]"
    return part.text


def test_basic_text_response(http: httpx.Client) -> None:
    assert text_of(asked(http, [message("user", KEEPER)])) == ANSWER


def test_streaming_response(http: httpx.Client) -> None:
    body = {"model": "leadline", "input": [message("user", KEEPER)], "stream": True}
    sent = http.post("/v1/responses", json=body)
    assert sent.headers["content-type"].startswith("text/event-stream")
    events = [json.loads(line.removeprefix("data: ")) for line in sent.text.splitlines() if line.startswith("data: {")]
    for event in events:
        EVENTS[event["type"]].model_validate(event)
    assert list(dict.fromkeys(event["type"] for event in events)) == list(EVENTS)
    assert text_of(schema.ResponseResource.model_validate(events[-1]["response"])) == ANSWER
    assert "".join(event["delta"] for event in events if event["type"] == "response.output_text.delta") == ANSWER


def test_system_prompt(http: httpx.Client) -> None:
    assert text_of(asked(http, [message("system", "Speak like a pirate."), message("user", KEEPER)])) == ANSWER


def test_tool_calling(http: httpx.Client) -> None:
    tool = {
        "type": "function",
        "name": "get_weather",
        "description": "Get the current weather for a location",
        "parameters": {"type": "object", "properties": {"location": {"type": "string"}}, "required": ["location"]},
    }
    made = asked(http, [message("user", KEEPER)], tools=[tool])
    (call,) = made.output
    assert isinstance(call, schema.FunctionCall)
    assert (call.name, call.arguments) == ("get_weather", '{"location": "Ada Brandt"}')


def test_multi_turn(http: httpx.Client) -> None:
    turns = [
        message("user", KEEPER),
        message("assistant", ANSWER),
        message("user", "And when did she first light the lamp?"),
    ]
    assert text_of(asked(http, turns)) == "She lit it in 1871 [1]."


def test_previous_response_id(http: httpx.Client) -> None:
    first = asked(http, KEEPER)
    second = asked(http, "And when did she first light the lamp?", previous_response_id=first.id)
    assert second.previous_response_id == first.id
    assert text_of(second) == "She lit it in 1871 [1]."
