"""Requests as values, and the descriptors that send them: a method is written once, and serves both kinds of client.

A method of `Operations` returns a `Call`, a `Listing`, a `Streamed` or a `Followed`. Taken from a client, it sends
that: of a `Client` it returns the result, of an `AsyncClient` what is awaited or iterated with `async`.
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
    """Reads a reply by a schema of the server's; members that a later release adds are left aside."""

    schema: type[Model]

    def __call__(self, response: httpx.Response) -> Model:
        return self.schema.model_validate_json(response.content, extra="ignore")


def read_json(response: httpx.Response) -> Any:  # noqa: ANN401 - JSON
    return response.json()


def ignore_reply(response: httpx.Response) -> None:
    """Read a reply that says nothing."""


@dataclass(frozen=True)
class Call(Generic[T]):
    """A request, and what reads its reply. A `repeatable` one does no harm if it is sent twice.

    `keyed` ones carry an idempotency key, the same in every try, so that their work is done once.
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
        """Return the request with an idempotency key, a new one if none is given: its work is done once."""
        return replace(self, repeatable=True, headers={**self.headers, "Idempotency-Key": key or uuid.uuid4().hex})

    def build_arguments(self) -> dict[str, Any]:
        """Return what `build_request` of both clients of httpx takes, but for the content."""
        given = {name: value for name, value in self.params.items() if value is not None}
        sized = {} if self.content is None else self.content.headers
        arguments: dict[str, Any] = {"method": self.method, "url": self.path, "params": given}
        arguments["headers"] = {**sized, **self.headers}
        if self.body is not None:
            arguments["json"] = self.body
        return arguments if self.timeout is None else {**arguments, "timeout": self.timeout}


@dataclass(frozen=True)
class PagedCall(Generic[T]):
    """Everything of a listing, page by page; `members` is the member of a page that has them."""

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
    """The events of one reply; `read` returns None for events that it does not know. Raises a stream's error."""

    call: Call[Any]
    read: Callable[[str, str], T | None]

    def read_event(self, sent: ServerSentEvent) -> T | None:
        # guard: client-heartbeats
        if not sent.data:  # a heartbeat, which the decoder takes for an event once there was one with an id
            return None
        if sent.event == "error":
            raise build_stream_error(sent.json())
        return self.read(sent.event, sent.data)


@dataclass(frozen=True)
class FollowCall(Generic[T]):
    """What becomes of something until its end, over as many connections as it takes."""

    path: str
    read: Callable[[str, str], T | None]


@dataclass(frozen=True)
class CallSequence(Generic[T]):
    """Requests of which each depends on the replies before it: a generator that is sent replies, or thrown errors."""

    begin: Callable[[], Generator[Call[Any], Any, T]]


class Sender(Protocol):
    """A client that blocks."""

    def send(self, call: Call[T]) -> T: ...
    def stepped(self, wanted: CallSequence[T]) -> T: ...
    def pages(self, listing: PagedCall[T]) -> Iterator[T]: ...
    def streamed(self, wanted: StreamCall[T]) -> AbstractContextManager[Iterator[T]]: ...
    def followed(self, wanted: FollowCall[T]) -> Iterator[T]: ...


class AsyncSender(Protocol):
    """A client of an event loop."""

    async def send(self, call: Call[T]) -> T: ...
    async def stepped(self, wanted: CallSequence[T]) -> T: ...
    def pages(self, listing: PagedCall[T]) -> AsyncIterator[T]: ...
    def streamed(self, wanted: StreamCall[T]) -> AbstractAsyncContextManager[AsyncIterator[T]]: ...
    def followed(self, wanted: FollowCall[T]) -> AsyncIterator[T]: ...


class _ClientMethod:
    """A descriptor: taken from a client, a function that makes the request and sends it by the client's `by`."""

    by: str

    def __init__(self, make: Callable[..., Any]) -> None:
        self.make = make
        functools.update_wrapper(self, make)  # type: ignore[arg-type]  # for help() and its readers

    def _bind(self, client: Any) -> Any:  # noqa: ANN401 - the overloads of the subclasses have the types
        if client is None:
            return self
        send, make = getattr(client, self.by), self.make

        @functools.wraps(make)
        def method(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
            return send(make(client, *args, **kwargs))

        return method


class operation(_ClientMethod, Generic[P, T]):
    """A method with one reply."""

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
    """A method of several requests with one result."""

    by = "stepped"

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
    """A method that yields everything of a listing."""

    by = "pages"

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
    """A method that opens a stream of events, which ends the service's work when the block is left."""

    by = "streamed"

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
    """A method that yields what becomes of something, until its end."""

    by = "followed"

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
