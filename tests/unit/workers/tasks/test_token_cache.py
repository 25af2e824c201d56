"""Token vectors over a real catalog: what is deleted or replaced is kept no longer than the next search."""

import pytest

from retrieval.rerank.late_interaction import LateInteractionReranker
from retrieval.rerank.token_cache import TokenCache
from retrieval.search.requests import SearchRequest
from retrieval.search.reranking import Reranking
from retrieval.search.search import Searcher
from tests.support.worker_fixture import WorkerFixture
from tests.unit.retrieval.rerank.test_token_cache import Counting

ASKED = SearchRequest("ann", "white", rerank=True)


@pytest.mark.parametrize("change", ["deleted", "replaced"])
def test_nothing_of_a_document_that_has_gone_is_kept_or_read(worker: WorkerFixture, change: str) -> None:
    cache, encoder = TokenCache(), Counting()
    reranking = Reranking(LateInteractionReranker(encoder, cache))
    searcher = Searcher(worker.generations, worker.catalog, worker.texts, reranking)
    gone = worker.upload("a white whale among many white ships")
    worker.upload("white paint", "b.md")
    worker.work_off()
    assert len(searcher.search(ASKED).hits) == 2
    both = cache.size_bytes
    assert any("whale" in text for text in encoder.encoded)
    encoder.encoded.clear()
    if change == "deleted":
        worker.deleter.delete_document("ann", gone.id)
    else:
        worker.replace(gone, "white")
        worker.work_off()
    searcher.search(ASKED)
    reranking.close()
    assert not any("whale" in text for text in encoder.encoded)
    assert 0 < cache.size_bytes < both
