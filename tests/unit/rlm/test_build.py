"""The components of a request are bound to its scope, and see nothing else."""

from ingest.storage.tables.places import Location
from ingest.storage.tables.store import RecordTables
from ingest.storage.texts.texts import Texts
from retrieval.search.requests import SearchRequest
from retrieval.search.search import SearchResult
from rlm.build import OpenRequest, PipelineComponents
from rlm.errors import not_cancelled
from rlm.llm.scheduler import SubCallScheduler
from rlm.requests import AnswerRequest, AnswerScope
from rlm.runs.port import NOT_DURABLE
from tests.fakes.callable_chat import CallableChat
from tests.fakes.loaded_model import LoadedModel
from tests.fakes.memory_blobs import MemoryBlobs
from tests.fakes.memory_reply_cache import MemoryReplyCache
from tests.fakes.sql_here import sql_engine_here
from tests.support.answering import CAPABLE, Documents, by_stage


class _Requests:
    """A search that finds nothing and keeps the requests."""

    def __init__(self) -> None:
        self.asked: list[SearchRequest] = []

    def search(self, request: SearchRequest) -> SearchResult:
        self.asked.append(request)
        return SearchResult(())

    def locate(self, version_id: str, start: int, end: int) -> Location:
        raise NotImplementedError


def test_a_search_within_a_document_is_bound_to_the_rest_of_the_callers_scope() -> None:
    scope = AnswerScope("ann", collections=("c",), filters={"year": 2024}, readers=frozenset({"user:eve"}))
    blobs, searcher, scheduler = MemoryBlobs(), _Requests(), SubCallScheduler(MemoryReplyCache())
    parts = PipelineComponents(
        Documents(Texts(blobs), {}), Texts(blobs), RecordTables(blobs), sql_engine_here(), scheduler
    )
    model = LoadedModel(CallableChat(answer=by_stage()), CAPABLE).acquire()
    assert model is not None
    try:
        opened = OpenRequest(parts, searcher, model, AnswerRequest("Who?", scope), NOT_DURABLE, not_cancelled)
        search = opened.build_context("Who?", ()).search_document
        assert search is not None
        search("d7")("auditor", 9)
    finally:
        scheduler.close()
    (request,) = searcher.asked
    assert (request.tenant_id, request.query, request.top_k) == ("ann", "auditor", 9)
    assert (request.documents, request.collections, request.filters) == (("d7",), ("c",), {"year": 2024})
    assert request.readers == frozenset({"user:eve"})
    assert request.rerank is False, "a column needs a search of every document"
