"""`/v1/search`: passages without a language model."""

from fastapi import APIRouter

from api.access import Caller, Served
from api.search_schemas import SearchIn, SearchOut

router = APIRouter(prefix="/v1/search", tags=["search"])


@router.post("")
def search(body: SearchIn, caller: Caller, served: Served) -> SearchOut:
    """The best passages for a query by BM25, by the bi-encoder, or by both fused, with the text of each."""
    return SearchOut.of(served.searcher.search(body.request(caller.tenant_id)))
