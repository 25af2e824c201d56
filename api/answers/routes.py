"""`/v1/answers`: ask for an answer with checked sentences; read kept answers, and the records behind them."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from api.admission.access import AnswersAtOnce, Asker, Caller, HeldPlace, Served
from api.admission.idempotency import ClaimedRequest, get_claim
from api.admission.services import Services
from api.answers.answer_events import AnswerEventWriter
from api.answers.answer_work import AnswerWork, start_run
from api.answers.asking import CallerQuestion, build_visible_answer, render_in_forms, require_collections
from api.answers.conversation_schemas import RowPage
from api.answers.estimating import EstimateOut, estimate_question
from api.answers.forms import Form
from api.answers.rows_behind import load_source_rows, select_row_ranges
from api.answers.run_schemas import RunWithAnswerOut
from api.answers.schemas import AnswerOut, QuestionIn
from api.http import sse
from api.http.cursors import decode_cursor, encode_cursor
from api.http.problems import CLIENT_CLOSED_REQUEST, BadRequestError
from ingest.storage.accounts.records import Principal

router = APIRouter(prefix="/v1/answers", tags=["answers"])


@router.post(
    "",
    response_model=AnswerOut,
    responses={200: {"content": {sse.MEDIA_TYPE: {}}}, 202: {"model": RunWithAnswerOut}},
)
async def ask(
    body: QuestionIn,
    request: Request,
    caller: Asker,
    served: Served,
    threads: AnswersAtOnce,
    place: HeldPlace,
) -> Response | AnswerOut:
    """Ask a question of your documents, alone or in a conversation.

    With `background` the answer is made by a run that goes on without this connection, and after a crash: `202`, with
    the run's address in `Location`.

    With `stream`, or when only `text/event-stream` is accepted, events are sent as they happen:

    * `condensed`: a follow-up as a question that stands alone (`question`)
    * `routed`: the `strategy`, the `reason` for it, and what it may cost where that is much (`estimate`)
    * `retrieved`: a search for `query` found so many `passages`, in documents with these `titles`
    * `reading`: the model now reads passages of the documents with these `titles`; `call` counts from 1
    * `planned`: how a table answer is computed (`steps`, `sql`)
    * `working`: so much of a long `step` is done (`done` of `total`)
    * `cell`: code that the model wrote, and what came of it
    * `delta`: the next piece of the answer's `text`, as it is written and before it is checked
    * `checking`: the text is complete, and so many `sentences` of it are being judged
    * `completed`: the whole answer; or `error`: a problem. One of the two is the last event.

    Closing the connection ends the work, streamed or not. Where as many clients wait for answers as this process makes
    at once, one more is `429`; `background` is not. Tenants with less than their share of these places may go beyond
    them by a quarter.

    With an `Idempotency-Key` that was sent before, it is the answer that there was then, of a stream with the text in
    one piece. A complete answer is kept, for 30 days if the service is not set otherwise, or with its conversation.
    """
    claim = get_claim(request)
    await run_in_threadpool(require_collections, served, caller, body.collections, claim)
    asking = await run_in_threadpool(CallerQuestion, served, caller, body, claim)
    if body.background:
        return await run_in_threadpool(_start_background_run, served, caller, body, asking, claim)
    place.release()  # an answer has a thread of its own
    work = AnswerWork(request, served, caller, threads, asking)
    if body.stream or request.headers.get("accept") == sse.MEDIA_TYPE:
        return await work.stream(AnswerEventWriter(asking.save_answer))
    answer = await work.wait_for_answer()
    return Response(status_code=CLIENT_CLOSED_REQUEST) if answer is None else answer


@router.post("/estimate")
def estimate(body: QuestionIn, caller: Asker, served: Served) -> EstimateOut:
    """Tell how much a question is about and the most that its answer may spend, before anything is spent.

    What judging the records of a table costs is known only when its plan is made: a question whose estimate is large is
    then refused with `confirmation_required`.
    """
    require_collections(served, caller, body.collections)
    return estimate_question(served, body, body.build_scope(caller))


@router.get("/{answer_id}")
def one(
    answer_id: str, caller: Caller, served: Served, render: Annotated[list[Form] | None, Query()] = None
) -> AnswerOut:
    """Show a kept answer, without quotations from documents that were deleted since or closed to the caller.

    The answer of a run has the run's id. `render` adds its text as `html`, as `mrkdwn`, or as both.
    """
    kept = served.answers.conversations.load_answer(caller.tenant_id, answer_id, caller.visible_owner)
    return render_in_forms(served, build_visible_answer(served, caller, kept), render or ())


@router.get("/{answer_id}/rows")
def rows(
    answer_id: str,
    caller: Caller,
    served: Served,
    row: Annotated[int | None, Query(ge=1, description="Only those behind this row of the answer's table.")] = None,
    column: Annotated[int | None, Query(ge=0, description="Only those behind this column's cell of the row.")] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
    cursor: str | None = None,
) -> RowPage:
    """List the records that a computed answer rests on, a page at a time, in the order of their tables.

    With `row`, counted from 1, and `column`, from 0, only those behind one number of the answer's table:
    `table.records` says where they are known.
    """
    kept = served.answers.conversations.load_answer(caller.tenant_id, answer_id, caller.visible_owner)
    parts = select_row_ranges(kept, row, column)
    total, begin = sum(map(len, parts)), decode_cursor(cursor)
    more = encode_cursor(begin + limit) if begin + limit < total else None
    return RowPage(rows=load_source_rows(served, caller, parts, begin, limit), total=total, next_cursor=more)


@router.delete("/{answer_id}", status_code=204)
def delete(answer_id: str, caller: Asker, served: Served) -> None:
    """Delete a kept answer: its conversation goes on without it, and a run that made it no longer has one."""
    served.answers.conversations.delete_answer(caller.tenant_id, answer_id, caller.visible_owner)


def _start_background_run(
    served: Services, caller: Principal, body: QuestionIn, asking: CallerQuestion, claim: ClaimedRequest | None
) -> Response:
    """Queue a run. Work that needs a model, including the choice of a strategy, is left to the worker."""
    if body.stream:
        raise BadRequestError(
            "An answer is made in the background or streamed, not both.",
            hint="Ask with `background` alone, and follow GET /v1/runs/{id}/events.",
        )
    run = start_run(served, caller, body, asking, claim.id if claim else None)
    out = RunWithAnswerOut.from_run(run).model_dump(mode="json")
    return JSONResponse(out, 202, {"Location": f"/v1/runs/{run.id}"})
