"""Server-sent events: the wire format, and streams that follow an object until it is finished."""

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
# Errors after which a stream tries again. While such an error persists, the stream sends heartbeats.
TRANSIENT_ERRORS = (CatalogUnavailableError, IdentityProviderUnavailableError)
HEARTBEAT_SECONDS = 10.0
HEARTBEAT = ": still at it\n\n"
# Last line of a stream in OpenAI's protocols.
DONE = "data: [DONE]\n\n"

# Interval at which streams poll for changes, because notifications may be lost, and estimates change without a
# notification.
_POLL_SECONDS = 5.0
# Maximum fraction of a stream's time that is spent on loading the state, even if the object is large. With the minimum
# interval, the state is not loaded more often than a user could read it.
_MAX_LOAD_SHARE = 0.02
_MIN_INTERVAL_SECONDS = 0.2
# Maximum time until a stream notices that the process is shutting down.
_STOP_CHECK_SECONDS = 1.0


def format_event(name: str, body: Mapping[str, Any], identifier: str | int | None) -> str:
    """Format an event with its body on one line. Lone surrogates, which a model may generate, become `?`.

    If the stream cannot be resumed, its events have no identifier.
    """
    numbered = "" if identifier is None else f"id: {identifier}\n"
    written = f"{numbered}event: {name}\ndata: {json.dumps(body, ensure_ascii=False)}\n\n"
    return written.encode("utf-8", "replace").decode()


@dataclass(frozen=True)
class StreamState:
    """The current state of the object that a stream follows."""

    body: Mapping[str, Any]
    ended: bool

    @property
    def id(self) -> str:
        """An id derived from the state alone, so that it is the same in every process and never expires.

        The id does not change if only estimates change.
        """
        lasting = {**self.body, "progress": {**self.body.get("progress", {}), "seconds_left": None}}
        return hashlib.sha256(json.dumps(lasting, sort_keys=True).encode()).hexdigest()[:20]

    def format_event(self, name: str) -> str:
        return format_event(name, self.body, self.id)


class StreamCaller(Protocol):
    """The caller of a stream; implemented by `api.admission.current_caller.CurrentCaller`."""

    async def refresh_principal(self) -> Principal:
        """Return the principal with its current permissions.

        Raises a `LeadlineError` if the principal is no longer allowed to read the stream.
        """


@dataclass(frozen=True)
class StreamSource:
    """An object that a stream follows.

    `look` loads the object's state, limited to what `caller` may see now. It is called in a thread. `watch` registers a
    callback for changes. `going_on` returns false once the process is shutting down.
    """

    caller: StreamCaller
    look: Callable[[Principal], StreamState]
    watch: Callable[[Callable[[], None]], AbstractContextManager[None]]
    going_on: Callable[[], bool]


async def stream_updates(source: StreamSource, last_event_id: str | None) -> Response:
    """Stream events until the object is finished: first `snapshot`, then `progress`, finally `end`.

    A client that reconnects with the id of the current state gets no event twice. With any other id, it gets a
    snapshot. A client that has already received `end` gets `204`, so that it does not reconnect. Raises the same errors
    as the first `look`.
    """
    first = await run_in_threadpool(source.look, await source.caller.refresh_principal())
    if first.ended and last_event_id == first.id:
        return Response(status_code=204)
    known = first if last_event_id == first.id else None
    return StreamingResponse(_stream_states(source, known, last_event_id or ""), media_type=MEDIA_TYPE)


async def _stream_states(
    source: StreamSource, known_state: StreamState | None, last_event_id: str
) -> AsyncIterator[str]:
    """Stream the states after `known_state`, or start with a snapshot.

    `last_event_id` is the id of the client's last event.
    """
    changed = asyncio.Event()
    sent_at = time.monotonic()

    with source.watch(build_change_callback(changed)):
        while source.going_on():
            changed.clear()  # Clear this before loading, so that a change during loading triggers another load.
            started = time.monotonic()
            try:
                state = await run_in_threadpool(source.look, await source.caller.refresh_principal())
            except TRANSIENT_ERRORS:
                yield HEARTBEAT
                await asyncio.sleep(_POLL_SECONDS)
                continue
            except LeadlineError as error:  # The status was already sent, so the error is sent as an event.
                yield format_event("error", build_problem(error), last_event_id)
                return
            apart_seconds = min(
                _POLL_SECONDS, max(_MIN_INTERVAL_SECONDS, (time.monotonic() - started) / _MAX_LOAD_SHARE)
            )
            if state.ended:
                yield state.format_event("end")
                return
            if state != known_state:
                yield state.format_event("snapshot" if known_state is None else "progress")
                last_event_id, sent_at = state.id, time.monotonic()
            elif time.monotonic() - sent_at > HEARTBEAT_SECONDS:
                yield HEARTBEAT
                sent_at = time.monotonic()
            known_state = state
            await asyncio.sleep(apart_seconds)
            await wait_for_change(changed, source.going_on)


def build_change_callback(change_event: asyncio.Event) -> Callable[[], None]:
    """Return a thread-safe function that sets `change_event` in the running loop, unless the loop is closed."""
    loop = asyncio.get_running_loop()

    def wake() -> None:
        with suppress(RuntimeError):  # The loop may be closed.
            loop.call_soon_threadsafe(change_event.set)

    return wake


async def wait_for_change(change_event: asyncio.Event, is_running: Callable[[], bool]) -> None:
    """Wait for a change, the next poll, or shutdown, whichever comes first."""
    # guard: sse-polls
    deadline = time.monotonic() + _POLL_SECONDS
    while not change_event.is_set() and is_running() and (left := deadline - time.monotonic()) > 0:
        with suppress(TimeoutError):
            await asyncio.wait_for(change_event.wait(), min(_STOP_CHECK_SECONDS, left))
