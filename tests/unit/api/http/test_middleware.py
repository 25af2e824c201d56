"""What wraps every request."""

import asyncio
from http import HTTPStatus

import pytest
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send
from structlog.testing import capture_logs

from api.http.middleware import RequestContext
from api.http.problems import ProblemHandlers
from api.openai.elsewhere import get_alternative_hint, is_openai_path

PROBLEMS = ProblemHandlers(get_alternative_hint, is_openai_path)


def test_a_client_that_goes_away_while_it_sends_is_no_failure_of_the_service() -> None:
    async def reading(scope: Scope, receive: Receive, send: Send) -> None:
        await Request(scope, receive).body()

    async def gone() -> Message:
        return {"type": "http.disconnect"}

    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    scope: Scope = {"type": "http", "method": "POST", "path": "/v1/documents", "headers": []}
    with capture_logs() as logged:
        asyncio.run(RequestContext(reading, PROBLEMS)(scope, gone, send))
    assert [(each["event"], each["log_level"], each["status"]) for each in logged] == [("request", "info", 499)]
    assert sent == []


def test_a_status_is_a_number_in_the_log_whoever_sends_it() -> None:
    async def receive() -> Message:
        return {"type": "http.request"}

    async def send(_: Message) -> None:
        return None

    scope: Scope = {"type": "http", "method": "POST", "path": "/mcp", "headers": []}
    with capture_logs() as logged:
        asyncio.run(RequestContext(Response(status_code=HTTPStatus.ACCEPTED), PROBLEMS)(scope, receive, send))
    assert repr(logged[0]["status"]) == "202"


async def _cancelled(scope: Scope, receive: Receive, send: Send) -> None:
    raise asyncio.CancelledError


def _run_cancelled(*, leaving: bool) -> list[Message]:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request"}

    async def send(message: Message) -> None:
        sent.append(message)

    scope: Scope = {"type": "http", "method": "POST", "path": "/v1/answers", "headers": [], "app": FastAPI()}
    asyncio.run(RequestContext(_cancelled, PROBLEMS, leaving=lambda: leaving)(scope, receive, send))
    return sent


def test_a_request_that_is_cancelled_while_the_process_leaves_is_answered_with_503() -> None:
    with capture_logs() as logged:
        sent = _run_cancelled(leaving=True)
    assert sent[0]["status"] == 503
    assert (b"retry-after", b"2") in sent[0]["headers"]
    assert b"service_busy" in sent[1]["body"]
    assert [each["event"] for each in logged] == ["response broken off", "request"]


def test_a_request_that_is_cancelled_at_another_time_stays_cancelled() -> None:
    with pytest.raises(asyncio.CancelledError):
        _run_cancelled(leaving=False)
