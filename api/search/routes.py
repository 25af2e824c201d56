"""`/v1/search`: finds passages; a language model takes part only if a rewrite is asked for."""

from functools import partial

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool

from api.admission.access import AnswersAtOnce, Caller, HeldPlace, Served, build_missing_scope_error, get_account
from api.admission.services import Services
from api.answers.asking import require_collections
from api.search.schemas import SearchIn, SearchOut
from ingest.storage.accounts.records import Scope
from ingest.storage.quotas.records import Account
from retrieval.search.requests import Rewrite, SearchRequest
from retrieval.search.rewriting import RewritingSearcher

router = APIRouter(prefix="/v1/search", tags=["search"])


@router.post("")
async def search(body: SearchIn, caller: Caller, served: Served, threads: AnswersAtOnce, place: HeldPlace) -> SearchOut:
    """Find the best passages for a query by BM25, by the bi-encoder, or by both fused, with the text of each.

    A rewrite asks a language model: it needs the scope `ask` besides, and a place of those that wait for answers.
    """
    if body.rewrite is not None and Scope.ASK not in caller.scopes:
        raise build_missing_scope_error(Scope.ASK)
    request = body.to_request(caller)
    if body.collections:
        await run_in_threadpool(require_collections, served, caller, body.collections)
    if body.rewrite is None:
        return await run_in_threadpool(_search, served, body.query, request)
    # guard: rewrite-places
    place.release()
    return await threads.start(
        caller.tenant_id, partial(_search_rewritten, served, get_account(caller), request, body.rewrite)
    )


def _search(served: Services, query: str, request: SearchRequest) -> SearchOut:
    return SearchOut.from_result(query, served.asking.searcher.search(request))


def _search_rewritten(served: Services, account: Account, request: SearchRequest, how: Rewrite) -> SearchOut:
    rewriting = RewritingSearcher(
        served.asking.searcher, served.admission.meter.meter_rewriter(account, served.asking.rewriter)
    )
    return SearchOut.from_result(request.query, *rewriting.search(request, how))
