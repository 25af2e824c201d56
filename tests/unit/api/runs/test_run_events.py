"""Following a run: from anywhere, over a catalog that is away, and to its end."""

import asyncio
from collections.abc import AsyncIterable, Collection, Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest
from fastapi import Request, Response
from fastapi.responses import StreamingResponse

from api.admission.services import Services
from api.admission.turns import Slot, TenantSlots
from api.http import sse
from api.http.problems import BadRequestError, StreamsFullError
from api.runs.routes import list_run_events
from ingest.storage.accounts.records import Principal, Scope
from ingest.storage.answers.run_records import Run, RunEvent, RunState
from ingest.storage.errors import CatalogUnavailableError, RunNotFoundError
from ingest.storage.feed.feed import LocalFeed
from tests.fakes.runs import RUN
from tests.support.callers import always


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "_POLL_SECONDS", 0.01)


class ScriptedRuns:
    """A run that logs one more event each time that somebody looks, up to its end; looks in `errors` raise instead."""

    def __init__(self, logged: int, *, last: int, errors: dict[int, Exception] | None = None) -> None:
        self.logged, self.last, self.errors = logged, last, errors or {}
        self.looks = 0

    def mask_names(self, run: Run, readers: frozenset[str] | None) -> Run:
        return run

    def list_withheld_runs(self, identifiers: Collection[str], readers: frozenset[str] | None) -> set[str]:
        return set()

    def load_run(self, tenant_id: str, identifier: str, owner: str | None = None) -> Run:
        ended = self.logged >= self.last
        return replace(RUN, events=self.logged, state=RunState.COMPLETED if ended else RunState.RUNNING)

    def list_events(self, tenant_id: str, identifier: str, *, after: int, limit: int) -> list[RunEvent]:
        self.looks += 1
        if error := self.errors.get(self.looks):
            raise error
        self.logged = min(self.last, self.logged + 1)
        numbers = range(after + 1, self.logged + 1)
        return [RunEvent(number, "end" if number == self.last else "call", {}, 0.0) for number in numbers]


class Served:
    """What following asks of the service; it stops when it was asked so often that no run would go on."""

    def __init__(self, runs: ScriptedRuns) -> None:
        self.answers, self.events = SimpleNamespace(runs=runs), SimpleNamespace(feed=LocalFeed())
        self._asked: Iterator[bool] = iter([True] * 50)

    @property
    def accepting(self) -> bool:
        return next(self._asked, False)


def sent(runs: ScriptedRuns, last_event_id: str | None = None) -> list[str]:
    """The names of what is sent, or the status of an answer without a stream."""

    async def collect() -> list[str]:
        streams = TenantSlots(2, build_error=StreamsFullError)
        caller = Principal(RUN.tenant_id, "k", "a test", scopes=frozenset({Scope.READ}))
        response: Any = await list_run_events(
            "r",
            Request({"type": "http", "headers": []}),
            caller,
            always(caller),
            cast(Services, Served(runs)),
            Slot(streams, RUN.tenant_id, since=0.0),
            streams,
            last_event_id,
            limit=100,
        )
        if not isinstance(response, StreamingResponse):
            assert isinstance(response, Response)
            return [str(response.status_code)]
        body = response.body_iterator
        assert isinstance(body, AsyncIterable)
        return [
            str(part).partition("event: ")[2].partition("\n")[0] or str(part).strip()
            for part in [p async for p in body]
        ]

    return asyncio.run(collect())


def test_a_run_is_followed_to_its_end() -> None:
    assert sent(ScriptedRuns(1, last=3)) == ["call", "call", "end"]
    assert sent(ScriptedRuns(2, last=3), "2") == ["end"]
    assert sent(ScriptedRuns(3, last=3), "3") == ["204"]


def test_an_id_beyond_what_was_logged_is_followed_from_there_to_the_end() -> None:
    assert sent(ScriptedRuns(1, last=3), "999999") == ["call", "end"]
    assert sent(ScriptedRuns(3, last=3), "999999") == ["204"]


@pytest.mark.parametrize("last_event_id", ["9" * 5_000, str(2**63)], ids=["too long", "too large"])
def test_an_id_that_no_stream_gave_out_is_a_bad_request(last_event_id: str) -> None:
    with pytest.raises(BadRequestError):
        sent(ScriptedRuns(1, last=3), last_event_id)


def test_a_catalog_that_is_away_for_a_while_ends_no_stream() -> None:
    away = CatalogUnavailableError("It does not answer.")
    assert sent(ScriptedRuns(1, last=3, errors={1: away, 3: away})) == [
        sse.HEARTBEAT.strip(),
        "call",
        "call",
        sse.HEARTBEAT.strip(),
        "end",
    ]


def test_a_run_that_is_deleted_meanwhile_ends_its_stream_with_a_problem() -> None:
    assert sent(ScriptedRuns(1, last=3, errors={1: RunNotFoundError("There is no such run.")})) == ["error"]
