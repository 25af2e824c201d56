"""`/v1/answers`: asks questions, reads and deletes answers, and lists the records behind them."""

from typing import Annotated

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from api.admission.access import AnswersAtOnce, Asker, Caller, HeldSlot, ServicesDep, Streams
from api.admission.current_caller import Follower
from api.admission.idempotency import ClaimedRequest, get_claimed_request
from api.admission.services import Services
from api.answers.answer_events import AnswerEventFormatter
from api.answers.answer_work import AnswerWork, start_run
from api.answers.asking import CallerQuestion, build_visible_answer, render_in_formats, require_collections
from api.answers.conversation_schemas import RowPage
from api.answers.detached import Detached, DetachedAnswers, DetachedQuestion
from api.answers.estimating import EstimateOut, estimate_question
from api.answers.following import END_ID, load_events_after, stream_pending_answer
from api.answers.forms import Form
from api.answers.pending_schemas import PendingAnswerOut
from api.answers.rows_behind import load_source_rows, select_row_ranges
from api.answers.run_schemas import RunWithAnswerOut
from api.answers.schemas import AnswerOut, QuestionIn
from api.answers.usual_times import UsualTimes, UsualTimesDep
from api.http import sse
from api.http.cursors import decode_cursor, encode_cursor, parse_last_event_id
from api.http.problems import CLIENT_CLOSED_REQUEST, BadRequestError
from ingest.storage.accounts.records import Principal
from ingest.storage.answers.pending_records import PendingAnswer

router = APIRouter(prefix="/v1/answers", tags=["answers"])


@router.post(
    "",
    response_model=AnswerOut,
    responses={200: {"content": {sse.MEDIA_TYPE: {}}}, 202: {"model": RunWithAnswerOut | PendingAnswerOut}},
)
async def create_answer(
    body: QuestionIn,
    request: Request,
    caller: Asker,
    services: ServicesDep,
    threads: AnswersAtOnce,
    detached: Detached,
    usual_times: UsualTimesDep,
    slot: HeldSlot,
) -> Response | AnswerOut:
    """Ask a question about your documents, on its own or in a conversation.

    With `background`, a run generates the answer and continues even if this connection is closed or the service
    crashes. The response is `202` with the run's address in `Location`.

    With `stream`, or if only `text/event-stream` is accepted, the response is a stream of server-sent events:

    * `condensed`: a follow-up question was rewritten as a standalone `question`
    * `routed`: the `strategy`, the `reason` for it, and a cost `estimate` if the cost is large
    * `retrieved`: a search for `query` found this number of `passages`, in the documents with these `titles`
    * `reading`: the model is reading passages of documents with these `titles`; `call` counts from 1
    * `planned`: how a table answer is computed (`steps`, `sql`)
    * `working`: progress of a long `step` (`done` of `total`)
    * `cell`: code that the model wrote, and its result
    * `delta`: the next piece of the answer's `text`, not checked yet
    * `checking`: the text is complete, and this number of `sentences` is being checked
    * `completed`: the whole answer; or `error`: a problem. One of these is the last event.

    Closing the connection stops the work, whether or not it is streamed. With `detach`, the work continues instead: the
    response is `202` with the pending answer, `Location` is the address of its events, and the question is immediately
    part of its `conversation`. After a restart of the service, a detached answer starts again by itself, unless the
    service was killed while it answered three times.

    If this process is already generating its
    maximum number of answers for waiting clients, the response is `429`; `background` is not affected. Tenants that
    hold less than their fair share of these slots may exceed the limit by a quarter.

    A repeated `Idempotency-Key` returns the original answer; a stream then contains the text in one piece. Completed
    answers are stored for 30 days by default, or as long as their conversation.
    """
    claim = get_claimed_request(request)
    await run_in_threadpool(require_collections, services, caller, body.collections, claim)
    asking = await run_in_threadpool(CallerQuestion, services, caller, body, claim)
    if body.background:
        return await run_in_threadpool(_start_background_run, services, caller, body, asking, claim)
    slot.release()  # The answer runs in its own thread, so it needs no slot for requests.
    if body.detach:
        asked = DetachedQuestion.from_request(request, caller, body, asking)
        await _start_detached_answer(services, detached, asked, claim)
        out = await run_in_threadpool(_build_pending_out, services, asked, usual_times)
        return JSONResponse(out.model_dump(mode="json"), 202, {"Location": f"/v1/answers/{out.id}/events"})
    work = AnswerWork(request, services, caller, threads, asking)
    if body.stream or request.headers.get("accept") == sse.MEDIA_TYPE:
        return await work.stream_events(AnswerEventFormatter(asking.save_answer))
    answer = await work.wait_for_answer()
    return Response(status_code=CLIENT_CLOSED_REQUEST) if answer is None else answer


@router.post("/estimate")
def estimate_answer(body: QuestionIn, caller: Asker, services: ServicesDep) -> EstimateOut:
    """Estimate the size of a question's scope and the maximum that its answer may spend. The estimate itself is free.

    The cost of judging the records of a table is only known once the answer is planned. If that cost is large, the
    question is then rejected with `confirmation_required`.
    """
    require_collections(services, caller, body.collections)
    return estimate_question(services, body, body.build_scope(caller))


@router.get("/{answer_id}")
def get_answer(
    answer_id: str, caller: Caller, services: ServicesDep, render: Annotated[list[Form] | None, Query()] = None
) -> AnswerOut:
    """Show an answer, without quotations from documents that were deleted or that you cannot read.

    The answer of a run has the same id as the run. `render` adds the answer's text as `html`, `mrkdwn` or both.
    """
    kept = services.answers.conversations.load_answer(caller.tenant_id, answer_id, caller.visible_owner)
    return render_in_formats(services, build_visible_answer(services, caller, kept), render or ())


@router.get(
    "/{answer_id}/events",
    response_class=StreamingResponse,
    responses={
        200: {"content": {sse.MEDIA_TYPE: {}}},
        204: {"description": "The answer has ended, and all events were received."},
    },
)
async def stream_answer_events(
    answer_id: str,
    caller: Caller,
    current: Follower,
    services: ServicesDep,
    slot: HeldSlot,
    streams: Streams,
    last_event_id: Annotated[str | None, Header()] = None,
) -> Response:
    """Stream the events of a detached answer until it ends, with the same events as `POST /v1/answers`.

    With `Last-Event-ID`, only events after that event are sent. An answer that has already been stored is sent as
    `completed`. `error` has the code `answer_cancelled` if somebody cancelled the answer, and `answer_interrupted` if
    the service was killed too often while it answered. After `restarted`, discard the events before it: the service was
    restarted, and the answer starts from its beginning. If you cannot read everything that the author can read, you get
    only the last event.
    """
    first = await run_in_threadpool(load_events_after, services, caller, caller.tenant_id, answer_id, 0)
    if last_event_id == END_ID and first and first[-1][0] == END_ID:
        return Response(status_code=204)
    await slot.move_to(streams)
    seen = 0 if last_event_id == END_ID else parse_last_event_id(last_event_id)
    stream = stream_pending_answer(services, current, caller.tenant_id, answer_id, seen)
    return StreamingResponse(stream, media_type=sse.MEDIA_TYPE)


@router.post("/{answer_id}/cancel", status_code=204)
def cancel_answer(answer_id: str, caller: Asker, services: ServicesDep, detached: Detached) -> None:
    """Cancel a detached answer. Its work stops within about a second, and its text is not stored.

    The question stays in its conversation. An answer that has already ended does not change.
    """
    services.answers.pending.cancel(caller.tenant_id, answer_id, caller.visible_owner)
    detached.stop(answer_id)


@router.get("/{answer_id}/rows")
def list_answer_rows(
    answer_id: str,
    caller: Caller,
    services: ServicesDep,
    row: Annotated[int | None, Query(ge=1, description="Only records behind this row of the answer's table.")] = None,
    column: Annotated[
        int | None, Query(ge=0, description="Only records behind this column's cell in that row.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
    cursor: str | None = None,
) -> RowPage:
    """List the records behind a computed answer, in the order of their tables. Paginated.

    With `row`, counted from 1, and `column`, counted from 0, list only the records behind one number of the answer's
    table. `table.records` shows which rows and cells have records.
    """
    kept = services.answers.conversations.load_answer(caller.tenant_id, answer_id, caller.visible_owner)
    parts = select_row_ranges(kept, row, column)
    total, begin = sum(map(len, parts)), decode_cursor(cursor)
    more = encode_cursor(begin + limit) if begin + limit < total else None
    return RowPage(rows=load_source_rows(services, caller, parts, begin, limit), total=total, next_cursor=more)


@router.delete("/{answer_id}", status_code=204)
def delete_answer(answer_id: str, caller: Asker, services: ServicesDep) -> None:
    """Delete an answer. Its conversation remains. If a run generated the answer, the run remains without it.

    A pending answer is stopped, and its question is deleted.
    """
    if services.answers.pending.delete(caller.tenant_id, answer_id, caller.visible_owner):
        return
    services.answers.conversations.delete_answer(caller.tenant_id, answer_id, caller.visible_owner)


async def _start_detached_answer(
    services: Services, detached: DetachedAnswers, asked: DetachedQuestion, claim: ClaimedRequest | None
) -> None:
    """Start a detached answer, unless an earlier request with the same claim has started it."""
    if claim is not None and claim.is_repeat and await run_in_threadpool(_find_pending, services, asked) is not None:
        return
    if await run_in_threadpool(asked.question.find_previous_answer) is None:
        await detached.start(asked)
    if claim is not None:
        claim.is_made = True


def _find_pending(services: Services, asked: DetachedQuestion) -> PendingAnswer | None:
    caller = asked.caller
    return services.answers.pending.find(caller.tenant_id, asked.answer_id, caller.visible_owner)


def _build_pending_out(services: Services, asked: DetachedQuestion, usual_times: UsualTimes) -> PendingAnswerOut:
    usual = usual_times.compute_medians()
    if (found := _find_pending(services, asked)) is not None:
        return PendingAnswerOut.from_pending(found, usual)
    # The answer may already be stored. Its state is then not a state of pending answers.
    stored = services.answers.conversations.load_answer(
        asked.caller.tenant_id, asked.answer_id, asked.caller.visible_owner
    )
    return PendingAnswerOut(
        id=stored.id,
        conversation=stored.conversation_id or "",
        question=stored.question,
        state="completed",
        usual_seconds=usual,
        created_at=stored.created_at,
    )


def _start_background_run(
    services: Services,
    caller: Principal,
    body: QuestionIn,
    caller_question: CallerQuestion,
    claim: ClaimedRequest | None,
) -> Response:
    """Queue a run. Work that needs a model, including the choice of a strategy, is left to the worker."""
    if body.stream:
        raise BadRequestError(
            "`background` and `stream` cannot be combined.",
            hint="Send `background` alone, and follow the run at GET /v1/runs/{id}/events.",
        )
    run = start_run(services, caller, body, caller_question, claim.id if claim else None)
    run = services.answers.runs.mask_names(run, caller.readers)  # an earlier request may have started it
    out = RunWithAnswerOut.from_run(run).model_dump(mode="json")
    return JSONResponse(out, 202, {"Location": f"/v1/runs/{run.id}"})
