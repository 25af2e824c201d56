"""A client that goes away ends the work behind every protocol, and behind each of our own clients."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pydantic import SecretStr

from api.client import AsyncClient
from api.langchain import ChatLeadline
from tests.support.facades import FACADES, asks, seconds_until_nothing_is_asked
from tests.support.harbour import Harbour, Model, harbour

# The benchmark counts how often it takes over two seconds; here it is only told from not ending at all.
_LIMIT_SECONDS = 120.0


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harbour]:
    with harbour(tmp_path_factory.mktemp("home"), Model()) as made:
        made.model.fault = "wait"
        yield made


def leave(service: Harbour, ask: Callable[[], Any]) -> float:
    return asyncio.run(seconds_until_nothing_is_asked(ask, service.model, limit_seconds=_LIMIT_SECONDS))


@pytest.mark.parametrize("name", FACADES)
def test_a_client_of_a_protocol_that_goes_away_ends_the_work(service: Harbour, name: str) -> None:
    assert leave(service, asks(service.url, service.key, FACADES[name], f"Who kept {name}?")) < _LIMIT_SECONDS


def test_a_question_of_the_python_client_that_is_cancelled_ends_the_work(service: Harbour) -> None:
    async def whole() -> None:
        async with AsyncClient(service.url, service.key) as client:
            await client.answer("Who kept the answer?")

    async def streamed() -> None:
        async with AsyncClient(service.url, service.key) as client, client.stream_answer("Who kept it?") as events:
            async for _ in events:
                pass

    for ask in (whole, streamed):
        assert leave(service, ask) < _LIMIT_SECONDS


def test_a_question_of_langchain_that_is_cancelled_ends_the_work(service: Harbour) -> None:
    chat = ChatLeadline(url=service.url, api_key=SecretStr(service.key))

    async def streamed() -> None:
        async for _ in chat.astream("Who kept the stream?"):
            pass

    for ask in (lambda: chat.ainvoke("Who kept the chain?"), streamed):
        assert leave(service, ask) < _LIMIT_SECONDS
