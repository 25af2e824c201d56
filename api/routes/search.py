"""`/v1/search`: passages without a language model."""

from fastapi import APIRouter

from api.access import Caller, Served
from api.schemas import SearchIn, SearchOut
from retrieval.search import SearchRequest

router = APIRouter(prefix="/v1/search", tags=["search"])


@router.post("")
def search(body: SearchIn, caller: Caller, served: Served) -> SearchOut:
    """The best passages for a query by BM25, by the bi-encoder, or by both fused, with the text of each."""
    result = served.searcher.search(
        SearchRequest(
            tenant_id=caller.tenant_id,
            query=body.query,
            mode=body.mode,
            top_k=body.top_k,
            per_document=body.per_document,
            collections=tuple(body.collections),
            documents=tuple(body.documents),
        )
    )
    return SearchOut.of(result)
