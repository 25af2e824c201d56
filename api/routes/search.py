"""`/v1/search`: finds passages; a language model takes part only if a rewrite is asked for."""

from fastapi import APIRouter

from api.access import Caller, Served, missing_scope
from api.search_schemas import SearchIn, SearchOut
from ingest.identity import Scope

router = APIRouter(prefix="/v1/search", tags=["search"])


@router.post("")
def search(body: SearchIn, caller: Caller, served: Served) -> SearchOut:
    """Find the best passages for a query by BM25, by the bi-encoder, or by both fused, with the text of each.

    A rewrite asks a language model, and needs the scope `ask` besides.
    """
    if body.rewrite is not None and Scope.ASK not in caller.scopes:
        raise missing_scope(Scope.ASK)
    request = body.request(caller.tenant_id)
    if body.rewrite is None:
        return SearchOut.of(body.query, served.searcher.search(request))
    return SearchOut.of(body.query, *served.rewriting.search(request, body.rewrite))
