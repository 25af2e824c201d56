"""The blocking client and the asyncio client, which send, retry, stream and follow requests."""

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
    """A blocking client of a Leadline service. Thread-safe.

    Every method raises `ServiceError` or one of its subclasses if the request fails. Requests that are safe to repeat
    are retried when the service is temporarily unavailable or does not respond.

    Args:
        url: The service's address. Defaults to `LEADLINE_URL`, else to `http://127.0.0.1:8000`.
        api_key: The API key. Defaults to `LEADLINE_API_KEY`.
        tries: The maximum number of times to send a request; 1 disables retries.
        timeout: The timeout of each request, in seconds or as an `httpx.Timeout`.
        http: An httpx client to use instead of a new one. It must have the service's address as its `base_url` and send
            the API key; `url`, `api_key` and `timeout` are then ignored. You close it yourself.

    Example:
        with Client("https://leadline.example.org", "ll_…") as client:
            document = client.upload(Path("report.pdf"))
            for state in client.follow_document(document.id):
                print(state.state)
            answer = client.answer("What did the audit find?")
            print(answer.text)
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
        """Close the connections, unless you passed your own httpx client. A `with` block does this on exit."""
        if self._own:
            self.http.close()

    def send(self, call: Call[T]) -> T:
        """Send a request, with retries if necessary, and return the parsed response."""
        return call.read(self._send_with_retries(call))

    def run_sequence(self, sequence: CallSequence[T]) -> T:
        """Send the requests of a sequence one after another, and return its result."""
        steps = SequenceRun(sequence)
        while (call := steps.advance()) is not None:
            with steps.capture_failure():
                steps.reply = self.send(call)
        return steps.result

    def iter_entries(self, call: PagedCall[T]) -> Iterator[T]:
        """Yield all entries of a listing, fetching pages as needed."""
        page_call: Call[Any] | None = call.call
        while page_call is not None:
            page = self.send(page_call)
            yield from call.get_entries(page)
            page_call = call.build_next_call(page)

    @contextmanager
    def open_stream(self, call: StreamCall[T]) -> Iterator[Iterator[T]]:
        """Open a stream of events.

        Exiting the `with` block closes the connection, so that the service stops working on the request.
        """
        response = self._send_with_retries(call.call, stream=True)
        try:
            yield self._iter_events(response, call)
        finally:
            # guard: client-stream-closed
            response.close()

    def follow_states(self, call: FollowCall[T]) -> Iterator[T]:
        """Yield an object's states until the final one, reconnecting if the connection breaks."""
        position = StreamPosition(call)
        while not position.ended:
            with position.tolerate_failures():
                response = self._send_once(position.call, stream=True)
                try:
                    if not position.detect_end(response):
                        yield from self._iter_events(response, position.stream)
                finally:
                    response.close()
            time.sleep(position.pause_seconds)

    def _iter_events(self, response: httpx.Response, call: StreamCall[T]) -> Iterator[T]:
        with _translate_errors(self.http):
            for sent in EventSource(response).iter_sse():
                if (event := call.read_event(sent)) is not None:
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
    """An asyncio client of a Leadline service, with the methods of `Client`.

    Await the methods that return a result, iterate over listings and states with `async for`, and open streams with
    `async with`. Every method raises `ServiceError` or one of its subclasses if the request fails.

    Args:
        url: The service's address. Defaults to `LEADLINE_URL`, else to `http://127.0.0.1:8000`.
        api_key: The API key. Defaults to `LEADLINE_API_KEY`.
        tries: The maximum number of times to send a request; 1 disables retries.
        timeout: The timeout of each request, in seconds or as an `httpx.Timeout`.
        http: An httpx client to use instead of a new one. It must have the service's address as its `base_url` and send
            the API key; `url`, `api_key` and `timeout` are then ignored. You close it yourself.

    Example:
        async with AsyncClient("https://leadline.example.org", "ll_…") as client:
            answer = await client.answer("What did the audit find?")
            async for document in client.documents(collection="reports"):
                print(document.name, document.state)
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
        """Close the connections, unless you passed your own httpx client. An `async with` block does this on exit."""
        if self._own:
            await self.http.aclose()

    async def send(self, call: Call[T]) -> T:
        return call.read(await self._send_with_retries(call))

    async def run_sequence(self, sequence: CallSequence[T]) -> T:
        steps = SequenceRun(sequence)
        while (call := steps.advance()) is not None:
            with steps.capture_failure():
                steps.reply = await self.send(call)
        return steps.result

    async def iter_entries(self, call: PagedCall[T]) -> AsyncIterator[T]:
        page_call: Call[Any] | None = call.call
        while page_call is not None:
            page = await self.send(page_call)
            for entry in call.get_entries(page):
                yield entry
            page_call = call.build_next_call(page)

    @asynccontextmanager
    async def open_stream(self, call: StreamCall[T]) -> AsyncIterator[AsyncIterator[T]]:
        response = await self._send_with_retries(call.call, stream=True)
        try:
            yield self._iter_events(response, call)
        finally:
            await response.aclose()

    async def follow_states(self, call: FollowCall[T]) -> AsyncIterator[T]:
        position = StreamPosition(call)
        while not position.ended:
            with position.tolerate_failures():
                response = await self._send_once(position.call, stream=True)
                try:
                    if not position.detect_end(response):
                        async for state in self._iter_events(response, position.stream):
                            yield state
                finally:
                    await response.aclose()
            await asyncio.sleep(position.pause_seconds)

    async def _iter_events(self, response: httpx.Response, call: StreamCall[T]) -> AsyncIterator[T]:
        with _translate_errors(self.http):
            async for sent in EventSource(response).aiter_sse():
                if (event := call.read_event(sent)) is not None:
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
def _translate_errors(http_client: httpx.Client | httpx.AsyncClient) -> Iterator[None]:
    try:
        yield
    except httpx.TransportError as error:
        raise build_no_answer_error(str(http_client.base_url), error) from error
