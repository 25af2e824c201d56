"""`/v1/runs`: lists, shows, follows, cancels and deletes answers made in the background."""

import asyncio
import math
import time
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from api.admission.access import Asker, Caller, HeldPlace, Served, Streams
from api.admission.current_caller import CurrentCaller, Follower
from api.admission.services import Services
from api.answers.run_schemas import MoreIn, RunEndOut, RunEventOut, RunEventPage, RunOut, RunPage, RunWithAnswerOut
from api.answers.schemas import extract_cited_documents
from api.http import sse
from api.http.cursors import decode_cursor, encode_cursor, parse_last_event_id
from api.http.problems import build_problem
from api.runs.control import add_to_budget, finish_run
from api.runs.export import EXPORTS, ExportForm, build_export, iter_export_events
from ingest.storage.accounts.records import Principal
from ingest.storage.answers.run_records import Run, RunEvent, RunState
from ingest.storage.errors import LeadlineError, RunStateError

router = APIRouter(prefix="/v1/runs", tags=["runs"])

_EVENTS_PER_READ = 200


@router.get("")
def listing(
    caller: Caller,
    served: Served,
    state: Annotated[list[RunState] | None, Query()] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    cursor: str | None = None,
) -> RunPage:
    """List runs, newest first, a page at a time."""
    before = decode_cursor(cursor) if cursor else None
    found = served.answers.runs.list_runs(
        caller.tenant_id, states=state or (), before=before, limit=limit + 1, owner=caller.visible_owner
    )
    page = found[:limit]
    more = encode_cursor(page[-1].sequence) if len(found) > limit else None
    withheld = served.answers.runs.list_withheld_runs([run.id for run in page], caller.readers)
    return RunPage(runs=[RunOut.from_run(run, withheld=run.id in withheld) for run in page], next_cursor=more)


@router.get("/{run_id}")
def one(run_id: str, caller: Caller, served: Served) -> RunWithAnswerOut:
    """Show a run: its state, progress and usage, and its answer once there is one."""
    return build_run_out(served, caller, served.answers.runs.load_run(caller.tenant_id, run_id, caller.visible_owner))


@router.get(
    "/{run_id}/events",
    response_model=RunEventPage,
    responses={200: {"content": {sse.MEDIA_TYPE: {}}}, 204: {"description": "The run has ended, and all was seen."}},
)
async def events(
    run_id: str,
    request: Request,
    caller: Caller,
    current: Follower,
    served: Served,
    place: HeldPlace,
    streams: Streams,
    last_event_id: Annotated[str | None, Header()] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    cursor: str | None = None,
) -> Response | RunEventPage:
    """Stream the events of a run until it ends, as server-sent events; with `Last-Event-ID`, only those after that one.

    Once a document of the run's scope is closed to the caller, events come without their bodies. The last event is
    `end`, with the run and its answer. With `Accept: application/json`, a page of them instead, whose `end` has the
    run's state, and why it failed, but neither run nor answer.
    """
    run = await run_in_threadpool(served.answers.runs.load_run, caller.tenant_id, run_id, caller.visible_owner)
    if request.headers.get("accept", "").startswith("application/json"):
        return await run_in_threadpool(_load_page, served, caller, run, decode_cursor(cursor), limit)
    seen = min(parse_last_event_id(last_event_id), run.events)
    if run.ended and seen >= run.events:
        return Response(status_code=204)  # tells an EventSource not to come back
    await place.move_to(streams)
    return StreamingResponse(_stream_events(served, current, run, seen), media_type=sse.MEDIA_TYPE)


@router.post("/{run_id}/cancel")
def cancel(run_id: str, caller: Asker, served: Served) -> RunWithAnswerOut:
    """Stop a run, wherever it is worked at; within two seconds all its work ends. An ended run stays as it is."""
    return build_run_out(served, caller, served.answers.runs.cancel(caller.tenant_id, run_id, caller.visible_owner))


@router.post("/{run_id}/continue")
def go_on(run_id: str, body: MoreIn, caller: Asker, served: Served) -> RunWithAnswerOut:
    """Add to the budget of a run that is `paused`; it goes on from where it met it, and waits again at its end.

    `409` for a run that is not paused. A run that waits for a week, if the service is not set otherwise, is ended as by
    `finish`.
    """
    return build_run_out(served, caller, add_to_budget(served, caller, run_id, body))


@router.post("/{run_id}/finish")
def end_with_what_it_has(run_id: str, caller: Asker, served: Served) -> RunWithAnswerOut:
    """End a run that is `paused` with what it has: it answers with the last part of its budget, or fails without it."""
    return build_run_out(served, caller, finish_run(served, caller, run_id))


@router.get("/{run_id}/export", response_class=StreamingResponse, responses={200: {"content": EXPORTS}})
def export(
    run_id: str, caller: Caller, served: Served, form: Annotated[ExportForm, Query()] = ExportForm.JSON
) -> StreamingResponse:
    """Download a run that has ended: question, answer, citations, cells, code, outputs, sub-calls and cost.

    `json` has every event with whole replies of models, `markdown` is for people. Events have no bodies once a document
    of the run's scope is closed to you. `409` while the run goes on.
    """
    run = served.answers.runs.load_run(caller.tenant_id, run_id, caller.visible_owner)
    if not run.ended:
        raise RunStateError(f"The run is {run.state}.", hint="It can be downloaded once it has ended.")
    withheld = bool(served.answers.runs.list_withheld_runs([run.id], caller.readers))
    events = iter_export_events(served, run, withheld=withheld)
    return build_export(build_run_out(served, caller, run), events, form)


@router.delete("/{run_id}", status_code=204)
def delete(run_id: str, caller: Asker, served: Served) -> None:
    """Delete an ended run, with its answer and its log. `409` while the run goes on."""
    served.answers.runs.delete(caller.tenant_id, run_id, caller.visible_owner)


def build_run_out(served: Services, caller: Principal, run: Run) -> RunWithAnswerOut:
    """Return a run with its answer, as far as both may be shown to the caller."""
    position = served.jobs.estimate_position(run.id) if run.state is RunState.QUEUED else None
    named = extract_cited_documents(run.answer) if run.answer else ()
    deleted = served.answers.conversations.list_withheld_documents(named, caller.readers) if named else ()
    withheld = bool(served.answers.runs.list_withheld_runs([run.id], caller.readers))
    return RunWithAnswerOut.from_run(run, queue_position=position, deleted=deleted, withheld=withheld)


def load_events_page(served: Services, run: Run, after: int, limit: int, *, withheld: bool) -> RunEventPage:
    """Return a page of the events of a run, without their bodies if they are withheld."""
    found = served.answers.runs.list_events(run.tenant_id, run.id, after=after, limit=limit)
    last = found[-1].sequence if found else after
    more = encode_cursor(last) if not run.ended or last < run.events else None
    return RunEventPage(events=[RunEventOut.from_event(each, withheld=withheld) for each in found], next_cursor=more)


def _load_page(served: Services, caller: Principal, run: Run, after: int, limit: int) -> RunEventPage:
    withheld = bool(served.answers.runs.list_withheld_runs([run.id], caller.readers))
    return load_events_page(served, run, after, limit, withheld=withheld)


async def _stream_events(served: Services, current: CurrentCaller, run: Run, seen: int) -> AsyncIterator[str]:
    """Yield every event after `seen`, as it is logged, until the run's last one or until the process stops.

    An unavailable catalog or identity provider is waited for.
    """
    changed, said_at = asyncio.Event(), time.monotonic()
    with served.events.feed.watch(run.tenant_id, run.id, sse.build_waker(changed)):
        while served.accepting:
            changed.clear()  # before looking, so that what is logged meanwhile is looked at next
            try:
                logged = await run_in_threadpool(_load_next_events, served, await current.refresh(), run, seen)
            except sse.TRANSIENT_ERRORS:
                logged, said_at = [], -math.inf
            except LeadlineError as error:  # the response status was sent long ago
                yield sse.format_event("error", build_problem(error), seen)
                return
            for number, kind, body in logged:
                yield sse.format_event(kind, body, number)
                if kind == "end":
                    return
                seen, said_at = number, time.monotonic()
                changed.set()  # there may be more than were taken at once
            if time.monotonic() - said_at > sse.HEARTBEAT_SECONDS:
                yield sse.HEARTBEAT
                said_at = time.monotonic()
            await sse.wait_for_change(changed, lambda: served.accepting)


def _load_next_events(
    served: Services, caller: Principal, run: Run, seen: int
) -> list[tuple[int, str, dict[str, object]]]:
    """Return the next events after `seen` as they are sent: number, name and body.

    Raises `RunNotFoundError` once the caller may not see the run.
    """
    if caller.visible_owner not in (None, run.owner):  # an admin's scope was taken away
        served.answers.runs.load_run(run.tenant_id, run.id, caller.visible_owner)
    logged = served.answers.runs.list_events(run.tenant_id, run.id, after=seen, limit=_EVENTS_PER_READ)
    withheld = bool(logged) and bool(served.answers.runs.list_withheld_runs([run.id], caller.readers))
    return [(each.sequence, each.kind, _to_wire(served, caller, run, each, withheld=withheld)) for each in logged]


def _to_wire(served: Services, caller: Principal, run: Run, logged: RunEvent, *, withheld: bool) -> dict[str, object]:
    out = RunEventOut.from_event(logged, withheld=withheld)
    if logged.kind == "end":
        ended = build_run_out(served, caller, served.answers.runs.load_run(run.tenant_id, run.id))
        out = RunEndOut(**out.model_dump(), run=ended)
    return out.model_dump(mode="json")
