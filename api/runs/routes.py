"""`/v1/runs`: lists, shows, follows, continues, cancels, exports and deletes runs."""

import asyncio
import math
import time
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from api.admission.access import Asker, Caller, HeldSlot, ServicesDep, Streams
from api.admission.current_caller import CurrentCaller, Follower
from api.admission.services import Services
from api.answers.forms import ExportForm
from api.answers.run_schemas import MoreIn, RunEndOut, RunEventOut, RunEventPage, RunOut, RunPage, RunWithAnswerOut
from api.answers.schemas import extract_cited_document_ids
from api.http import sse
from api.http.cursors import decode_cursor, encode_cursor, parse_last_event_id
from api.http.problems import build_problem
from api.languages import catalogue
from api.runs.control import add_to_budget
from api.runs.control import finish_run as finish_paused_run
from api.runs.export import EXPORTS, build_export, iter_export_events
from ingest.storage.accounts.records import Principal
from ingest.storage.answers.run_records import Run, RunEvent, RunState
from ingest.storage.errors import LeadlineError, RunStateError

router = APIRouter(prefix="/v1/runs", tags=["runs"])

_EVENTS_PER_READ = 200


@router.get("")
def list_runs(
    caller: Caller,
    services: ServicesDep,
    state: Annotated[list[RunState] | None, Query()] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    cursor: str | None = None,
) -> RunPage:
    """List your runs, newest first. Paginated."""
    before = decode_cursor(cursor) if cursor else None
    found = services.answers.runs.list_runs(
        caller.tenant_id, states=state or (), before=before, limit=limit + 1, owner=caller.visible_owner
    )
    page = found[:limit]
    more = encode_cursor(page[-1].sequence) if len(found) > limit else None
    withheld = services.answers.runs.list_withheld_runs([run.id for run in page], caller.readers)
    return RunPage(runs=[RunOut.from_run(run, is_withheld=run.id in withheld) for run in page], next_cursor=more)


@router.get("/{run_id}")
def get_run(run_id: str, caller: Caller, services: ServicesDep) -> RunWithAnswerOut:
    """Show a run: its state, progress and usage, and its answer once there is one."""
    return build_run_out(
        services, caller, services.answers.runs.load_run(caller.tenant_id, run_id, caller.visible_owner)
    )


@router.get(
    "/{run_id}/events",
    response_model=RunEventPage,
    responses={
        200: {"content": {sse.MEDIA_TYPE: {}}},
        204: {"description": "The run has ended, and all events were received."},
    },
)
async def list_run_events(
    run_id: str,
    request: Request,
    caller: Caller,
    current: Follower,
    services: ServicesDep,
    slot: HeldSlot,
    streams: Streams,
    last_event_id: Annotated[str | None, Header()] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    cursor: str | None = None,
) -> Response | RunEventPage:
    """Stream a run's events until it is finished, as server-sent events.

    With `Last-Event-ID`, only events after that event are sent. If you can no longer read a document in the run's
    scope, events have no bodies. The last event is `end`, with the run and its answer. With `Accept: application/json`,
    a page of events is returned instead. The page's `end` event has the run's state and, if the run failed, the reason,
    but neither the run nor the answer.
    """
    run = await run_in_threadpool(services.answers.runs.load_run, caller.tenant_id, run_id, caller.visible_owner)
    if request.headers.get("accept", "").startswith("application/json"):
        return await run_in_threadpool(_load_visible_events_page, services, caller, run, decode_cursor(cursor), limit)
    seen = min(parse_last_event_id(last_event_id), run.events)
    if run.has_ended and seen >= run.events:
        return Response(status_code=204)  # The status 204 tells an EventSource not to reconnect.
    await slot.move_to(streams)
    return StreamingResponse(_stream_events(services, current, run, seen), media_type=sse.MEDIA_TYPE)


@router.post("/{run_id}/cancel")
def cancel_run(run_id: str, caller: Asker, services: ServicesDep) -> RunWithAnswerOut:
    """Cancel a run. All of its work stops within two seconds. A run that is already finished does not change."""
    return build_run_out(services, caller, services.answers.runs.cancel(caller.tenant_id, run_id, caller.visible_owner))


@router.post("/{run_id}/continue")
def continue_run(run_id: str, body: MoreIn, caller: Asker, services: ServicesDep) -> RunWithAnswerOut:
    """Add to the budget of a `paused` run. The run then continues where it stopped.

    The run pauses again when the new budget is used up. `409` if the run is not paused. By default, a run that stays
    paused for a week is finished with a partial result, as by `finish`.
    """
    return build_run_out(services, caller, add_to_budget(services, caller, run_id, body))


@router.post("/{run_id}/finish")
def finish_run(run_id: str, caller: Asker, services: ServicesDep) -> RunWithAnswerOut:
    """Finish a `paused` run with a partial result.

    The run uses its remaining budget to answer. If too little remains, it fails.
    """
    return build_run_out(services, caller, finish_paused_run(services, caller, run_id))


@router.get("/{run_id}/export", response_class=StreamingResponse, responses={200: {"content": EXPORTS}})
def export_run(
    run_id: str,
    caller: Caller,
    services: ServicesDep,
    request: Request,
    form: Annotated[ExportForm, Query()] = ExportForm.JSON,
) -> StreamingResponse:
    """Download a finished run: question, answer, citations, code cells with outputs, sub-calls and cost.

    `json` contains all events with untruncated model replies; `markdown` is for users, and its own words are in the
    language of `Accept-Language`. If you can no longer read a document in the run's scope, events have no bodies. `409`
    while the run is in progress.
    """
    run = services.answers.runs.load_run(caller.tenant_id, run_id, caller.visible_owner)
    if not run.has_ended:
        raise RunStateError(
            f"The run is {run.state} and cannot be exported yet.",
            hint="Wait until the run has ended, then download the export.",
        )
    withheld = bool(services.answers.runs.list_withheld_runs([run.id], caller.readers))
    events = iter_export_events(services, run, is_withheld=withheld)
    language = catalogue.choose_language(request.cookies.get(catalogue.COOKIE), request.headers.get("Accept-Language"))
    return build_export(build_run_out(services, caller, run), events, form, catalogue.Texts(language))


@router.delete("/{run_id}", status_code=204)
def delete_run(run_id: str, caller: Asker, services: ServicesDep) -> None:
    """Delete a finished run with its answer and log. `409` while the run is in progress."""
    services.answers.runs.delete(caller.tenant_id, run_id, caller.visible_owner)


def build_run_out(services: Services, caller: Principal, run: Run) -> RunWithAnswerOut:
    """Return a run with its answer, limited to what the caller may see."""
    # guard: run-names-masked
    run = services.answers.runs.mask_names(run, caller.readers)
    position = services.jobs.estimate_position(run.id) if run.state is RunState.QUEUED else None
    named = extract_cited_document_ids(run.answer) if run.answer else ()
    deleted = services.answers.conversations.list_withheld_documents(named, caller.readers) if named else ()
    withheld = bool(services.answers.runs.list_withheld_runs([run.id], caller.readers))
    return RunWithAnswerOut.from_run(run, queue_position=position, deleted_documents=deleted, is_withheld=withheld)


def load_events_page(
    services: Services, run: Run, last_event_number: int, limit: int, *, is_withheld: bool
) -> RunEventPage:
    """Return a page of a run's events. If `is_withheld` is true, the events have no bodies."""
    found = services.answers.runs.list_events(run.tenant_id, run.id, after=last_event_number, limit=limit)
    last = found[-1].sequence if found else last_event_number
    more = encode_cursor(last) if not run.has_ended or last < run.events else None
    return RunEventPage(
        events=[RunEventOut.from_event(each, is_withheld=is_withheld) for each in found], next_cursor=more
    )


def _load_visible_events_page(
    services: Services, caller: Principal, run: Run, last_event_number: int, limit: int
) -> RunEventPage:
    withheld = bool(services.answers.runs.list_withheld_runs([run.id], caller.readers))
    return load_events_page(services, run, last_event_number, limit, is_withheld=withheld)


async def _stream_events(
    services: Services, current_caller: CurrentCaller, run: Run, last_event_number: int
) -> AsyncIterator[str]:
    """Yield every event after `last_event_number` as soon as it is logged.

    The iterator ends with the run's last event, or when the process shuts down.

    While the catalog or the identity provider is unavailable, wait and yield heartbeats.
    """
    changed, sent_at = asyncio.Event(), time.monotonic()
    with services.events.feed.watch(run.tenant_id, run.id, sse.build_change_callback(changed)):
        while services.accepting:
            changed.clear()  # Clear this before loading, so that events logged in the meantime trigger another load.
            try:
                logged = await run_in_threadpool(
                    _load_next_events, services, await current_caller.refresh_principal(), run, last_event_number
                )
            except sse.TRANSIENT_ERRORS:
                logged, sent_at = [], -math.inf
            except LeadlineError as error:  # The status was already sent, so the error is sent as an event.
                yield sse.format_event("error", build_problem(error), last_event_number)
                return
            for number, kind, body in logged:
                yield sse.format_event(kind, body, number)
                if kind == "end":
                    return
                last_event_number, sent_at = number, time.monotonic()
                changed.set()  # One page may not contain all new events, so load again.
            if time.monotonic() - sent_at > sse.HEARTBEAT_SECONDS:
                yield sse.HEARTBEAT
                sent_at = time.monotonic()
            await sse.wait_for_change(changed, lambda: services.accepting)


def _load_next_events(
    services: Services, caller: Principal, run: Run, last_event_number: int
) -> list[tuple[int, str, dict[str, object]]]:
    """Return the next events after `last_event_number` in wire format, each with its number, name and body.

    Raises `RunNotFoundError` if the caller is no longer allowed to see the run.
    """
    if caller.visible_owner not in (None, run.owner):  # The caller has lost the `admin` scope, so check access again.
        services.answers.runs.load_run(run.tenant_id, run.id, caller.visible_owner)
    logged = services.answers.runs.list_events(run.tenant_id, run.id, after=last_event_number, limit=_EVENTS_PER_READ)
    withheld = bool(logged) and bool(services.answers.runs.list_withheld_runs([run.id], caller.readers))
    return [
        (each.sequence, each.kind, _build_event_json(services, caller, run, each, is_withheld=withheld))
        for each in logged
    ]


def _build_event_json(
    services: Services, caller: Principal, run: Run, event: RunEvent, *, is_withheld: bool
) -> dict[str, object]:
    out = RunEventOut.from_event(event, is_withheld=is_withheld)
    if event.kind == "end":
        ended = build_run_out(services, caller, services.answers.runs.load_run(run.tenant_id, run.id))
        out = RunEndOut(**out.model_dump(), run=ended)
    return out.model_dump(mode="json")
