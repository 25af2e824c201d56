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

from api.client.calls import Call, CallSequence, FollowCall, PagedCall, StreamCall
from api.client.errors import build_no_answer_error, build_response_error
from api.client.following import StreamPosition
from api.client.operations import Operations
from api.client.retrying import build_retry_policy
from api.client.stepping import SequenceRun

T = TypeVar("T")

DEFAULT_URL = "http://127.0.0.1:8000"
DEFAULT_TIMEOUT = httpx.Timeout(600.0, connect=5.0)
DEFAULT_TRIES = 4


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
        tries: int = DEFAULT_TRIES,
        timeout: httpx.Timeout | float = DEFAULT_TIMEOUT,
        http: httpx.Client | None = None,
    ) -> None:
        self.http = http or httpx.Client(**_build_http_options(url, api_key, timeout))
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
        return call.read(self._send_with_retries(call))

    def stepped(self, wanted: CallSequence[T]) -> T:
        """Send each request once the reply to the one before is there."""
        steps = SequenceRun(wanted)
        while (call := steps.advance()) is not None:
            with steps.capture_failure():
                steps.reply = self.send(call)
        return steps.result

    def pages(self, listing: PagedCall[T]) -> Iterator[T]:
        """Yield everything of a listing, and ask for a page when it is needed."""
        call: Call[Any] | None = listing.call
        while call is not None:
            page = self.send(call)
            yield from listing.get_entries(page)
            call = listing.build_next_call(page)

    @contextmanager
    def streamed(self, wanted: StreamCall[T]) -> Iterator[Iterator[T]]:
        """Open a stream of events; leaving the block closes the connection, which ends the service's work."""
        response = self._send_with_retries(wanted.call, stream=True)
        try:
            yield self._iter_events(response, wanted)
        finally:
            # guard: client-stream-closed
            response.close()

    def followed(self, wanted: FollowCall[T]) -> Iterator[T]:
        """Yield states until the last one; broken connections are made again."""
        place = StreamPosition(wanted)
        while not place.ended:
            with place.tolerate_failures():
                response = self._send_once(place.call, stream=True)
                try:
                    if not place.check_end(response):
                        yield from self._iter_events(response, place.stream)
                finally:
                    response.close()
            time.sleep(place.pause_seconds)

    def _iter_events(self, response: httpx.Response, wanted: StreamCall[T]) -> Iterator[T]:
        with _translate_errors(self.http):
            for sent in EventSource(response).iter_sse():
                if (event := wanted.read_event(sent)) is not None:
                    yield event

    def _send_with_retries(self, call: Call[Any], *, stream: bool = False) -> httpx.Response:
        return Retrying(**build_retry_policy(call, self._tries))(self._send_once, call, stream=stream)

    def _send_once(self, call: Call[Any], *, stream: bool) -> httpx.Response:
        content = None if call.content is None else call.content.iter_chunks()
        with _translate_errors(self.http):
            request = self.http.build_request(**call.build_arguments(), content=content)
            response = self.http.send(request, stream=stream)
            if response.is_error:
                response.read()
                raise build_response_error(response)
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
        tries: int = DEFAULT_TRIES,
        timeout: httpx.Timeout | float = DEFAULT_TIMEOUT,
        http: httpx.AsyncClient | None = None,
    ) -> None:
        self.http = http or httpx.AsyncClient(**_build_http_options(url, api_key, timeout))
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
        return call.read(await self._send_with_retries(call))

    async def stepped(self, wanted: CallSequence[T]) -> T:
        steps = SequenceRun(wanted)
        while (call := steps.advance()) is not None:
            with steps.capture_failure():
                steps.reply = await self.send(call)
        return steps.result

    async def pages(self, listing: PagedCall[T]) -> AsyncIterator[T]:
        call: Call[Any] | None = listing.call
        while call is not None:
            page = await self.send(call)
            for entry in listing.get_entries(page):
                yield entry
            call = listing.build_next_call(page)

    @asynccontextmanager
    async def streamed(self, wanted: StreamCall[T]) -> AsyncIterator[AsyncIterator[T]]:
        response = await self._send_with_retries(wanted.call, stream=True)
        try:
            yield self._iter_events(response, wanted)
        finally:
            await response.aclose()

    async def followed(self, wanted: FollowCall[T]) -> AsyncIterator[T]:
        place = StreamPosition(wanted)
        while not place.ended:
            with place.tolerate_failures():
                response = await self._send_once(place.call, stream=True)
                try:
                    if not place.check_end(response):
                        async for state in self._iter_events(response, place.stream):
                            yield state
                finally:
                    await response.aclose()
            await asyncio.sleep(place.pause_seconds)

    async def _iter_events(self, response: httpx.Response, wanted: StreamCall[T]) -> AsyncIterator[T]:
        with _translate_errors(self.http):
            async for sent in EventSource(response).aiter_sse():
                if (event := wanted.read_event(sent)) is not None:
                    yield event

    async def _send_with_retries(self, call: Call[Any], *, stream: bool = False) -> httpx.Response:
        return await AsyncRetrying(**build_retry_policy(call, self._tries))(self._send_once, call, stream=stream)

    async def _send_once(self, call: Call[Any], *, stream: bool) -> httpx.Response:
        content = None if call.content is None else call.content.aiter_chunks()
        with _translate_errors(self.http):
            request = self.http.build_request(**call.build_arguments(), content=content)
            response = await self.http.send(request, stream=stream)
            if response.is_error:
                await response.aread()
                raise build_response_error(response)
        return response


def _build_http_options(url: str | None, api_key: str | None, timeout: httpx.Timeout | float) -> dict[str, Any]:
    key = api_key or os.environ.get("LEADLINE_API_KEY")
    return {
        "base_url": url or os.environ.get("LEADLINE_URL") or DEFAULT_URL,
        "headers": {"Authorization": f"Bearer {key}"} if key else {},
        "timeout": timeout,
    }


@contextmanager
def _translate_errors(http: httpx.Client | httpx.AsyncClient) -> Iterator[None]:
    try:
        yield
    except httpx.TransportError as error:
        raise build_no_answer_error(str(http.base_url), error) from error
