"""Streams the events of an answer in progress to any number of followers, in every process of the service."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

from starlette.concurrency import run_in_threadpool

from api.admission.current_caller import CurrentCaller
from api.admission.services import Services
from api.answers.asking import build_visible_answer
from api.http import sse
from api.http.problems import AnswerCancelledError, AnswerInterruptedError, build_problem
from ingest.storage.accounts.records import Principal
from ingest.storage.answers.pending_records import PendingAnswer, PendingState
from ingest.storage.errors import LeadlineError

# The id of the last event. A client that has received it does not need to reconnect.
END_ID = "end"

_Events = list[tuple[int | str, str, Mapping[str, Any]]]


async def stream_pending_answer(
    services: Services, current_caller: CurrentCaller, tenant_id: str, answer_id: str, last_event_number: int
) -> AsyncIterator[str]:
    """Yield every event after `last_event_number` as soon as it is stored.

    The last event is `completed` or `error`. The iterator also ends when the process shuts down.
    """
    changed, sent_at = asyncio.Event(), time.monotonic()
    with services.events.feed.watch(tenant_id, answer_id, sse.build_change_callback(changed)):
        while services.accepting:
            changed.clear()  # Clear this before loading, so that events stored in the meantime trigger another load.
            try:
                caller = await current_caller.refresh_principal()
                found = await run_in_threadpool(
                    load_events_after, services, caller, tenant_id, answer_id, last_event_number
                )
            except sse.TRANSIENT_ERRORS:
                found, sent_at = [], 0.0
            except LeadlineError as error:  # The status was already sent, so the error is sent as an event.
                yield sse.format_event("error", build_problem(error), END_ID)
                return
            for number, kind, body in found:
                yield sse.format_event(kind, body, number)
                if isinstance(number, str):
                    return
                last_event_number, sent_at = number, time.monotonic()
                changed.set()  # One page may not contain all new events, so load again.
            if time.monotonic() - sent_at > sse.HEARTBEAT_SECONDS:
                yield sse.HEARTBEAT
                sent_at = time.monotonic()
            await sse.wait_for_change(changed, lambda: services.accepting)


def load_events_after(
    services: Services, caller: Principal, tenant_id: str, answer_id: str, last_event_number: int
) -> _Events:
    """Return the next events, each with its number, name and body. The last event of an answer has the number "end".

    Raises `AnswerNotFoundError` if there is neither a pending nor a stored answer that the caller may see.
    """
    pending = services.answers.pending.find(tenant_id, answer_id, caller.visible_owner)
    if pending is None:
        stored = services.answers.conversations.load_answer(tenant_id, answer_id, caller.visible_owner)
        completed = build_visible_answer(services, caller, stored).model_dump(mode="json")
        return [(END_ID, "completed", completed)]
    found: _Events = []
    # guard: pending-events-readers
    if pending.is_readable_by(caller.readers):
        events = services.answers.pending.list_events(answer_id, after=last_event_number)
        found = [(each.sequence, each.kind, each.body) for each in events]
    if not found and pending.state is not PendingState.RUNNING:
        found.append((END_ID, "error", build_pending_problem(pending)))
    return found


def build_pending_problem(pending: PendingAnswer) -> dict[str, Any]:
    """Return the problem of an answer that ended without a result."""
    match pending.state:
        case PendingState.CANCELLED:
            return build_problem(AnswerCancelledError("The answer was cancelled, and its text was not stored."))
        case PendingState.FAILED if pending.problem is not None:
            return dict(pending.problem)
        case _:
            return build_problem(AnswerInterruptedError("The service was stopped while it answered."))
