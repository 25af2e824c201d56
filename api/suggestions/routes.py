"""`/v1/suggestions`: questions that somebody may ask, before the first one or after an answer."""

from functools import partial

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool

from api.admission.access import Asker, HeldSlot, ServicesDep, SuggestionsAtOnce
from api.suggestions.schemas import SuggestionsIn, SuggestionsOut
from api.suggestions.suggesting import build_suggestion_request, start_suggestion, suggest_questions

router = APIRouter(prefix="/v1/suggestions", tags=["answers"])


@router.post("")
async def create_suggestions(
    body: SuggestionsIn, caller: Asker, services: ServicesDep, threads: SuggestionsAtOnce, slot: HeldSlot
) -> SuggestionsOut:
    """Suggest questions about your documents, or questions that lead on from an answer.

    This takes one call to the language model, unless nothing has changed since the last time. It counts against your
    quotas. If there is nothing to suggest, the list is empty: without a capable model, if the model is busy or fails,
    and if an answer cites nothing, or a document that was deleted or that you cannot read.
    """
    request = await run_in_threadpool(build_suggestion_request, services, caller, body)
    if request is None:
        return SuggestionsOut(questions=[])
    slot.release()  # The call to the model may take seconds.
    suggest = partial(suggest_questions, services, caller, request)
    return SuggestionsOut(questions=await start_suggestion(threads, caller.tenant_id, suggest))
