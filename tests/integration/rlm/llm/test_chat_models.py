"""The chat models' client and a server whose faults are real."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import httpx2
import openai
import pytest

from rlm.errors import (
    ContextTooLongError,
    LanguageModelError,
    LanguageModelOutputError,
    LanguageModelRefusedError,
    LanguageModelTimeoutError,
    LanguageModelUnavailableError,
)
from rlm.llm.chat_models import build_remote_chat_model, translate_error
from rlm.llm.profiles import ModelProfile
from tests.support.chats import AskedChat
from tests.support.scripted_openai import Fault, ScriptedOpenAI, scripted_openai

REQUEST = httpx2.Request("POST", "http://llm/v1/chat/completions")
PROFILE = ModelProfile("any", 8192, 512)


@pytest.fixture
def server() -> Iterator[ScriptedOpenAI]:
    with scripted_openai() as made:
        yield made


@contextmanager
def asked(url: str, profile: ModelProfile = PROFILE) -> Iterator[AskedChat]:
    made = AskedChat(build_remote_chat_model(url, profile))
    try:
        yield made
    finally:
        made.close()


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("busy", LanguageModelUnavailableError),
        ("down", LanguageModelUnavailableError),
        ("cut", LanguageModelUnavailableError),
        ("unauthorized", LanguageModelRefusedError),
        ("too_long", ContextTooLongError),
        ("hang", LanguageModelTimeoutError),
    ],
)
def test_a_servers_faults_are_typed(server: ScriptedOpenAI, fault: Fault, kind: type[LanguageModelError]) -> None:
    server.fault = fault
    profile = replace(PROFILE, call_seconds=2.0) if fault == "hang" else PROFILE
    with asked(server.url, profile) as model, pytest.raises(kind) as caught:
        model.stream("Count.")
    if fault in ("busy", "down"):
        assert caught.value.retry_after_seconds == 7  # type: ignore[attr-defined]


def test_a_body_that_is_not_json_is_typed(server: ScriptedOpenAI) -> None:
    server.fault = "not_json"
    expected = (LanguageModelOutputError, LanguageModelUnavailableError)
    with asked(server.url) as model, pytest.raises(expected):
        model.invoke("Count.")


def test_nobody_at_the_address_is_unavailable() -> None:
    with asked("http://127.0.0.1:9/v1") as model, pytest.raises(LanguageModelUnavailableError) as raised:
        model.invoke("Count.")
    assert not raised.value.reached


def test_repetition_is_left_to_the_caller(server: ScriptedOpenAI) -> None:
    server.fault = "down"
    with asked(server.url) as model, pytest.raises(LanguageModelUnavailableError):
        model.stream("Count.")
    assert len(server.requests) == 1


def test_a_stream_that_ends_without_an_end_was_read_by_the_model(server: ScriptedOpenAI) -> None:
    server.fault = "cut"
    with asked(server.url) as model, pytest.raises(LanguageModelUnavailableError) as ended:
        model.stream("Count.")
    found = translate_error(openai.APIError("The engine died.", request=REQUEST, body={"message": "The engine died."}))
    assert isinstance(found, LanguageModelUnavailableError)
    assert ended.value.reached
    assert found.reached


def test_an_answer_may_take_as_long_as_a_call() -> None:
    sent: list[dict[str, float]] = []

    async def refuse(request: httpx2.Request) -> httpx2.Response:
        sent.append(request.extensions["timeout"])
        return httpx2.Response(400, request=request, json={"error": {"message": "No."}})

    async def ask() -> None:
        model = build_remote_chat_model("http://llm/v1", replace(PROFILE, call_seconds=900.0))
        await model.root_async_client._client.aclose()
        model.root_async_client._client = httpx2.AsyncClient(transport=httpx2.MockTransport(refuse))
        with pytest.raises(LanguageModelRefusedError):
            await model.ainvoke("Count.")
        await model.aclose()

    asyncio.run(ask())
    assert [(each["read"], each["connect"]) for each in sent] == [(900.0, 2.0)]
