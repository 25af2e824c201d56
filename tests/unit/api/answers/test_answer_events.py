"""Waiting for answers that are made in threads, and who gets one."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import SimpleNamespace
from typing import Any, cast

import pytest
from starlette.requests import ClientDisconnect
from starlette.types import Message

from api.admission.current_caller import AnswerCaller
from api.answers.answer_events import AnswerEventFormatter, stream_answer, wait_for_result
from api.http.problems import AnswersFullError
from api.http.threads import AnswerThreads
from ingest.storage.accounts.records import Principal, Scope
from rlm.events import Delta, Event
from tests.support.callers import always

_ASKER = Principal("ann", "k", "a test", scopes=frozenset({Scope.ASK}))
CALLER = AnswerCaller(always(_ASKER, Scope.ASK), _ASKER)


async def _connected() -> bool:
    return False


def test_an_answer_is_given_up_when_the_service_ends_while_it_is_made() -> None:
    stop = threading.Event()

    async def served() -> bool:
        work: asyncio.Future[Any] = AnswerThreads(1).start_answer("a", lambda: stop.wait(60))
        request = cast(Any, SimpleNamespace(is_disconnected=_connected))
        waiting = asyncio.create_task(wait_for_result(request, CALLER, work, stop))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        return stop.is_set()

    assert asyncio.run(served())


def test_an_answer_is_given_up_when_its_client_goes_before_the_first_event() -> None:
    stop, work = threading.Event(), list[asyncio.Future[None]]()

    def start(produce: Callable[[], None]) -> asyncio.Future[None]:
        work.append(AnswerThreads(1).start_answer("a", produce))
        return work[0]

    def events() -> Iterator[Event]:
        stop.wait(60)
        yield Delta("nobody reads it")

    async def nothing() -> Message:
        raise AssertionError("a server of this version is not asked whether its client is there")

    async def gone(_: Message) -> None:
        raise BrokenPipeError

    async def served() -> None:
        request = cast(Any, SimpleNamespace(is_disconnected=_connected))
        response = await stream_answer(request, CALLER, start, events, AnswerEventFormatter(cast(Any, None)), stop)
        with pytest.raises(ClientDisconnect):
            await response({"type": "http", "asgi": {"spec_version": "2.4"}}, nothing, gone)
        assert stop.is_set()
        await work[0]

    asyncio.run(served())


def test_one_tenant_gets_all_places_and_another_gets_in_at_once_up_to_its_share() -> None:
    free = threading.Event()

    async def started(threads: AnswerThreads, tenants: str) -> str:
        """Those that got a place."""
        work, got = list[asyncio.Future[Any]](), ""
        for tenant in tenants:
            with suppress(AnswersFullError):
                work.append(threads.start_answer(tenant, lambda: free.wait(60)))
                got += tenant
        free.set()
        await asyncio.gather(*work)
        free.clear()
        return got

    async def asked() -> list[str]:
        threads = AnswerThreads(8)
        found = [
            await started(threads, tenants) for tenants in ("aaaaaaaaaa", "aaaaaaaaabbba", "aabbbbbbbba", "aaaabbbb")
        ]
        return [*found, await started(AnswerThreads(1), "aabb")]

    assert asyncio.run(asked()) == ["aaaaaaaa", "aaaaaaaabb", "aabbbbbba", "aaaabbbb", "ab"]


def test_who_holds_more_than_its_share_waits_until_it_has_evened_out() -> None:
    threads = AnswerThreads(4)
    for tenant in "aaaab":
        threads._take_slot(tenant)
    threads._release_slot("a")
    with pytest.raises(AnswersFullError):
        threads._take_slot("a")  # four are taken, and three of them are its own
    threads._take_slot("b")
    threads._release_slot("a")
    threads._release_slot("a")
    threads._take_slot("a")
