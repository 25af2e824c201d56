"""A client's position in a stream of states, which is kept across reconnections."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

import httpx
from httpx_sse import ServerSentEvent

from api.client.calls import Call, FollowCall, StreamCall, ignore_response
from api.client.errors import NoAnswerError, UnavailableError

T = TypeVar("T")

_AGAIN_SECONDS = 0.5
_MAX_RECONNECTIONS = 6
# Timeouts for following a run. The server sends a heartbeat at least every ten seconds, so after 30 seconds of silence
# the connection is dead.
FOLLOW_TIMEOUT = httpx.Timeout(30.0, connect=5.0)
_NO_CONTENT = 204
# The last event of a run, document or batch is `end`; an answer has one of the other two.
_LAST_EVENTS = frozenset({"end", "completed", "error"})


@dataclass
class StreamPosition(Generic[T]):
    """The last event received from a stream, and the number of failed reconnections since."""

    followed: FollowCall[T]
    ended: bool = False
    _seen: str = ""
    _broken: int = 0

    @property
    def call(self) -> Call[None]:
        headers = {"Last-Event-ID": self._seen} if self._seen else {}
        return Call("GET", self.followed.path, ignore_response, headers=headers, timeout=FOLLOW_TIMEOUT)

    @property
    def pause_seconds(self) -> float:
        return 0.0 if self.ended else _AGAIN_SECONDS * 2.0**self._broken

    @property
    def stream(self) -> StreamCall[T]:
        """A request that reads the events of one connection and updates this position."""
        return _RecordingCall(self.call, self.followed.read, self)

    def detect_end(self, response: httpx.Response) -> bool:
        """Return True, and record the end, if the response says that the last event has already been received."""
        self.ended = response.status_code == _NO_CONTENT
        return self.ended

    def record_event(self, sse_event: ServerSentEvent) -> None:
        self._seen, self._broken = sse_event.id, 0
        self.ended = sse_event.event in _LAST_EVENTS

    @contextmanager
    def tolerate_failures(self) -> Iterator[None]:
        """Suppress `NoAnswerError` and `UnavailableError`, up to a maximum number of failures in a row."""
        try:
            yield
        except (NoAnswerError, UnavailableError):
            self._broken += 1
            if self._broken > _MAX_RECONNECTIONS:
                raise


@dataclass(frozen=True)
class _RecordingCall(StreamCall[T]):
    position: StreamPosition[T]

    def read_event(self, sse_event: ServerSentEvent) -> T | None:
        state = super().read_event(sse_event)
        if sse_event.data:
            self.position.record_event(sse_event)
        return state
