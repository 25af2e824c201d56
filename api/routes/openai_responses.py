"""`/v1/responses`: answers for programs that speak OpenAI's Responses protocol."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from api.access import AnswersAtOnce, Asker, Caller, HeldPlace, Served
from api.answer_events import CLIENT_CLOSED_REQUEST
from api.answer_schemas import AnswerOut, QuestionIn, cited_documents
from api.answer_work import AnswerWork, begin_run
from api.asking import Asking, shown
from api.idempotency import claimed
from api.openai.annotations import CitedFiles
from api.openai.asked import TurnIn, question_of, refuse_form, refuse_tools
from api.openai.models import base_url, chosen
from api.openai.responses import (
    MOST_RESULTS,
    PREFIX,
    ResponseEvents,
    ResponseIn,
    ResponseNotFoundError,
    Shown,
    output_of,
    response_object,
    results_wanted,
    searched_by,
    status_of,
)
from api.problems import BadRequestError
from api.services import Services
from ingest.conversations import NEW_CONVERSATION
from ingest.errors import AnswerNotFoundError, RunNotFoundError
from ingest.identity import Principal
from ingest.runs import Run, RunState

router = APIRouter(prefix="/v1/responses", tags=["openai"])

ResponseId = Annotated[str, Path(max_length=200)]
_STATES = {RunState.QUEUED: "queued", RunState.RUNNING: "in_progress", RunState.CANCELLED: "cancelled"}


@router.post("")
async def create(
    body: ResponseIn, request: Request, caller: Asker, served: Served, threads: AnswersAtOnce, place: HeldPlace
) -> Response:
    """Answer from the documents, as OpenAI's Responses.

    `model` is one of `GET /v1/models`; `vector_store_ids` of a `file_search` tool are collections. The `output` is the
    message, whose `annotations` say where each marker `[1]` leads, and for who sent that tool the search before it
    (`file_search_call`; what was cited of it with `include`). `previous_response_id` goes on with a conversation. With
    `background` a run makes the answer, which goes on without this connection: read it at `GET /v1/responses/{id}`. The
    whole answer, with its checked sentences, is the member `leadline`.
    """
    refuse_tools([each.model_dump() for each in body.tools], body.tool_choice)
    refuse_form(body.text.format if body.text else None)
    question = await run_in_threadpool(_question, served, caller, body)
    claim = claimed(request)
    asking = await run_in_threadpool(Asking, served, caller, question, claim)
    if body.background:
        if body.stream:
            raise BadRequestError(
                "A response is made in the background or streamed, not both.",
                hint="Ask with `background` alone, and follow GET /v1/runs/{id}/events.",
            )
        run = await run_in_threadpool(begin_run, served, caller, question, asking, claim.id if claim else None)
        return JSONResponse(response_object(run.id, body, "queued", created=run.created_at))
    place.leave()  # an answer has a thread of its own
    work = AnswerWork(request, served, caller, threads, asking)
    identifier, how = asking.request.used.work.id, _how(request, served, caller, body)
    if body.stream:
        return await work.streamed(ResponseEvents(asking.keep, identifier, body, how))
    answer = await work.waited_for()
    if answer is None:
        return Response(status_code=CLIENT_CLOSED_REQUEST)
    output = await run_in_threadpool(output_of, answer, identifier, how)
    return JSONResponse(response_object(identifier, body, status_of(answer), output, answer=answer))


@router.get("/{response_id}")
def one(response_id: ResponseId, request: Request, caller: Caller, served: Served) -> dict[str, Any]:
    """Show a response: a finished one as it was, or how far a run is that makes one in the background."""
    return _shown(request, served, caller, response_id)


@router.post("/{response_id}/cancel")
def cancel(response_id: ResponseId, request: Request, caller: Asker, served: Served) -> dict[str, Any]:
    """Stop the run that makes a response in the background; one that has ended stays as it is."""
    with _known(response_id):
        served.runs.cancel(caller.tenant_id, response_id.removeprefix(PREFIX), caller.sees_only)
    return _shown(request, served, caller, response_id)


@router.delete("/{response_id}")
def delete(response_id: ResponseId, caller: Asker, served: Served) -> dict[str, Any]:
    """Delete a finished response: its conversation goes on without it."""
    with _known(response_id):
        served.conversations.delete_answer(caller.tenant_id, response_id.removeprefix(PREFIX), caller.sees_only)
    return {"id": response_id, "object": "response.deleted", "deleted": True}


def _question(served: Services, caller: Principal, body: ResponseIn) -> QuestionIn:
    """Return the question with its scope and its conversation."""
    model = chosen(served, caller, body.model)
    turns, conversation = body.turns, None
    if body.previous_response_id is not None:
        with _known(body.previous_response_id):
            before = served.conversations.answer(
                caller.tenant_id, body.previous_response_id.removeprefix(PREFIX), caller.sees_only
            )
        conversation = before.conversation_id
        if conversation is None:
            said = [TurnIn(role="user", content=before.question), TurnIn(role="assistant", content=before.body["text"])]
            turns = [*said, *turns]
    elif body.store and len(turns) == 1:
        conversation = NEW_CONVERSATION
    return question_of(turns, model, searched_by(body.tools, body.leadline), conversation=conversation)


@contextmanager
def _known(response_id: str) -> Iterator[None]:
    """Say that there is no such response where there is neither such an answer nor such a run."""
    try:
        yield
    except (AnswerNotFoundError, RunNotFoundError) as error:
        raise ResponseNotFoundError(f"There is no response {response_id!r}.") from error


def _shown(request: Request, served: Services, caller: Principal, response_id: str) -> dict[str, Any]:
    identifier = response_id.removeprefix(PREFIX)
    try:
        kept = served.conversations.answer(caller.tenant_id, identifier, caller.sees_only)
    except AnswerNotFoundError:
        with _known(response_id):
            run = served.runs.run(caller.tenant_id, identifier, caller.sees_only)
        return _of_run(request, served, caller, run)
    return _of_answer(
        request, served, caller, identifier, shown(served, caller, kept), kept.created_at, kept.created_at
    )


def _of_run(request: Request, served: Services, caller: Principal, run: Run) -> dict[str, Any]:
    if run.answer is not None:
        deleted = served.conversations.withheld_documents(cited_documents(run.answer), caller.readers)
        answer = AnswerOut.of_body(run.answer, identifier=run.id, conversation=run.conversation_id, deleted=deleted)
        return _of_answer(request, served, caller, run.id, answer, run.created_at, run.ended_at)
    status = _STATES.get(run.state, "failed")
    error = {"code": run.failure.code, "message": run.failure.detail} if run.failure else None
    return response_object(run.id, {"background": True}, status, created=run.created_at, error=error)


def _of_answer(
    request: Request,
    served: Services,
    caller: Principal,
    identifier: str,
    answer: AnswerOut,
    created: float,
    completed: float | None,
) -> dict[str, Any]:
    """Return a kept answer as a response, without the members of a request that were not kept."""
    output = output_of(answer, identifier, _how(request, served, caller, None))
    return response_object(
        identifier, {}, status_of(answer), output, created=created, completed=completed, answer=answer
    )


def _how(request: Request, served: Services, caller: Principal, body: ResponseIn | None) -> Shown:
    """Return how answers are shown to this caller; without the request, which is not kept, everything of them."""

    def files_of(answer: AnswerOut) -> CitedFiles:
        cited = {each.document_id for each in answer.citations if not each.deleted}
        return served.files.named(caller.tenant_id, cited)

    url = base_url(request, served)
    if body is None:
        return Shown(url, True, MOST_RESULTS, files_of)
    searched = any(each.type == "file_search" for each in body.tools)
    return Shown(url, searched, results_wanted(body), files_of)
