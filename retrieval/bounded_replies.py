"""Limit the size of responses from model, embedding and reranking servers and from identity providers.

Without a limit, a single response from a broken or impersonated server could exhaust the memory. The limits are event
hooks rather than a custom transport, so that clients still use the proxies from the environment. httpx and httpx2 (used
by the openai client) support the same hooks and streams.
"""

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx
import httpx2

# Maximum size of a model's response, in bytes. A response of 100,000 streamed tokens at 300 bytes per event is smaller,
# and the vectors of 32 texts take a tenth of this size.
MAX_MODEL_RESPONSE_BYTES = 32 * 1024**2
# Maximum size of a short response, in bytes. Model lists and the metadata of identity providers take a few kilobytes.
MAX_SHORT_RESPONSE_BYTES = 1024**2


class ResponseTooLargeError(Exception):
    """A response exceeds its size limit, or is compressed, which hides its size. The message names the server."""


def build_response_limit_hooks(max_bytes: int = MAX_MODEL_RESPONSE_BYTES) -> dict[str, list[Callable[[Any], Any]]]:
    """Build event hooks for a synchronous httpx or httpx2 client. Larger responses raise `ResponseTooLargeError`."""

    def limit_response(response: httpx.Response | httpx2.Response) -> None:
        count = _build_byte_counter(response, max_bytes)
        kind = _HttpxStream if isinstance(response, httpx.Response) else _Httpx2Stream
        response.stream = kind(response.stream, count)

    return {"request": [_disable_compression], "response": [limit_response]}


def build_async_response_limit_hooks(
    max_bytes: int = MAX_MODEL_RESPONSE_BYTES,
) -> dict[str, list[Callable[[Any], Any]]]:
    """Build event hooks like `build_response_limit_hooks`, for an asynchronous httpx2 client."""

    async def disable_compression(request: httpx2.Request) -> None:
        _disable_compression(request)

    async def limit_response(response: httpx2.Response) -> None:
        response.stream = _AsyncByteCountingStream(response.stream, _build_byte_counter(response, max_bytes))

    return {"request": [disable_compression], "response": [limit_response]}


def fetch_short_document(url: str, *, timeout: float, headers: dict[str, str] | None = None) -> httpx.Response:
    """Fetch a document of at most 1 MiB. Raises httpx's errors and `ResponseTooLargeError`."""
    with httpx.Client(timeout=timeout, event_hooks=build_response_limit_hooks(MAX_SHORT_RESPONSE_BYTES)) as client:
        return client.get(url, headers=headers)


def post_form(
    url: str, form: dict[str, str], *, timeout: float, basic: tuple[str, str] | None = None
) -> httpx.Response:
    """Post a form, and return the response of at most 1 MiB. Raises httpx's errors and `ResponseTooLargeError`.

    `basic` is a user name and a password.
    """
    hooks = build_response_limit_hooks(MAX_SHORT_RESPONSE_BYTES)
    with httpx.Client(timeout=timeout, event_hooks=hooks, auth=basic) as client:
        return client.post(url, data=form)


def find_response_too_large_error(error: BaseException | None) -> ResponseTooLargeError | None:
    """Return the `ResponseTooLargeError` among an error and its causes, or None if there is none."""
    while error is not None:
        if isinstance(error, ResponseTooLargeError):
            return error
        error = error.__cause__
    return None


def _disable_compression(request: httpx.Request | httpx2.Request) -> None:
    request.headers["Accept-Encoding"] = "identity"


def _build_byte_counter(response: httpx.Response | httpx2.Response, max_bytes: int) -> Callable[[int], None]:
    """Return a function that counts a response's bytes and raises `ResponseTooLargeError` above `max_bytes`.

    Raises `ResponseTooLargeError` immediately if the headers show that the response is too large or compressed.
    """
    url = response.request.url
    server = f"{url.scheme}://{url.netloc.decode('ascii').rpartition('@')[2]}"
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    # guard: compressed-replies
    if encoding not in ("", "identity"):
        raise ResponseTooLargeError(
            f"{server} compressed its response ({encoding[:40]}) although the request forbids it."
        )
    refusal = f"The response from {server} exceeds {max_bytes:,} bytes."
    announced = response.headers.get("content-length", "")
    if announced.isdigit() and (len(announced) > 18 or int(announced) > max_bytes):
        raise ResponseTooLargeError(refusal)
    came = 0

    def count_bytes(size: int) -> None:
        nonlocal came
        came += size
        # guard: reply-bytes
        if came > max_bytes:
            raise ResponseTooLargeError(refusal)

    return count_bytes


class _ByteCountingStream:
    """A response body that counts its bytes block by block."""

    def __init__(self, stream: Any, count_bytes: Callable[[int], None]) -> None:  # noqa: ANN401 - a stream of either library
        self._stream = stream
        self._count = count_bytes

    def __iter__(self) -> Iterator[bytes]:
        for block in self._stream:
            self._count(len(block))
            yield block

    def close(self) -> None:
        self._stream.close()


class _HttpxStream(_ByteCountingStream, httpx.SyncByteStream):
    """A byte-counting response body for httpx."""


class _Httpx2Stream(_ByteCountingStream, httpx2.SyncByteStream):
    """A byte-counting response body for httpx2."""


class _AsyncByteCountingStream(httpx2.AsyncByteStream):
    """A byte-counting response body for an asynchronous httpx2 client."""

    def __init__(self, stream: Any, count_bytes: Callable[[int], None]) -> None:  # noqa: ANN401 - as above
        self._stream = stream
        self._count = count_bytes

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for block in self._stream:
            self._count(len(block))
            yield block

    async def aclose(self) -> None:
        await self._stream.aclose()
