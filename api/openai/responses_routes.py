"""`/v1/responses`: answers for clients of OpenAI's Responses protocol."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.concurrency import run_in_threadpool

from api.admission.access import AnswersAtOnce, Asker, Caller, HeldSlot, ServicesDep, Streams
from api.admission.current_caller import Follower
from api.admission.idempotency import get_claimed_request
from api.admission.services import Services
from api.answers.answer_work import AnswerWork, start_run
from api.answers.asking import CallerQuestion, require_collections
from api.answers.detached import Detached
from api.answers.output_schemas import OutputIn
from api.answers.schemas import QuestionIn
from api.http import sse
from api.http.problems import CLIENT_CLOSED_REQUEST, BadRequestError
from api.openai.asked import TurnIn, build_question
from api.openai.background import BackgroundStream
from api.openai.call_turns import has_question, load_call_turns, load_last_call_turns
from api.openai.conversation_ids import name_missing_conversation
from api.openai.described import ResponseOut, describe_reply
from api.openai.formats import RESPONSES_FIELDS, build_output
from api.openai.items import build_added_item, build_item, start_conversation
from api.openai.limits import limit_text
from api.openai.models import parse_model
from api.openai.response_events import ResponseEventFormatter
from api.openai.response_following import FollowedResponse, stream_response
from api.openai.response_states import build_view, load_response_state, translate_not_found_errors
from api.openai.responses import (
    MAX_RESULTS,
    RESULTS,
    ResponseIn,
    build_output_items,
    build_response_id,
    build_response_object,
    get_response_status,
    get_result_limit,
    merge_search_tools,
    parse_response_id,
)
from api.openai.stores.files import ObjectId, Order, PageLimit, slice_list
from api.openai.stores.store_files import record_store_use
from api.openai.stores.words import rename_missing_stores
from ingest.storage.accounts.records import Principal
from ingest.storage.answers.records import NEW_CONVERSATION
from ingest.storage.errors import RunNotFoundError
from rlm.llm.profiles import estimate_tokens

router = APIRouter(prefix="/v1/responses", tags=["openai"])

ResponseId = Annotated[str, Path(max_length=200)]
Include = Annotated[list[str] | None, Query(max_length=20, alias="include[]")]


@router.post("", responses=describe_reply(ResponseOut, has_stream=True))
async def create_response(
    body: ResponseIn,
    request: Request,
    caller: Asker,
    services: ServicesDep,
    threads: AnswersAtOnce,
    slot: HeldSlot,
    detached: Detached,
    streams: Streams,
) -> Response:
    """Answer a question from the documents, as an OpenAI response.

    `model` is one of the models in `GET /v1/models`. The `vector_store_ids` of a `file_search` tool are collections.
    `output` contains the message, whose `annotations` say what each marker such as `[1]` cites. If you send that tool,
    the search comes before the message (`file_search_call`; use `include` to get the passages that were read). With
    `text.format` or functions in `tools`, the checked answer is then put into that form, or calls a function.
    `previous_response_id` continues a conversation, and so does `conversation`. If `store` is false, the response
    cannot be retrieved later. With `background`, the answer is completed even if this connection is closed; retrieve it
    with `GET /v1/responses/{id}`. With `background` and `stream`, an interrupted stream is resumed with `GET
    /v1/responses/{id}?stream=true&starting_after=…`. `max_output_tokens` limits the text of the message; if it is
    reached, the `status` is `incomplete`. The `leadline` field contains the whole answer with its checked sentences.
    """
    _reject_conflicting_fields(body)
    question = await run_in_threadpool(_build_question, services, caller, body)
    claim = get_claimed_request(request)
    with rename_missing_stores("tools" if body.with_search else None):
        await run_in_threadpool(require_collections, services, caller, question.collections, claim)
    if body.with_search:
        await run_in_threadpool(record_store_use, services, caller, question.collections)
    build_asking = partial(CallerQuestion, services, caller, question, claim, is_stored=body.store)
    with name_missing_conversation(body.sent_conversation_id, "conversation"):
        asking = await run_in_threadpool(partial(build_asking, asked=body.repeated))
    named = partial(build_response_id, with_search=body.with_search)
    if body.background and not body.stream:
        key = claim.id if claim else None
        run = await run_in_threadpool(start_run, services, caller, question, asking, key, body.repeated)
        return JSONResponse(build_response_object(named(run.id), body, "queued", created_at=run.created_at))
    identifier = asking.request.used.answer_id
    if body.background:
        await slot.move_to(streams)
        followed = FollowedResponse(request, services, caller, named(identifier), result_limit=get_result_limit(body))
        return await BackgroundStream(detached, followed, question, asking, body.repeated).start(claim)
    slot.release()  # The answer runs in its own thread, so it needs no slot for requests.
    view = build_view(request, services, caller, with_search=body.with_search, result_limit=get_result_limit(body))
    work = AnswerWork(request, services, caller, threads, asking)
    if body.stream:
        with_form = question.output is not None
        writer = ResponseEventFormatter(asking.save_answer, identifier, body, view, with_form=with_form)
        return await work.stream_events(writer)
    answer = await work.wait_for_answer()
    if answer is None:
        return Response(status_code=CLIENT_CLOSED_REQUEST)
    shown = limit_text(answer, body.max_output_tokens)
    output = await run_in_threadpool(build_output_items, shown, identifier, view)
    return JSONResponse(
        build_response_object(named(identifier), body, get_response_status(shown), output, answer=answer)
    )


@router.post("/input_tokens")
def count_input_tokens(body: ResponseIn, caller: Asker, services: ServicesDep) -> dict[str, Any]:
    """Estimate the number of tokens in the messages of a request and of the conversation that it continues.

    The passages that models read come on top: see `POST /v1/answers/estimate`. No model is called.
    """
    question = _build_question(services, caller, body.model_copy(update={"background": False}))
    with name_missing_conversation(body.sent_conversation_id, "conversation"):
        asked = CallerQuestion(services, caller, question).request
    texts = [asked.question, *(each.text for each in asked.history)]
    return {"object": "response.input_tokens", "input_tokens": sum(map(estimate_tokens, texts))}


@router.get("/{response_id}", response_model=None, responses=describe_reply(ResponseOut, has_stream=True))
async def get_response(
    response_id: ResponseId,
    request: Request,
    caller: Caller,
    current: Follower,
    services: ServicesDep,
    slot: HeldSlot,
    streams: Streams,
    include: Include = None,
    stream: bool = False,
    starting_after: Annotated[int, Query(ge=-1, le=2**53)] = -1,
) -> Response:
    """Show a response: a finished one, or the progress of one in the background.

    `include[]` adds the results of the search (`file_search_call.results`), as in the request. `stream` returns the
    events of the response, also while it is in progress. With `starting_after`, only events with a greater
    `sequence_number` are sent.
    """
    limit = MAX_RESULTS if RESULTS in (include or ()) else None
    state = await run_in_threadpool(load_response_state, services, caller, response_id)
    if not stream:
        view = build_view(request, services, caller, with_search=parse_response_id(response_id)[1], result_limit=limit)
        return JSONResponse(await run_in_threadpool(state.build_object, response_id, view))
    await slot.move_to(streams)
    followed = FollowedResponse(request, services, caller, response_id, starting_after, limit)
    return StreamingResponse(stream_response(followed, current, state), media_type=sse.MEDIA_TYPE)


@router.get("/{response_id}/input_items")
def list_input_items(
    response_id: ResponseId,
    caller: Caller,
    services: ServicesDep,
    limit: PageLimit = 20,
    order: Order = "desc",
    after: ObjectId = None,
) -> dict[str, Any]:
    """List the messages of a response's request, the last one first. Paginated."""
    state = load_response_state(services, caller, response_id)
    return slice_list(_build_input_items(parse_response_id(response_id)[0], state.input), order, after, limit)


@router.post("/{response_id}/cancel", response_model=None, responses=describe_reply(ResponseOut))
def cancel_response(
    response_id: ResponseId, request: Request, caller: Asker, services: ServicesDep, detached: Detached
) -> dict[str, Any]:
    """Stop the work on a response in the background. A response that is already finished does not change."""
    identifier, with_search = parse_response_id(response_id)
    # If there is no run to cancel, the response was generated without a run or does not exist. Loading the response
    # shows which case applies.
    with suppress(RunNotFoundError):
        services.answers.runs.cancel(caller.tenant_id, identifier, caller.visible_owner)
    if services.answers.pending.find(caller.tenant_id, identifier, caller.visible_owner) is not None:
        services.answers.pending.cancel(caller.tenant_id, identifier, caller.visible_owner)
        detached.stop(identifier)
    view = build_view(request, services, caller, with_search=with_search, result_limit=None)
    return load_response_state(services, caller, response_id).build_object(response_id, view)


@router.delete("/{response_id}")
def delete_response(response_id: ResponseId, caller: Asker, services: ServicesDep) -> dict[str, Any]:
    """Delete a response. Its conversation remains, without this response.

    If the response was generated in the background, its run is stopped and deleted with its log.
    """
    identifier = parse_response_id(response_id)[0]
    ids = caller.tenant_id, identifier, caller.visible_owner
    if not services.answers.pending.delete(*ids):
        with translate_not_found_errors(response_id):
            try:
                services.answers.runs.cancel(*ids)
            except RunNotFoundError:  # The response was generated without a run.
                services.answers.conversations.delete_answer(*ids)
            else:
                services.answers.runs.delete(*ids)
    return {"id": response_id, "object": "response.deleted", "deleted": True}


def _reject_conflicting_fields(body: ResponseIn) -> None:
    """Raise `BadRequestError` if the request contains fields that cannot be combined."""
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
        with translate_not_found_errors(body.previous_response_id):
            before = services.answers.conversations.load_answer(
                caller.tenant_id, parse_response_id(body.previous_response_id)[0], caller.visible_owner
            )
        (before,) = services.answers.conversations.mask_names(caller.readers, [before])
        conversation = before.conversation_id
        if not has_question(turns):
            turns = [*load_call_turns(services, caller, before), *turns]
        elif conversation is None:
            earlier = [
                TurnIn(role="user", content=before.question),
                TurnIn(role="assistant", content=before.body["text"]),
            ]
            turns = [*earlier, *turns]
    elif conversation is not None and not has_question(turns):
        with name_missing_conversation(body.sent_conversation_id, "conversation"):
            turns = [*load_last_call_turns(services, caller, conversation), *turns]
    elif conversation is None and body.store and len(turns) == 1:
        conversation = NEW_CONVERSATION
    output = _build_output(body, turns)
    if conversation is None and body.background and body.stream:  # Such an answer needs a conversation.
        items = [build_added_item(each) for each in turns[:-1]]
        conversation = start_conversation(services, caller, None, items)
    options = merge_search_tools(body.tools, body.leadline)
    return build_question(turns, model, options, field="input", conversation=conversation, output=output)


def _build_output(body: ResponseIn, turns: list[TurnIn]) -> OutputIn | None:
    """Return the requested form of the answer. Raises `BadRequestError` if a background response cannot have it."""
    tools = [each.model_dump(exclude_none=True) for each in body.tools]
    instructions = body.instructions if isinstance(body.instructions, str) else ""
    text_format = body.text.format if body.text else None
    output = build_output(turns, tools, body.tool_choice, text_format, instructions, names=RESPONSES_FIELDS)
    if output is not None and body.background:
        raise BadRequestError(
            "Background responses are text: they support neither functions nor a schema, also not in the instructions.",
            hint="Omit `background` and wait for the response, or omit the schema and the functions.",
            field_path="background",
        )
    return output


def _build_input_items(identifier: str, messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the messages of a request as items, oldest first."""
    return [build_item(f"msg_{identifier}_{number}", message) for number, message in enumerate(messages, start=1)]
