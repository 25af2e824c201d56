"""`/v1/chat/completions` and `/v1/models`: answers for programs that speak OpenAI's protocol."""

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from api.admission.access import AnswersAtOnce, Asker, Caller, HeldPlace, Served
from api.admission.idempotency import get_claim
from api.answers.answer_work import AnswerWork
from api.answers.asking import CallerQuestion, require_collections
from api.http.problems import CLIENT_CLOSED_REQUEST
from api.openai.asked import build_question, refuse_form, refuse_tools
from api.openai.chat import ChatChunkWriter, ChatIn, build_completion
from api.openai.models import BASE, build_model_object, get_base_url, iter_model_names, parse_model

router = APIRouter(prefix="/v1", tags=["openai"])


@router.get("/models")
def models(caller: Caller, served: Served) -> dict[str, Any]:
    """List what can be asked as models: all documents, each strategy, and each collection that the caller may read."""
    return {"object": "list", "data": [build_model_object(name) for name in iter_model_names(served, caller)]}


@router.get("/models/{model}")
def model(model: str, caller: Caller, served: Served) -> dict[str, Any]:
    """Show a model. `404` for a name that is none."""
    return build_model_object(parse_model(served, caller, model).name)


@router.get(f"/models/{BASE}/{{collection}}")
def collection_model(collection: str, caller: Caller, served: Served) -> dict[str, Any]:
    """Show a collection as a model. `404` also for a collection that the caller may not read."""
    return build_model_object(parse_model(served, caller, f"{BASE}/{collection}").name)


@router.post("/chat/completions")
async def chat(
    body: ChatIn, request: Request, caller: Asker, served: Served, threads: AnswersAtOnce, place: HeldPlace
) -> Response:
    """Answer the last message of a conversation from the documents, as OpenAI's chat completions.

    `model` is one of `GET /v1/models`. The messages before the last are the conversation; instructions of the client
    (`system`, `developer`) and its tools are not followed. The text has markers `[1]`, and `annotations` say where each
    of them leads. What would be an image, a link or HTML when rendered is written with full-width characters. The whole
    answer, with its checked sentences, is the member `leadline`.
    """
    refuse_tools(body.tools, body.tool_choice)
    refuse_form(body.response_format)
    selected = await run_in_threadpool(parse_model, served, caller, body.model)
    question = build_question(body.messages, selected, body.leadline)
    claim = get_claim(request)
    await run_in_threadpool(require_collections, served, caller, question.collections, claim)
    asking = await run_in_threadpool(CallerQuestion, served, caller, question, claim)
    place.release()  # an answer has a thread of its own
    work, url = AnswerWork(request, served, caller, threads, asking), get_base_url(request, served)
    if body.stream:
        identifier = asking.request.used.work.id
        with_usage = body.stream_options is not None and body.stream_options.include_usage
        writer = ChatChunkWriter(asking.save_answer, identifier, body.model, url, with_usage=with_usage)
        return await work.stream(writer)
    answer = await work.wait_for_answer()
    if answer is None:
        return Response(status_code=CLIENT_CLOSED_REQUEST)
    return JSONResponse(build_completion(answer, body.model, url))
