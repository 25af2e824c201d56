"""Request objects, and descriptors that send them, so that each client method is written only once for both clients.

A method of `Operations` only builds a request: a `Call`, `PagedCall`, `StreamCall`, `FollowCall` or `CallSequence`. The
descriptor that decorates the method turns it into a method of both clients. In `Client`, the method sends the request
and returns the result. In `AsyncClient`, the caller awaits the result, or iterates over it with `async for`.
"""

import functools
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, Self, TypeVar, overload

import httpx
from httpx_sse import ServerSentEvent
from pydantic import BaseModel

from api.client.content import UploadContent
from api.client.errors import build_stream_error

T = TypeVar("T")
P = ParamSpec("P")
Model = TypeVar("Model", bound=BaseModel)

_AsyncStream = AbstractAsyncContextManager[AsyncIterator[T]]
_SAFE = frozenset({"GET", "HEAD", "PUT", "DELETE"})


@dataclass(frozen=True)
class ModelReader(Generic[Model]):
    """Parses a response with one of the server's schemas.

    Unknown fields are ignored, because later releases may add some.
    """

    schema: type[Model]

    def __call__(self, response: httpx.Response) -> Model:
        return self.schema.model_validate_json(response.content, extra="ignore")


def read_json(response: httpx.Response) -> Any:  # noqa: ANN401 - JSON
    return response.json()


def ignore_reply(response: httpx.Response) -> None:
    """Ignore the response body. Used for requests that return nothing."""


@dataclass(frozen=True)
class Call(Generic[T]):
    """A request, and the function `read` that parses its response.

    A `repeatable` request is safe to send twice: it only reads, it is idempotent, or it has an idempotency key.
    """

    method: str
    path: str
    read: Callable[[httpx.Response], T]
    params: Mapping[str, Any] = field(default_factory=dict)
    body: Any = None
    content: UploadContent | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    repeatable: bool = False
    timeout: httpx.Timeout | None = None

    def __post_init__(self) -> None:
        if self.method in _SAFE:
            object.__setattr__(self, "repeatable", True)

    def with_idempotency_key(self, key: str | None = None) -> Self:
        """Return a copy of the request with an idempotency key, so that retries do not repeat the work.

        By default, a new key is generated.
        """
        return replace(self, repeatable=True, headers={**self.headers, "Idempotency-Key": key or uuid.uuid4().hex})

    def build_arguments(self) -> dict[str, Any]:
        """Build the arguments for the `build_request` method of either httpx client, without the content."""
        given = {name: value for name, value in self.params.items() if value is not None}
        sized = {} if self.content is None else self.content.headers
        arguments: dict[str, Any] = {"method": self.method, "url": self.path, "params": given}
        arguments["headers"] = {**sized, **self.headers}
        if self.body is not None:
            arguments["json"] = self.body
        return arguments if self.timeout is None else {**arguments, "timeout": self.timeout}


@dataclass(frozen=True)
class PagedCall(Generic[T]):
    """A request for all entries of a listing, page by page.

    `members` is the name of the JSON field that holds a page's entries.
    """

    call: Call[Any]
    members: str

    def build_next_call(self, page: Any) -> Call[Any] | None:  # noqa: ANN401 - a page of some schema, or JSON
        cursor = _get_member(page, "next_cursor")
        return None if cursor is None else replace(self.call, params={**self.call.params, "cursor": cursor})

    def get_entries(self, page: Any) -> list[T]:  # noqa: ANN401
        found: list[T] = _get_member(page, self.members)
        return found


@dataclass(frozen=True)
class StreamCall(Generic[T]):
    """A request whose response is a stream of events. `read` parses an event, and returns None for an unknown event."""

    call: Call[Any]
    read: Callable[[str, str], T | None]

    def read_event(self, sent: ServerSentEvent) -> T | None:
        # guard: client-heartbeats
        # This is a heartbeat. After an event with an id, the decoder reports a heartbeat as an event without data.
        if not sent.data:
            return None
        if sent.event == "error":
            raise build_stream_error(sent.json())
        return self.read(sent.event, sent.data)


@dataclass(frozen=True)
class FollowCall(Generic[T]):
    """A request that follows an object's states until the final state, and reconnects as often as needed."""

    path: str
    read: Callable[[str, str], T | None]


@dataclass(frozen=True)
class CallSequence(Generic[T]):
    """A sequence of requests, in which later requests depend on earlier responses.

    `begin` returns a generator that yields the requests. The result of each request is sent to the generator. If a
    request fails, the error is thrown into the generator.
    """

    begin: Callable[[], Generator[Call[Any], Any, T]]


class Sender(Protocol):
    """The interface of the blocking client: sends requests and blocks until the result has arrived."""

    def send(self, call: Call[T]) -> T: ...
    def run_sequence(self, sequence: CallSequence[T]) -> T: ...
    def iter_entries(self, call: PagedCall[T]) -> Iterator[T]: ...
    def open_stream(self, call: StreamCall[T]) -> AbstractContextManager[Iterator[T]]: ...
    def follow_states(self, call: FollowCall[T]) -> Iterator[T]: ...


class AsyncSender(Protocol):
    """The interface of the asyncio client: sends requests without blocking the event loop."""

    async def send(self, call: Call[T]) -> T: ...
    async def run_sequence(self, sequence: CallSequence[T]) -> T: ...
    def iter_entries(self, call: PagedCall[T]) -> AsyncIterator[T]: ...
    def open_stream(self, call: StreamCall[T]) -> AbstractAsyncContextManager[AsyncIterator[T]]: ...
    def follow_states(self, call: FollowCall[T]) -> AsyncIterator[T]: ...


class _ClientMethod:
    """A descriptor that makes a client method, which sends a request, from a function that builds the request.

    `by` is the name of the client's method that sends this kind of request.
    """

    by: str

    def __init__(self, make: Callable[..., Any]) -> None:
        self.make = make
        functools.update_wrapper(self, make)  # type: ignore[arg-type]  # for help() and documentation tools

    def _bind(self, client: Any) -> Any:  # noqa: ANN401 - the overloads of the subclasses have the types
        if client is None:
            return self
        send, make = getattr(client, self.by), self.make

        @functools.wraps(make)
        def method(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
            return send(make(client, *args, **kwargs))

        return method


class operation(_ClientMethod, Generic[P, T]):
    """Decorates a method that sends one request and returns its result."""

    by = "send"

    def __init__(self, make: Callable[Concatenate[Any, P], Call[T]]) -> None:
        super().__init__(make)

    @overload
    def __get__(self, client: None, owner: object) -> Self: ...
    @overload
    def __get__(self, client: Sender, owner: object) -> Callable[P, T]: ...
    @overload
    def __get__(self, client: AsyncSender, owner: object) -> Callable[P, Awaitable[T]]: ...
    def __get__(self, client: Any, owner: object) -> Any:
        return self._bind(client)


class stepwise(_ClientMethod, Generic[P, T]):
    """Decorates a method that sends several dependent requests and returns one result."""

    by = "run_sequence"

    def __init__(self, make: Callable[Concatenate[Any, P], CallSequence[T]]) -> None:
        super().__init__(make)

    @overload
    def __get__(self, client: None, owner: object) -> Self: ...
    @overload
    def __get__(self, client: Sender, owner: object) -> Callable[P, T]: ...
    @overload
    def __get__(self, client: AsyncSender, owner: object) -> Callable[P, Awaitable[T]]: ...
    def __get__(self, client: Any, owner: object) -> Any:
        return self._bind(client)


class listing(_ClientMethod, Generic[P, T]):
    """Decorates a method that iterates over all entries of a listing."""

    by = "iter_entries"

    def __init__(self, make: Callable[Concatenate[Any, P], PagedCall[T]]) -> None:
        super().__init__(make)

    @overload
    def __get__(self, client: None, owner: object) -> Self: ...
    @overload
    def __get__(self, client: Sender, owner: object) -> Callable[P, Iterator[T]]: ...
    @overload
    def __get__(self, client: AsyncSender, owner: object) -> Callable[P, AsyncIterator[T]]: ...
    def __get__(self, client: Any, owner: object) -> Any:
        return self._bind(client)


class streaming(_ClientMethod, Generic[P, T]):
    """Decorates a method that opens a stream of events as a context manager."""

    by = "open_stream"

    def __init__(self, make: Callable[Concatenate[Any, P], StreamCall[T]]) -> None:
        super().__init__(make)

    @overload
    def __get__(self, client: None, owner: object) -> Self: ...
    @overload
    def __get__(self, client: Sender, owner: object) -> Callable[P, AbstractContextManager[Iterator[T]]]: ...
    @overload
    def __get__(
        self, client: AsyncSender, owner: object
    ) -> Callable[P, AbstractAsyncContextManager[AsyncIterator[T]]]: ...
    def __get__(self, client: Any, owner: object) -> Any:
        return self._bind(client)


class following(_ClientMethod, Generic[P, T]):
    """Decorates a method that iterates over an object's states until the final state."""

    by = "follow_states"

    def __init__(self, make: Callable[Concatenate[Any, P], FollowCall[T]]) -> None:
        super().__init__(make)

    @overload
    def __get__(self, client: None, owner: object) -> Self: ...
    @overload
    def __get__(self, client: Sender, owner: object) -> Callable[P, Iterator[T]]: ...
    @overload
    def __get__(self, client: AsyncSender, owner: object) -> Callable[P, AsyncIterator[T]]: ...
    def __get__(self, client: Any, owner: object) -> Any:
        return self._bind(client)


def _get_member(page: Any, name: str) -> Any:  # noqa: ANN401
    return page[name] if isinstance(page, dict) else getattr(page, name)
