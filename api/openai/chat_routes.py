"""`/v1/chat/completions` and `/v1/models`: answers for clients of OpenAI's chat protocol."""

from functools import partial
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from api.admission.access import AnswersAtOnce, Asker, Caller, HeldSlot, ServicesDep, SuggestionsAtOnce
from api.admission.idempotency import get_claimed_request
from api.answers.answer_work import AnswerWork
from api.answers.asking import CallerQuestion, require_collections
from api.http.problems import CLIENT_CLOSED_REQUEST, BadRequestError
from api.openai.asked import build_question
from api.openai.chat import ChatChunkFormatter, ChatIn, build_completion
from api.openai.described import ChatCompletionOut, describe_reply
from api.openai.formats import CHAT_FIELDS, build_output
from api.openai.front_ends import build_label_completion, find_label_task, separate_attached_text
from api.openai.models import BASE, build_model_object, get_base_url, iter_model_objects, parse_model
from api.suggestions.suggesting import label_conversation, start_suggestion

router = APIRouter(prefix="/v1", tags=["openai"])


@router.get("/models")
def list_models(caller: Caller, services: ServicesDep) -> dict[str, Any]:
    """List the names to use as `model`: one for all documents, one for each strategy, and one for each collection.

    Only collections that you may read are listed.
    """
    return {"object": "list", "data": list(iter_model_objects(services, caller))}


@router.get("/models/{model}")
def get_model(model: str, caller: Caller, services: ServicesDep) -> dict[str, Any]:
    """Show a model. `404` if it does not exist."""
    return build_model_object(services, caller, parse_model(services, caller, model))


@router.get(f"/models/{BASE}/{{collection}}")
def get_collection_model(collection: str, caller: Caller, services: ServicesDep) -> dict[str, Any]:
    """Show a collection as a model. `404` if it does not exist or you cannot read it."""
    return build_model_object(services, caller, parse_model(services, caller, f"{BASE}/{collection}"))


@router.post("/chat/completions", responses=describe_reply(ChatCompletionOut, has_stream=True))
async def create_chat_completion(
    body: ChatIn,
    request: Request,
    caller: Asker,
    services: ServicesDep,
    threads: AnswersAtOnce,
    suggestion_threads: SuggestionsAtOnce,
    slot: HeldSlot,
) -> Response:
    """Answer the last message of a conversation from the documents, as an OpenAI chat completion.

    `model` is one of the models in `GET /v1/models`. Earlier messages are the conversation's history. The client's
    instructions (`system`, `developer`) do not change how the answer is written. With `response_format` or `tools`, the
    checked answer is then put into that form, or calls a function. `max_completion_tokens` limits the text; if text is
    missing, the `finish_reason` is `length`. JSON is never cut. The text contains markers such as `[1]`, and
    `annotations` say what each marker cites. Anything that would render as an image, link or HTML is written with
    full-width characters. The `leadline` field contains the whole answer with its checked sentences.

    If a chat program asks for a title, tags, next messages or queries of a conversation in `<chat_history>`, the reply
    takes one call to the language model and no search. It is not stored, and has no `usage` or `leadline`.
    """
    _reject_legacy_functions(body)
    output = build_output(body.messages, body.tools, body.tool_choice, body.response_format, names=CHAT_FIELDS)
    selected = await run_in_threadpool(parse_model, services, caller, body.model)
    task = None if body.stream or output is not None else find_label_task(body.messages)
    if task is not None:
        label = partial(label_conversation, services, caller, task.label, task.conversation)
        slot.release()  # The call to the model may take seconds.
        found = await start_suggestion(suggestion_threads, caller.tenant_id, label)
        return JSONResponse(build_label_completion(task, found, body.model))
    messages = separate_attached_text(body.messages)
    question = build_question(messages, selected, body.leadline, field="messages", output=output)
    claim = get_claimed_request(request)
    await run_in_threadpool(require_collections, services, caller, question.collections, claim)
    asking = await run_in_threadpool(CallerQuestion, services, caller, question, claim)
    slot.release()  # The answer runs in its own thread, so it needs no slot for requests.
    work, url = AnswerWork(request, services, caller, threads, asking), get_base_url(request, services)
    if body.stream:
        identifier = asking.request.used.answer_id
        with_usage = body.stream_options is not None and body.stream_options.include_usage
        with_form = output is not None
        writer = ChatChunkFormatter(
            asking.save_answer,
            identifier,
            body.model,
            url,
            with_usage=with_usage,
            with_form=with_form,
            max_tokens=body.token_limit,
        )
        return await work.stream_events(writer)
    answer = await work.wait_for_answer()
    if answer is None:
        return Response(status_code=CLIENT_CLOSED_REQUEST)
    return JSONResponse(build_completion(answer, body.model, url, body.token_limit))


def _reject_legacy_functions(body: ChatIn) -> None:
    """Raise `BadRequestError` for functions in the members that `tools` and `tool_choice` replaced."""
    # guard: functions-never-ignored
    if body.functions or body.function_call not in (None, "auto", "none"):
        name = "functions" if body.functions else "function_call"
        raise BadRequestError(
            f"`{name}` is not supported.",
            hint="Send the functions in `tools`, and the choice in `tool_choice`.",
            field_path=name,
        )
