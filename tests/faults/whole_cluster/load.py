"""The clients of the trial: searches, questions and uploads, each at its own rate, and their outcomes."""

import asyncio
import itertools
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.faults.whole_cluster.texts import build_text

_TIMEOUT_SECONDS = 60.0
_UPLOADERS = 4
_RETRY_SECONDS = 0.5

Found = tuple[tuple[str, int, int, float], ...]


def read_hits(body: Mapping[str, Any]) -> Found:
    """The hits of a search in their order, as document, start, end and rounded score."""
    return tuple((hit["document"], hit["start"], hit["end"], round(hit["score"], 4)) for hit in body["hits"])


@dataclass(frozen=True)
class Sent:
    """A request, its status or the name of the error, and how long it took. `differs` describes a wrong result."""

    kind: str
    at: float
    seconds: float
    status: str
    differs: str = ""

    @property
    def failed(self) -> bool:
        return self.status not in ("200", "202")


@dataclass
class Load:
    """Sends searches and questions without waiting for answers, and uploads what it is given until it is accepted.

    `expected` are the queries with the hits that each has; `accepted` the ids of documents by their numbers.
    """

    url: str
    key: str
    reference_key: str
    expected: Mapping[str, Found]
    searches_per_second: float
    questions_per_second: float
    sent: list[Sent] = field(default_factory=list)
    accepted: dict[int, str] = field(default_factory=dict)
    _ending: asyncio.Event = field(default_factory=asyncio.Event)
    _documents: asyncio.Queue[int] = field(default_factory=asyncio.Queue)
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)

    def upload(self, numbers: Sequence[int]) -> None:
        """Queue documents; called in any thread."""
        for number in numbers:
            self._loop.call_soon_threadsafe(self._documents.put_nowait, number)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Send in a thread of its own. At the end, requests under way and queued uploads are waited for."""
        thread = threading.Thread(target=self._loop.run_until_complete, args=[self._run()])
        thread.start()
        try:
            yield
        finally:
            self._loop.call_soon_threadsafe(self._ending.set)
            thread.join()
            self._loop.close()

    async def _run(self) -> None:
        limits = httpx.Limits(max_connections=500, max_keepalive_connections=50)
        async with httpx.AsyncClient(base_url=self.url, timeout=_TIMEOUT_SECONDS, limits=limits) as http:
            queries = itertools.cycle(self.expected)
            uploading = [asyncio.create_task(self._upload(http)) for _ in range(_UPLOADERS)]
            await asyncio.gather(
                self._arrive(self.searches_per_second, lambda _: self._search(http, next(queries))),
                self._arrive(self.questions_per_second, lambda number: self._ask(http, number)),
            )
            for task in uploading:
                task.cancel()
            await asyncio.gather(*uploading, return_exceptions=True)

    async def _arrive(self, rate: float, send: Callable[[int], Awaitable[None]]) -> None:
        """Send so many a second, however long each takes, and wait for the last ones."""
        begun, flying = time.monotonic(), set[asyncio.Future[None]]()
        for number in itertools.count():
            late = time.monotonic() - begun - number / rate if rate else 0.0
            if await self._is_over(-late if rate else None):
                break
            task = asyncio.ensure_future(send(number))
            flying.add(task)
            task.add_done_callback(flying.discard)
        if flying:
            await asyncio.wait(flying)

    async def _is_over(self, seconds: float | None) -> bool:
        """Wait so long, or until the end; with None, until the end."""
        try:
            await asyncio.wait_for(self._ending.wait(), seconds if seconds is None else max(0.0, seconds))
        except TimeoutError:
            return False
        return True

    async def _search(self, http: httpx.AsyncClient, query: str) -> None:
        def compare(response: httpx.Response) -> str:
            return describe_difference(query, self.expected[query], read_hits(response.json()))

        await self._send(http, "search", "/v1/search", self.reference_key, compare, json={"query": query})

    async def _ask(self, http: httpx.AsyncClient, number: int) -> None:
        body = {"question": f"What is said of the harbour on day {number}?", "strategy": "direct"}

        def check(response: httpx.Response) -> str:
            return "" if response.json()["sentences"] else f"question {number} has an empty answer"

        await self._send(http, "question", "/v1/answers", self.reference_key, check, json=body)

    async def _upload(self, http: httpx.AsyncClient) -> None:
        while True:
            number = await self._documents.get()
            while number not in self.accepted:
                response = await self._send(
                    http,
                    "upload",
                    "/v1/documents",
                    self.key,
                    lambda _: "",
                    params={"name": f"{number}.md"},
                    content=build_text(number).encode(),
                )
                if response is not None and response.is_success:
                    self.accepted[number] = str(response.json()["id"])
                else:
                    await asyncio.sleep(_RETRY_SECONDS)

    async def _send(
        self,
        http: httpx.AsyncClient,
        kind: str,
        path: str,
        key: str,
        check: Callable[[httpx.Response], str],
        **options: Any,  # noqa: ANN401 - those of httpx
    ) -> httpx.Response | None:
        at, begun = time.time(), time.monotonic()
        response, differs = None, ""
        try:
            response = await http.post(path, headers={"Authorization": f"Bearer {key}"}, **options)
            status = str(response.status_code)
            if response.status_code == 200:
                differs = check(response)
        except httpx.HTTPError as error:
            status = type(error).__name__
        self.sent.append(Sent(kind, at, time.monotonic() - begun, status, differs))
        return response


def describe_difference(query: str, expected: Found, found: Found) -> str:
    """Say what a search found beside what it should have found; empty where that is equal."""
    if found == expected:
        return ""
    if [hit[:3] for hit in found] == [hit[:3] for hit in expected]:
        return f"{query!r}: the scores {[hit[3] for hit in found]} should be {[hit[3] for hit in expected]}"
    missing = [hit for hit in expected if hit not in found]
    more = [hit for hit in found if hit not in expected]
    return f"{query!r}: {len(found)} hits instead of {len(expected)}; missing {missing}, not expected {more}"


def count_statuses(sent: Sequence[Sent]) -> str:
    """Statuses of failed requests with their numbers, such as `503: 2`."""
    return ", ".join(f"{status}: {count}" for status, count in sorted(Counter(s.status for s in sent).items()))
