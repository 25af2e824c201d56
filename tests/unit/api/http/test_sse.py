"""Following something as server-sent events: silence, an away catalog, and who is told what."""

import asyncio
from collections.abc import AsyncIterable, Callable, Iterator
from contextlib import contextmanager

import pytest
from fastapi.responses import StreamingResponse

from api.http import sse
from ingest.storage.accounts.records import Principal, Scope
from ingest.storage.errors import CatalogUnavailableError
from tests.support.callers import always

CALLER = Principal("ann", "k", "a test", scopes=frozenset({Scope.READ}))
FIRST, SECOND = {"stage": "a"}, {"stage": "b"}
END = sse.StreamState({"stage": "end"}, ended=True)


@contextmanager
def nobody_rings(wake: Callable[[], None]) -> Iterator[None]:
    yield


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "_POLL_SECONDS", 0.01)
    monkeypatch.setattr(sse, "_MIN_INTERVAL_SECONDS", 0.0)


def sent(*seen: "sse.StreamState | Exception", after: str | None = None) -> list[str]:
    """What is sent when the looks find these, one after the other; the first is looked at twice."""
    looks = iter([seen[0], *seen])

    def look(_: Principal) -> sse.StreamState:
        found = next(looks)
        if isinstance(found, Exception):
            raise found
        return found

    async def collect() -> list[str]:
        followed = sse.StreamSource(always(CALLER), look, nobody_rings, lambda: True)
        response = await sse.stream_updates(followed, after)
        assert isinstance(response, StreamingResponse)
        body = response.body_iterator
        assert isinstance(body, AsyncIterable)
        return [str(part) async for part in body]

    return asyncio.run(collect())


def names(parts: list[str]) -> list[str]:
    return [part.partition("event: ")[2].partition("\n")[0] or part.strip() for part in parts]


def test_without_a_ring_changes_are_found_and_the_same_state_is_sent_once() -> None:
    first, second = sse.StreamState(FIRST, ended=False), sse.StreamState(SECOND, ended=False)
    assert names(sent(first, first, second, second, END)) == ["snapshot", "progress", "end"]


def test_silence_is_broken_by_heartbeats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "HEARTBEAT_SECONDS", 0.0)
    state = sse.StreamState(FIRST, ended=False)
    assert names(sent(state, state, state, END)) == ["snapshot", ": still at it", ": still at it", "end"]


def test_a_catalog_that_is_away_for_a_while_ends_no_stream() -> None:
    state = sse.StreamState(FIRST, ended=False)
    away = CatalogUnavailableError("It does not answer.")
    assert names(sent(state, away, END)) == ["snapshot", ": still at it", "end"]


def test_half_a_character_cuts_no_stream() -> None:
    assert sse.format_event("delta", {"text": "half \ud83d"}, 1) == 'id: 1\nevent: delta\ndata: {"text": "half ?"}\n\n'


def test_another_estimate_is_sent_and_is_no_other_state() -> None:
    early, late = (sse.StreamState({"progress": {"seconds_left": left}}, ended=False) for left in (9.0, 8.0))
    assert early.id == late.id
    assert names(sent(early, late, END)) == ["snapshot", "progress", "end"]
    assert names(sent(late, END, after=early.id)) == ["end"]
