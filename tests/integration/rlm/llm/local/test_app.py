import contextlib
import json
import socket
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from rlm.errors import (
    ContextTooLongError,
    LanguageModelError,
    LanguageModelRefusedError,
    LanguageModelUnavailableError,
)
from rlm.llm.local.protocol import FailedEvent, FinishedEvent, TextDelta, TokenUsage
from tests.fakes.scripted_engine import ScriptedEngine
from tests.support.engine_server import engine_server

ANSWER = (TextDelta("Hel"), TextDelta("lo"), FinishedEvent("stop", TokenUsage(5, 2)))
BODY = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}


@contextlib.contextmanager
def serving(engine: ScriptedEngine) -> Iterator[httpx.Client]:
    """The application on a loopback port, as it is in its own process."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        engine_server(engine, listener),
        httpx.Client(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=120) as client,
    ):
        yield client


def events(response: httpx.Response) -> list[Any]:
    lines = [line.removeprefix("data: ") for line in response.text.splitlines() if line.startswith("data: ")]
    return [line if line == "[DONE]" else json.loads(line) for line in lines]


def test_the_list_of_models_says_what_is_served() -> None:
    with serving(ScriptedEngine()) as client:
        assert [model["id"] for model in client.get("/v1/models").json()["data"]] == ["m"]


def test_a_whole_answer() -> None:
    with serving(ScriptedEngine(ANSWER)) as client:
        completion = client.post("/v1/chat/completions", json=BODY).json()
    choice = completion["choices"][0]
    assert choice["message"] == {"role": "assistant", "content": "Hello"}
    assert choice["finish_reason"] == "stop"
    assert completion["usage"] == {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}


@pytest.mark.parametrize("wanted", [True, False])
def test_a_streamed_answer_reports_usage_when_asked(wanted: bool) -> None:
    body = {**BODY, "stream": True, "stream_options": {"include_usage": wanted}}
    with serving(ScriptedEngine(ANSWER)) as client:
        response = client.post("/v1/chat/completions", json=body)
    assert response.headers["content-type"].startswith("text/event-stream")
    *chunks, last = events(response)
    assert last == "[DONE]"
    assert "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks if chunk["choices"]) == "Hello"
    assert [chunk["usage"]["total_tokens"] for chunk in chunks if "usage" in chunk] == ([7] if wanted else [])


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ContextTooLongError("Too long."), 400),
        (LanguageModelRefusedError("No such schema."), 400),
        (LanguageModelUnavailableError("Full.", retry_after_seconds=5), 503),
    ],
)
def test_what_the_engine_refuses_at_once_or_before_the_first_word_has_a_status(
    stream: bool, error: LanguageModelError, status: int
) -> None:
    for engine in (ScriptedEngine(refusal=error), ScriptedEngine([FailedEvent(error)])):
        with serving(engine) as client:
            response = client.post("/v1/chat/completions", json={**BODY, "stream": stream})
        assert response.status_code == status
        assert error.detail in response.json()["error"]["message"]
        assert response.headers.get("retry-after") == ("5" if status == 503 else None)


def test_a_failure_in_mid_stream_is_an_event() -> None:
    engine = ScriptedEngine([TextDelta("a"), FailedEvent(LanguageModelUnavailableError("Broke down."))])
    with serving(engine) as client:
        *_, last = events(client.post("/v1/chat/completions", json={**BODY, "stream": True}))
    assert last["error"]["code"] == "language_model_unavailable"


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_hangs_up_while_waiting_gives_its_place_back(stream: bool) -> None:
    engine = ScriptedEngine()
    with serving(engine) as client:
        waiting = socket.create_connection((client.base_url.host, client.base_url.port or 0))
        content = json.dumps({**BODY, "stream": stream}).encode()
        head = ["POST /v1/chat/completions HTTP/1.1", "Host: x", "Content-Type: application/json"]
        waiting.sendall("\r\n".join([*head, f"Content-Length: {len(content)}", "", ""]).encode() + content)
        assert engine.asked.wait(120)
        assert not engine.tickets[0].cancelled.is_set()
        waiting.close()
        assert engine.tickets[0].cancelled.wait(120)


def test_a_client_that_hangs_up_in_mid_stream_gives_its_place_back() -> None:
    engine = ScriptedEngine([TextDelta("a")])
    with serving(engine) as client:
        with client.stream("POST", "/v1/chat/completions", json={**BODY, "stream": True}) as response:
            assert next(response.iter_lines())
        assert engine.tickets[0].cancelled.wait(120)
