"""Server-sent events: their form on the wire, and a follower of something that changes until its end."""

import asyncio
import hashlib
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from typing import Any, Protocol

from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from api.http.problems import IdentityProviderUnavailableError, build_problem
from ingest.storage.accounts.records import Principal
from ingest.storage.errors import CatalogUnavailableError, LeadlineError

MEDIA_TYPE = "text/event-stream"
# Errors that a stream waits out, with heartbeats.
TRANSIENT_ERRORS = (CatalogUnavailableError, IdentityProviderUnavailableError)
HEARTBEAT_SECONDS = 10.0
HEARTBEAT = ": still at it\n\n"
# The end of a stream of OpenAI's protocols, after its last event.
DONE = "data: [DONE]\n\n"

# Followers look again by themselves this often: announcements may be lost, and estimates change without any.
_POLL_SECONDS = 5.0
# Looking takes at most this share of the time, however large the followed object is, and happens no more often than
# anybody can read.
_MAX_LOAD_SHARE = 0.02
_MIN_INTERVAL_SECONDS = 0.2
# Seconds within which a follower notices that the process stops.
_STOP_CHECK_SECONDS = 1.0


def format_event(name: str, body: Mapping[str, Any], identifier: str | int | None) -> str:
    """Return one event with its body on one line; half a surrogate pair, which a model may write, becomes `?`.

    An event of a stream that cannot be resumed has no identifier.
    """
    numbered = "" if identifier is None else f"id: {identifier}\n"
    written = f"{numbered}event: {name}\ndata: {json.dumps(body, ensure_ascii=False)}\n\n"
    return written.encode("utf-8", "replace").decode()


@dataclass(frozen=True)
class State:
    """The current state of the followed object."""

    body: Mapping[str, Any]
    ended: bool

    @property
    def id(self) -> str:
        """Return a name of the state, not a place in a log, so that every process gives the same and it never expires.

        A changed estimate does not make another state.
        """
        lasting = {**self.body, "progress": {**self.body.get("progress", {}), "seconds_left": None}}
        return hashlib.sha256(json.dumps(lasting, sort_keys=True).encode()).hexdigest()[:20]

    def format_event(self, name: str) -> str:
        return format_event(name, self.body, self.id)


class StreamCaller(Protocol):
    """The caller of a stream: `api.admission.current_caller.CurrentCaller`."""

    async def refresh(self) -> Principal:
        """Return the principal with its present rights. Raises `LeadlineError` once it may not read the stream."""


@dataclass(frozen=True)
class StreamSource:
    """`look` reads the state as `caller` may see it then, in a thread; `watch` has a callback called on changes.

    `going_on` turns false when the process stops.
    """

    caller: StreamCaller
    look: Callable[[Principal], State]
    watch: Callable[[Callable[[], None]], AbstractContextManager[None]]
    going_on: Callable[[], bool]


async def stream_updates(followed: StreamSource, last_event_id: str | None) -> Response:
    """Stream events until the end: `snapshot` first, then `progress`, and `end` last. Raises first errors of `look`.

    A client that returns with the id of the present state gets nothing twice; with any other id, however old, a
    snapshot. A client that has seen the end already is told not to come back (`204`).
    """
    first = await run_in_threadpool(followed.look, await followed.caller.refresh())
    if first.ended and last_event_id == first.id:
        return Response(status_code=204)
    known = first if last_event_id == first.id else None
    return StreamingResponse(_stream_states(followed, known, last_event_id or ""), media_type=MEDIA_TYPE)


async def _stream_states(followed: StreamSource, known: State | None, seen: str) -> AsyncIterator[str]:
    """Stream states from the one that the client knows on, or with a snapshot; `seen` names what it has seen last."""
    changed = asyncio.Event()
    said_at = time.monotonic()

    with followed.watch(build_waker(changed)):
        while followed.going_on():
            changed.clear()  # before looking, so that what changes meanwhile is looked at next
            begun = time.monotonic()
            try:
                state = await run_in_threadpool(followed.look, await followed.caller.refresh())
            except TRANSIENT_ERRORS:
                yield HEARTBEAT
                await asyncio.sleep(_POLL_SECONDS)
                continue
            except LeadlineError as error:  # the response status was sent long ago
                yield format_event("error", build_problem(error), seen)
                return
            apart_seconds = min(_POLL_SECONDS, max(_MIN_INTERVAL_SECONDS, (time.monotonic() - begun) / _MAX_LOAD_SHARE))
            if state.ended:
                yield state.format_event("end")
                return
            if state != known:
                yield state.format_event("snapshot" if known is None else "progress")
                seen, said_at = state.id, time.monotonic()
            elif time.monotonic() - said_at > HEARTBEAT_SECONDS:
                yield HEARTBEAT
                said_at = time.monotonic()
            known = state
            await asyncio.sleep(apart_seconds)
            await wait_for_change(changed, followed.going_on)


def build_waker(changed: asyncio.Event) -> Callable[[], None]:
    """Return a function that sets the running loop's event, from any thread and even if that loop has ended."""
    loop = asyncio.get_running_loop()

    def wake() -> None:
        with suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(changed.set)

    return wake


async def wait_for_change(changed: asyncio.Event, going_on: Callable[[], bool]) -> None:
    """Wait until something changed, it is time to look again, or the process stops."""
    # guard: sse-polls
    deadline = time.monotonic() + _POLL_SECONDS
    while not changed.is_set() and going_on() and (left := deadline - time.monotonic()) > 0:
        with suppress(TimeoutError):
            await asyncio.wait_for(changed.wait(), min(_STOP_CHECK_SECONDS, left))
