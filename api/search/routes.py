"""`/v1/search`: finds passages. No language model is used unless a rewrite is requested."""

from functools import partial

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool

from api.admission.access import AnswersAtOnce, Caller, HeldSlot, ServicesDep, build_missing_scope_error, get_account
from api.admission.services import Services
from api.answers.asking import require_collections
from api.search.schemas import SearchIn, SearchOut
from ingest.storage.accounts.records import Scope
from ingest.storage.quotas.records import Account
from retrieval.search.requests import Rewrite, SearchRequest
from retrieval.search.rewriting import RewritingSearcher

router = APIRouter(prefix="/v1/search", tags=["search"])


@router.post("")
async def search_documents(
    body: SearchIn, caller: Caller, services: ServicesDep, threads: AnswersAtOnce, slot: HeldSlot
) -> SearchOut:
    """Find the best passages for a query with BM25, the bi-encoder, or both, whose rankings are then fused.

    `rewrite` calls a language model, so it also requires the `ask` scope and occupies a slot for answers.
    """
    if body.rewrite is not None and Scope.ASK not in caller.scopes:
        raise build_missing_scope_error(Scope.ASK)
    request = body.to_request(caller)
    if body.collections:
        await run_in_threadpool(require_collections, services, caller, body.collections)
    if body.rewrite is None:
        return await run_in_threadpool(_run_search, services, body.query, request)
    # guard: rewrite-places
    slot.release()
    return await threads.start_answer(
        caller.tenant_id, partial(_run_rewritten_search, services, get_account(caller), request, body.rewrite)
    )


def _run_search(services: Services, query: str, request: SearchRequest) -> SearchOut:
    return SearchOut.from_result(query, services.asking.searcher.search(request))


def _run_rewritten_search(services: Services, account: Account, request: SearchRequest, rewrite: Rewrite) -> SearchOut:
    rewriting = RewritingSearcher(
        services.asking.searcher, services.admission.meter.wrap_rewriter(account, services.asking.rewriter)
    )
    return SearchOut.from_result(request.query, *rewriting.search(request, rewrite))
