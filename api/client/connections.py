"""The two clients: how a request is sent, tried again, streamed and followed, blocking and in an event loop."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Self, TypeVar

import httpx
from httpx_sse import EventSource
from tenacity import AsyncRetrying, Retrying

from api.client.calls import Call, Followed, Listing, Steps, Streamed
from api.client.errors import broken, error_of
from api.client.following import Place
from api.client.operations import Operations
from api.client.retrying import policy
from api.client.stepping import Running

T = TypeVar("T")

DEFAULT_URL = "http://127.0.0.1:8000"
TIMEOUT = httpx.Timeout(600.0, connect=5.0)
TRIES = 4


class Client(Operations):
    """A client that blocks, for one thread or many.

        with Client("https://leadline.example.org", "ll_…") as client:
            document = client.upload(Path("report.pdf"))
            answer = client.answer("What did the audit find?")

    `url` and `api_key` default to `LEADLINE_URL` and `LEADLINE_API_KEY`. `tries` is how often a request is sent that
    the service refuses for now, or that gets no reply; 1 sends each once. `http` is a client of your own that knows the
    service's address, and is closed by you. Raises `ServiceError` and its kinds.
    """

    def __init__(
        self,
        url: str | None = None,
        api_key: str | None = None,
        *,
        tries: int = TRIES,
        timeout: httpx.Timeout | float = TIMEOUT,
        http: httpx.Client | None = None,
    ) -> None:
        self.http = http or httpx.Client(**_settings(url, api_key, timeout))
        self._own = http is None
        self._tries = tries

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self._own:
            self.http.close()

    def send(self, call: Call[T]) -> T:
        """Send a request until there is a reply that counts, and read it."""
        return call.read(self._replied(call))

    def stepped(self, wanted: Steps[T]) -> T:
        """Send each request once the reply to the one before is there."""
        steps = Running(wanted)
        while (call := steps.following()) is not None:
            with steps.failures():
                steps.reply = self.send(call)
        return steps.result

    def pages(self, listing: Listing[T]) -> Iterator[T]:
        """Yield everything of a listing, and ask for a page when it is needed."""
        call: Call[Any] | None = listing.call
        while call is not None:
            page = self.send(call)
            yield from listing.entries(page)
            call = listing.following(page)

    @contextmanager
    def streamed(self, wanted: Streamed[T]) -> Iterator[Iterator[T]]:
        """Open a stream of events; leaving the block closes the connection, which ends the service's work."""
        response = self._replied(wanted.call, stream=True)
        try:
            yield self._events(response, wanted)
        finally:
            # guard: client-stream-closed
            response.close()

    def followed(self, wanted: Followed[T]) -> Iterator[T]:
        """Yield states until the last one; broken connections are made again."""
        place = Place(wanted)
        while not place.ended:
            with place.broken_ones():
                response = self._once(place.call, stream=True)
                try:
                    if not place.over(response):
                        yield from self._events(response, place.stream)
                finally:
                    response.close()
            time.sleep(place.pause_seconds)

    def _events(self, response: httpx.Response, wanted: Streamed[T]) -> Iterator[T]:
        with _translated(self.http):
            for sent in EventSource(response).iter_sse():
                if (event := wanted.event(sent)) is not None:
                    yield event

    def _replied(self, call: Call[Any], *, stream: bool = False) -> httpx.Response:
        return Retrying(**policy(call, self._tries))(self._once, call, stream=stream)

    def _once(self, call: Call[Any], *, stream: bool) -> httpx.Response:
        content = None if call.content is None else call.content.chunks()
        with _translated(self.http):
            request = self.http.build_request(**call.arguments(), content=content)
            response = self.http.send(request, stream=stream)
            if response.is_error:
                response.read()
                raise error_of(response)
        return response


class AsyncClient(Operations):
    """The same client for an event loop: await what `Client` returns, and iterate with `async for`.

        async with AsyncClient("https://leadline.example.org", "ll_…") as client:
            answer = await client.answer("What did the audit find?")
            async for document in client.documents(collection="reports"):
                print(document.name, document.state)

    Its arguments are those of `Client`; `http` is an `httpx.AsyncClient`.
    """

    def __init__(
        self,
        url: str | None = None,
        api_key: str | None = None,
        *,
        tries: int = TRIES,
        timeout: httpx.Timeout | float = TIMEOUT,
        http: httpx.AsyncClient | None = None,
    ) -> None:
        self.http = http or httpx.AsyncClient(**_settings(url, api_key, timeout))
        self._own = http is None
        self._tries = tries

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        if self._own:
            await self.http.aclose()

    async def send(self, call: Call[T]) -> T:
        return call.read(await self._replied(call))

    async def stepped(self, wanted: Steps[T]) -> T:
        steps = Running(wanted)
        while (call := steps.following()) is not None:
            with steps.failures():
                steps.reply = await self.send(call)
        return steps.result

    async def pages(self, listing: Listing[T]) -> AsyncIterator[T]:
        call: Call[Any] | None = listing.call
        while call is not None:
            page = await self.send(call)
            for entry in listing.entries(page):
                yield entry
            call = listing.following(page)

    @asynccontextmanager
    async def streamed(self, wanted: Streamed[T]) -> AsyncIterator[AsyncIterator[T]]:
        response = await self._replied(wanted.call, stream=True)
        try:
            yield self._events(response, wanted)
        finally:
            await response.aclose()

    async def followed(self, wanted: Followed[T]) -> AsyncIterator[T]:
        place = Place(wanted)
        while not place.ended:
            with place.broken_ones():
                response = await self._once(place.call, stream=True)
                try:
                    if not place.over(response):
                        async for state in self._events(response, place.stream):
                            yield state
                finally:
                    await response.aclose()
            await asyncio.sleep(place.pause_seconds)

    async def _events(self, response: httpx.Response, wanted: Streamed[T]) -> AsyncIterator[T]:
        with _translated(self.http):
            async for sent in EventSource(response).aiter_sse():
                if (event := wanted.event(sent)) is not None:
                    yield event

    async def _replied(self, call: Call[Any], *, stream: bool = False) -> httpx.Response:
        return await AsyncRetrying(**policy(call, self._tries))(self._once, call, stream=stream)

    async def _once(self, call: Call[Any], *, stream: bool) -> httpx.Response:
        content = None if call.content is None else call.content.async_chunks()
        with _translated(self.http):
            request = self.http.build_request(**call.arguments(), content=content)
            response = await self.http.send(request, stream=stream)
            if response.is_error:
                await response.aread()
                raise error_of(response)
        return response


def _settings(url: str | None, api_key: str | None, timeout: httpx.Timeout | float) -> dict[str, Any]:
    key = api_key or os.environ.get("LEADLINE_API_KEY")
    return {
        "base_url": url or os.environ.get("LEADLINE_URL") or DEFAULT_URL,
        "headers": {"Authorization": f"Bearer {key}"} if key else {},
        "timeout": timeout,
    }


@contextmanager
def _translated(http: httpx.Client | httpx.AsyncClient) -> Iterator[None]:
    try:
        yield
    except httpx.TransportError as error:
        raise broken(str(http.base_url), error) from error
