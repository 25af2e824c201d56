"""`/v1/responses`: answers for clients of OpenAI's Responses protocol."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from api.admission.access import AnswersAtOnce, Asker, Caller, HeldSlot, ServicesDep
from api.admission.idempotency import get_claimed_request
from api.admission.services import Services
from api.answers.answer_work import AnswerWork, start_run
from api.answers.asking import CallerQuestion, build_visible_answer, require_collections
from api.answers.output_schemas import OutputIn
from api.answers.schemas import AnswerOut, QuestionIn, extract_cited_document_ids
from api.http.problems import CLIENT_CLOSED_REQUEST, BadRequestError
from api.openai.annotations import CitedFiles, build_call_id
from api.openai.asked import TurnIn, build_question
from api.openai.formats import build_output
from api.openai.models import get_base_url, parse_model
from api.openai.response_events import ResponseEventFormatter
from api.openai.responses import (
    MAX_RESULTS,
    RESULTS,
    ResponseIn,
    ResponseNotFoundError,
    ResponseView,
    build_output_items,
    build_response_id,
    build_response_object,
    get_response_status,
    get_result_limit,
    merge_search_tools,
    parse_response_id,
)
from ingest.storage.accounts.records import Principal
from ingest.storage.answers.records import NEW_CONVERSATION, StoredAnswer
from ingest.storage.answers.run_records import Run, RunState
from ingest.storage.errors import AnswerNotFoundError, RunNotFoundError
from rlm.answers import OutputKind

router = APIRouter(prefix="/v1/responses", tags=["openai"])

ResponseId = Annotated[str, Path(max_length=200)]
_ANSWERED = frozenset({RunState.COMPLETED, RunState.PARTIAL})
_STATES = {RunState.QUEUED: "queued", RunState.RUNNING: "in_progress", RunState.CANCELLED: "cancelled"}


@router.post("")
async def create(
    body: ResponseIn, request: Request, caller: Asker, services: ServicesDep, threads: AnswersAtOnce, slot: HeldSlot
) -> Response:
    """Answer a question from the documents, as an OpenAI response.

    `model` is one of the models in `GET /v1/models`. The `vector_store_ids` of a `file_search` tool are collections.
    `output` contains the message, whose `annotations` say what each marker such as `[1]` cites. If you send that tool,
    the search comes before the message (`file_search_call`; use `include` to get the cited results). With `text.format`
    or functions in `tools`, the checked answer is then put into that form, or calls a function.
    `previous_response_id` continues a conversation, and so does `conversation` with an id from an earlier response. If
    `store` is false, the response cannot be retrieved later. With `background`, a run generates the answer and
    continues even if this connection is closed; retrieve it with `GET /v1/responses/{id}`. The `leadline` field
    contains the whole answer with its checked sentences.
    """
    _reject_conflicting_fields(body)
    question = await run_in_threadpool(_build_question, services, caller, body)
    claim = get_claimed_request(request)
    await run_in_threadpool(require_collections, services, caller, question.collections, claim)
    asking = await run_in_threadpool(partial(CallerQuestion, services, caller, question, claim, is_stored=body.store))
    named = partial(build_response_id, with_search=body.with_search)
    if body.background:
        run = await run_in_threadpool(start_run, services, caller, question, asking, claim.id if claim else None)
        return JSONResponse(build_response_object(named(run.id), body, "queued", created_at=run.created_at))
    slot.release()  # The answer runs in its own thread, so it needs no slot for requests.
    work = AnswerWork(request, services, caller, threads, asking)
    identifier, how = (
        asking.request.used.answer_id,
        _build_view(request, services, caller, body.with_search, get_result_limit(body)),
    )
    if body.stream:
        with_form = question.output is not None
        writer = ResponseEventFormatter(asking.save_answer, identifier, body, how, with_form=with_form)
        return await work.stream_events(writer)
    answer = await work.wait_for_answer()
    if answer is None:
        return Response(status_code=CLIENT_CLOSED_REQUEST)
    output = await run_in_threadpool(build_output_items, answer, identifier, how)
    return JSONResponse(
        build_response_object(named(identifier), body, get_response_status(answer), output, answer=answer)
    )


@router.get("/{response_id}")
def one(
    response_id: ResponseId,
    request: Request,
    caller: Caller,
    services: ServicesDep,
    include: Annotated[list[str] | None, Query(max_length=20, alias="include[]")] = None,
    stream: bool = False,
) -> dict[str, Any]:
    """Show a response: a finished one, or the progress of the run that generates it in the background.

    `include[]` adds the cited search results (`file_search_call.results`), as in the request. Streaming is not
    supported by this route.
    """
    if stream:
        raise BadRequestError(
            "A stored response cannot be streamed.",
            hint="Omit `stream`. To follow a background response, use GET /v1/runs/{id}/events.",
            field_path="stream",
        )
    return _load_response(request, services, caller, response_id, MAX_RESULTS if RESULTS in (include or ()) else None)


@router.post("/{response_id}/cancel")
def cancel(response_id: ResponseId, request: Request, caller: Asker, services: ServicesDep) -> dict[str, Any]:
    """Stop the run that generates a response in the background. A response that is already finished does not change."""
    # If there is no run to cancel, the response was generated without a run or does not exist. Loading the response
    # shows which case applies.
    with suppress(RunNotFoundError):
        services.answers.runs.cancel(caller.tenant_id, parse_response_id(response_id)[0], caller.visible_owner)
    return _load_response(request, services, caller, response_id, None)


@router.delete("/{response_id}")
def delete(response_id: ResponseId, caller: Asker, services: ServicesDep) -> dict[str, Any]:
    """Delete a response. Its conversation remains, without this response.

    If the response was generated in the background, its run is stopped and deleted with its log.
    """
    identifier = parse_response_id(response_id)[0]
    with _translate_not_found_errors(response_id):
        try:
            services.answers.runs.cancel(caller.tenant_id, identifier, caller.visible_owner)
        except RunNotFoundError:  # The response was generated without a run.
            services.answers.conversations.delete_answer(caller.tenant_id, identifier, caller.visible_owner)
        else:
            services.answers.runs.delete(caller.tenant_id, identifier, caller.visible_owner)
    return {"id": response_id, "object": "response.deleted", "deleted": True}


def _reject_conflicting_fields(body: ResponseIn) -> None:
    """Raise `BadRequestError` if the request contains fields that cannot be combined."""
    if body.background and body.stream:
        raise BadRequestError(
            "`background` and `stream` cannot be combined.",
            hint="Send `background` alone, and follow the run at GET /v1/runs/{id}/events.",
            field_path="stream",
        )
    if body.background and not body.store:
        raise BadRequestError(
            "A background response must be stored; otherwise nobody could read it.",
            hint="Omit `store`, and delete the response after reading it.",
            field_path="store",
        )
    if body.previous_response_id is not None and body.conversation is not None:
        raise BadRequestError(
            "`previous_response_id` and `conversation` cannot be combined.",
            hint="Send only one of `previous_response_id` and `conversation`.",
            field_path="conversation",
        )


def _build_question(services: Services, caller: Principal, body: ResponseIn) -> QuestionIn:
    """Build the question, including its scope and its conversation."""
    model = parse_model(services, caller, body.model)
    turns, conversation = body.input_messages, body.conversation_id
    if body.previous_response_id is not None:
        with _translate_not_found_errors(body.previous_response_id):
            before = services.answers.conversations.load_answer(
                caller.tenant_id, parse_response_id(body.previous_response_id)[0], caller.visible_owner
            )
        (before,) = services.answers.conversations.mask_names(caller.readers, [before])
        conversation = before.conversation_id
        if not any(each.role == "user" for each in turns):
            turns = [*_build_call_turns(before), *turns]
        elif conversation is None:
            earlier = [
                TurnIn(role="user", content=before.question),
                TurnIn(role="assistant", content=before.body["text"]),
            ]
            turns = [*earlier, *turns]
    elif conversation is None and body.store and len(turns) == 1:
        conversation = NEW_CONVERSATION
    output = _build_output(body, turns)
    options = merge_search_tools(body.tools, body.leadline)
    return build_question(turns, model, options, conversation=conversation, output=output)


def _build_call_turns(before: StoredAnswer) -> list[TurnIn]:
    """Return the question of an earlier response and its call of a function, to which the client sends the result."""
    asked, output = TurnIn(role="user", content=before.question), before.body.get("output")
    if not output or output["kind"] != OutputKind.CALL:
        return [asked]
    call_id = build_call_id(before.id)
    return [
        asked,
        TurnIn(type="function_call", call_id=call_id, name=output["tool"], arguments=output["text"]),
    ]


def _build_output(body: ResponseIn, turns: list[TurnIn]) -> OutputIn | None:
    """Return the requested form of the answer. Raises `BadRequestError` if a background response cannot have it."""
    tools = [each.model_dump(exclude_none=True) for each in body.tools]
    instructions = body.instructions if isinstance(body.instructions, str) else ""
    output = build_output(turns, tools, body.tool_choice, body.text.format if body.text else None, instructions)
    if output is not None and body.background:
        raise BadRequestError(
            "Background responses are text: they support neither a schema nor functions.",
            hint="Omit `background`, or omit the format and the functions.",
            field_path="background",
        )
    return output


@contextmanager
def _translate_not_found_errors(response_id: str) -> Iterator[None]:
    """Convert errors about a missing answer or run to `ResponseNotFoundError`."""
    try:
        yield
    except (AnswerNotFoundError, RunNotFoundError) as error:
        raise ResponseNotFoundError(f"Response {response_id!r} not found.") from error


def _load_response(
    request: Request, services: Services, caller: Principal, response_id: str, result_limit: int | None
) -> dict[str, Any]:
    identifier, with_search = parse_response_id(response_id)
    how = _build_view(request, services, caller, with_search, result_limit)
    try:
        kept = services.answers.conversations.load_answer(caller.tenant_id, identifier, caller.visible_owner)
    except AnswerNotFoundError:
        with _translate_not_found_errors(response_id):
            run = services.answers.runs.load_run(caller.tenant_id, identifier, caller.visible_owner)
        return _build_run_response(services, caller, response_id, run, how)
    return _build_answer_response(
        response_id, build_visible_answer(services, caller, kept), how, kept.created_at, kept.created_at
    )


def _build_run_response(
    services: Services, caller: Principal, response_id: str, run: Run, view: ResponseView
) -> dict[str, Any]:
    run = services.answers.runs.mask_names(run, caller.readers)
    if run.answer is not None:
        deleted = services.answers.conversations.list_withheld_documents(
            extract_cited_document_ids(run.answer), caller.readers
        )
        answer = AnswerOut.from_body(
            run.answer, identifier=run.id, conversation=run.conversation_id, deleted_documents=deleted
        )
        return _build_answer_response(response_id, answer, view, run.created_at, run.ended_at)
    if run.state in _ANSWERED:
        raise ResponseNotFoundError(f"Response {response_id!r} not found, because its answer was deleted.")
    status = _STATES.get(run.state, "failed")
    error = {"code": run.failure.code, "message": run.failure.detail} if run.failure else None
    return build_response_object(response_id, {"background": True}, status, created_at=run.created_at, error=error)


def _build_answer_response(
    response_id: str, answer: AnswerOut, view: ResponseView, created_at: float, completed_at: float | None
) -> dict[str, Any]:
    """Return a stored answer as a response. It lacks the request's fields, because these are not stored."""
    output = build_output_items(answer, parse_response_id(response_id)[0], view)
    return build_response_object(
        response_id,
        {},
        get_response_status(answer),
        output,
        created_at=created_at,
        completed_at=completed_at,
        answer=answer,
    )


def _build_view(
    request: Request, services: Services, caller: Principal, with_search: bool, result_limit: int | None
) -> ResponseView:
    """Return the settings for presenting answers to `caller`."""

    def load_files(answer: AnswerOut) -> CitedFiles:
        cited = {each.document_id for each in answer.citations if not each.deleted}
        return services.documents.files.load_document_files(caller.tenant_id, cited)

    return ResponseView(get_base_url(request, services), with_search, result_limit, load_files)
