"""`/v1/vector_stores`: collections as vector stores for clients of OpenAI's protocol, and searches in them."""

import uuid
from dataclasses import replace
from functools import partial
from typing import Any

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool

from api.admission.access import (
    AnswersAtOnce,
    Caller,
    Granter,
    HeldSlot,
    ServicesDep,
    Writer,
    build_missing_scope_error,
    get_account,
)
from api.admission.services import Services
from api.collections.routes import require_manageable_collection
from api.http.problems import BadRequestError
from api.http.wire import to_sendable
from api.openai.stores.files import ObjectId, Order, PageLimit, build_list_page
from api.openai.stores.store_files import add_files, record_store_use, require_readable_store
from api.openai.stores.vector_stores import (
    RankingIn,
    StoreChangeIn,
    StoreFileIn,
    StoreIn,
    StoreSearchIn,
    build_store_object,
    convert_filters,
)
from api.openai.stores.words import StoreRoute
from ingest.storage.accounts.records import Principal, Scope
from ingest.storage.documents.collection_records import CollectionSettings
from ingest.storage.documents.filters import parse_conditions
from ingest.storage.documents.metadata import validate_metadata
from ingest.storage.queue.records import JobKind
from retrieval.search.requests import ExtraQuery, Mode, Rewrite, SearchRequest
from retrieval.search.rewriting import RewritingSearcher

router = APIRouter(prefix="/v1/vector_stores", tags=["openai"], route_class=StoreRoute)


@router.post("")
def create_vector_store(body: StoreIn, caller: Writer, services: ServicesDep) -> dict[str, Any]:
    """Create a vector store, which is a collection, and add files to it.

    The store's `name` becomes the collection's title. If a collection was created in another way, its name is the
    store's id. The store is open to the whole tenant until grants are added. With
    `expires_after`, the store is deleted with its documents once it has not been used for so many days: no file was
    added, no search used it, and no response named it.
    """
    metadata = validate_metadata(body.metadata or {})
    # Check all files first, so that nothing is created if a file is missing.
    files = [services.documents.files.load_file(caller, each) for each in body.file_ids]
    settings = CollectionSettings(body.name or None, body.description or None, None, metadata)
    if body.expires_after is not None:
        settings = replace(settings, expires_days=body.expires_after.days)
    made = services.documents.collections.create(caller.tenant_id, f"vs_{uuid.uuid4().hex}", settings)
    add_files(services, caller, made.name, [StoreFileIn(file_id=each.id) for each in files])
    return build_store_object(
        services.documents.collections.load_collection(caller.tenant_id, made.name, readers=caller.readers)
    )


@router.get("")
def list_vector_stores(
    caller: Caller,
    services: ServicesDep,
    limit: PageLimit = 20,
    order: Order = "desc",
    after: ObjectId = None,
    before: ObjectId = None,
) -> dict[str, Any]:
    """List the collections that you may use as vector stores, newest first. Paginated."""
    age = "newest" if order == "desc" else "oldest"
    found = services.documents.collections.list_collections(
        caller.tenant_id,
        order=age,  # type: ignore[arg-type]
        after=after,
        before=before,
        limit=limit + 1,
        readers=caller.readers,
    )
    has_more = len(found) > limit
    page = found[-limit:] if before is not None else found[:limit]
    return build_list_page([build_store_object(each) for each in page], has_more=has_more)


@router.get("/{vector_store_id}")
def get_vector_store(vector_store_id: str, caller: Caller, services: ServicesDep) -> dict[str, Any]:
    """Show a vector store and its number of files in each status."""
    return build_store_object(require_readable_store(services, caller, vector_store_id))


@router.post("/{vector_store_id}")
def change_vector_store(
    vector_store_id: str, body: StoreChangeIn, caller: Granter, services: ServicesDep
) -> dict[str, Any]:
    """Change a vector store's name or metadata, as `PATCH /v1/collections/{name}` does. Its id does not change."""
    known = require_manageable_collection(services, caller, vector_store_id).settings
    title = (body.name or None) if "name" in body.model_fields_set else known.title
    metadata = validate_metadata(body.metadata or {}) if "metadata" in body.model_fields_set else known.metadata
    days = known.expires_days
    if "expires_after" in body.model_fields_set:
        days = None if body.expires_after is None else body.expires_after.days
    changed = replace(known, title=title, metadata=metadata, expires_days=days)
    services.documents.collections.change(caller.tenant_id, vector_store_id, changed, None)
    services.documents.collections.record_use(caller.tenant_id, [vector_store_id])
    return get_vector_store(vector_store_id, caller, services)


@router.delete("/{vector_store_id}")
def delete_vector_store(vector_store_id: str, caller: Granter, services: ServicesDep) -> dict[str, Any]:
    """Delete a vector store. Once this returns, searches do not find its documents.

    Files sent to `/v1/files` remain. Documents that were uploaded in other ways are deleted.
    """
    require_manageable_collection(services, caller, vector_store_id)
    deletion = services.documents.collections.delete(
        caller.tenant_id, vector_store_id, owner=caller.owner, readers=caller.readers
    )
    services.work.doorbell.notify(JobKind.COLLECT)
    receipt = {"receipt": deletion.id, "documents": deletion.documents}
    return {"id": vector_store_id, "object": "vector_store.deleted", "deleted": True, "leadline": receipt}


@router.post("/{vector_store_id}/search")
async def search_vector_store(
    vector_store_id: str,
    body: StoreSearchIn,
    caller: Caller,
    services: ServicesDep,
    threads: AnswersAtOnce,
    slot: HeldSlot,
) -> dict[str, Any]:
    """Find the best passages of a vector store for one query, or for several queries whose rankings are fused.

    Scores are relative: the best result has the score 1, and `score_threshold` refers to that scale. With
    `rewrite_query`, the language model writes further queries, which requires the `ask` scope. The `leadline` field of
    a result gives its position in the document.
    """
    await run_in_threadpool(require_readable_store, services, caller, vector_store_id)
    await run_in_threadpool(record_store_use, services, caller, [vector_store_id])
    request = _build_search_request(body, caller, vector_store_id)
    if not body.rewrite_query:
        return await run_in_threadpool(_run_search, services, body, request, rewrite=None, caller=caller)
    if Scope.ASK not in caller.scopes:
        raise build_missing_scope_error(Scope.ASK)
    slot.release()
    rewritten = partial(_run_search, services, body, request, rewrite=Rewrite.MULTI_QUERY, caller=caller)
    return await threads.start_answer(caller.tenant_id, rewritten)


def _build_search_request(body: StoreSearchIn, caller: Principal, store_id: str) -> SearchRequest:
    """Build the search request. Raises `BadRequestError` or `FilterError` if the body is not valid."""
    filters = convert_filters(body.filters) if body.filters else {}
    parse_conditions(filters)
    ranking, (first, *others) = body.ranking_options or RankingIn(), body.queries
    mode = _select_search_mode(ranking)
    return SearchRequest(
        caller.tenant_id,
        first,
        mode=mode,
        top_k=body.max_num_results,
        collections=(store_id,),
        filters=filters,
        rerank=False if ranking.ranker == "none" else None,
        also=tuple(ExtraQuery(each, mode) for each in others),
        readers=caller.readers,
    )


def _select_search_mode(ranking: RankingIn) -> Mode:
    weights = ranking.hybrid_search
    if weights is None:
        return Mode.HYBRID
    if not weights.text_weight and weights.embedding_weight:
        return Mode.DENSE
    if not weights.embedding_weight and weights.text_weight:
        return Mode.BM25
    raise BadRequestError(
        "The weights of keyword and embedding search cannot be changed.",
        hint="Omit `hybrid_search`, or set one of its weights to 0 to use only the other search.",
    )


def _run_search(
    services: Services, body: StoreSearchIn, request: SearchRequest, *, rewrite: Rewrite | None, caller: Principal
) -> dict[str, Any]:
    queries = [request.query, *(each.query for each in request.also)]
    if rewrite is None:
        result = services.asking.searcher.search(request)
    else:
        rewriter = services.admission.meter.wrap_rewriter(get_account(caller), services.asking.rewriter)
        result, rewritten = RewritingSearcher(services.asking.searcher, rewriter).search(request, rewrite)
        queries += [each.query for each in rewritten.queries]
    files = services.documents.files.load_document_files(
        caller.tenant_id, {hit.passage.document_id for hit in result.hits}
    )
    best = max((hit.passage.score for hit in result.hits), default=0.0)
    threshold = (body.ranking_options and body.ranking_options.score_threshold) or 0.0
    data: list[dict[str, Any]] = []
    for hit in result.hits:
        passage, file = hit.passage, files.get(hit.passage.document_id)
        score = round(max(0.0, passage.score) / best, 6) if best > 0 else 0.0
        if file is None or score < threshold:  # The document was just deleted, or the score is too low.
            continue
        data.append(
            {
                "file_id": file.id,
                "filename": file.name,
                "score": score,
                "attributes": dict(file.attributes),
                "content": [{"type": "text", "text": passage.text}],
                "leadline": {
                    "document_id": passage.document_id,
                    "version_id": passage.version_id,
                    "start": passage.start,
                    "end": passage.end,
                    "page": passage.page,
                    "place": passage.place,
                },
            }
        )
    page = {"object": "vector_store.search_results.page", "search_query": queries, "data": data}
    return dict(to_sendable({**page, "has_more": False, "next_page": None}))
