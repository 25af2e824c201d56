"""Bounds the size of replies of servers that we ask: models, embeddings, rerankers, identity providers.

A server that is broken, or that somebody stands in for, could otherwise fill the memory with one reply. The bounds are
event hooks, and not a transport of our own, so that a client keeps its proxies from the environment. httpx and httpx2
(of the openai client) have the same hooks and streams.
"""

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx
import httpx2

# Over 100,000 streamed tokens at 300 bytes an event; the vectors of 32 texts take a tenth of it.
MODEL_REPLY_BYTES = 32 * 1024**2
# Lists of models and descriptions of identity providers have some kilobytes.
SHORT_REPLY_BYTES = 1024**2


class ReplyTooLargeError(Exception):
    """A reply has more bytes than it may, or is compressed, which hides how many it has. The text names the server."""


def build_reply_hooks(most_bytes: int = MODEL_REPLY_BYTES) -> dict[str, list[Callable[[Any], Any]]]:
    """Return the hooks of a synchronous client, httpx's or httpx2's, whose replies raise `ReplyTooLargeError`."""

    def limit_reply(response: httpx.Response | httpx2.Response) -> None:
        count = _build_byte_counter(response, most_bytes)
        kind = _HttpxStream if isinstance(response, httpx.Response) else _Httpx2Stream
        response.stream = kind(response.stream, count)

    return {"request": [_disable_compression], "response": [limit_reply]}


def build_async_reply_hooks(most_bytes: int = MODEL_REPLY_BYTES) -> dict[str, list[Callable[[Any], Any]]]:
    """Return the same hooks for an asynchronous client of httpx2."""

    async def disable_compression(request: httpx2.Request) -> None:
        _disable_compression(request)

    async def limit_reply(response: httpx2.Response) -> None:
        response.stream = _AsyncStream(response.stream, _build_byte_counter(response, most_bytes))

    return {"request": [disable_compression], "response": [limit_reply]}


def fetch_short_document(url: str, *, timeout: float, headers: dict[str, str] | None = None) -> httpx.Response:
    """Get a short document. Raises httpx's errors, and `ReplyTooLargeError`."""
    with httpx.Client(timeout=timeout, event_hooks=build_reply_hooks(SHORT_REPLY_BYTES)) as client:
        return client.get(url, headers=headers)


def post_form(url: str, form: dict[str, str], *, timeout: float) -> httpx.Response:
    """Post a form whose answer is short. Raises httpx's errors, and `ReplyTooLargeError`."""
    with httpx.Client(timeout=timeout, event_hooks=build_reply_hooks(SHORT_REPLY_BYTES)) as client:
        return client.post(url, data=form)


def find_reply_too_large(error: BaseException | None) -> ReplyTooLargeError | None:
    """Return the `ReplyTooLargeError` among an error and its causes, or None."""
    while error is not None:
        if isinstance(error, ReplyTooLargeError):
            return error
        error = error.__cause__
    return None


def _disable_compression(request: httpx.Request | httpx2.Request) -> None:
    request.headers["Accept-Encoding"] = "identity"


def _build_byte_counter(response: httpx.Response | httpx2.Response, most_bytes: int) -> Callable[[int], None]:
    """Return a function that counts bytes of the reply; refuse the reply if its head shows that it is too large."""
    url = response.request.url
    server = f"{url.scheme}://{url.netloc.decode('ascii').rpartition('@')[2]}"
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    # guard: compressed-replies
    if encoding not in ("", "identity"):
        raise ReplyTooLargeError(f"{server} compressed its reply ({encoding[:40]}), though it was asked not to.")
    refusal = f"The reply of {server} has more than {most_bytes:,} bytes."
    announced = response.headers.get("content-length", "")
    if announced.isdigit() and (len(announced) > 18 or int(announced) > most_bytes):
        raise ReplyTooLargeError(refusal)
    came = 0

    def count_bytes(size: int) -> None:
        nonlocal came
        came += size
        # guard: reply-bytes
        if came > most_bytes:
            raise ReplyTooLargeError(refusal)

    return count_bytes


class _CountedStream:
    """A reply's body, counted block by block."""

    def __init__(self, stream: Any, count: Callable[[int], None]) -> None:  # noqa: ANN401 - of either library
        self._stream = stream
        self._count = count

    def __iter__(self) -> Iterator[bytes]:
        for block in self._stream:
            self._count(len(block))
            yield block

    def close(self) -> None:
        self._stream.close()


class _HttpxStream(_CountedStream, httpx.SyncByteStream):
    """The body as httpx takes it."""


class _Httpx2Stream(_CountedStream, httpx2.SyncByteStream):
    """The body as httpx2 takes it."""


class _AsyncStream(httpx2.AsyncByteStream):
    """The body as an asynchronous client of httpx2 takes it."""

    def __init__(self, stream: Any, count: Callable[[int], None]) -> None:  # noqa: ANN401 - as above
        self._stream = stream
        self._count = count

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for block in self._stream:
            self._count(len(block))
            yield block

    async def aclose(self) -> None:
        await self._stream.aclose()
