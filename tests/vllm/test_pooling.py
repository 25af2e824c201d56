"""Vectors and scores of a vLLM server, by the clients that searches use."""

import time
from collections.abc import Iterator

import numpy as np
import pytest

from retrieval.encoders.openai_embedder import OpenAIEmbedder
from retrieval.encoders.specs import parse_spec
from retrieval.rerank.http_reranker import HttpReranker
from tests.support.vllm_server import KEY, VllmServer

PASSAGES = ["The stock market fell on Monday.", "A white whale was seen off Japan.", "How to bake bread at home."]
QUESTION = "Where was the whale?"


@pytest.fixture
def encoder(pooling_server: VllmServer) -> Iterator[OpenAIEmbedder]:
    made = OpenAIEmbedder(parse_spec(f"{pooling_server.url} all-MiniLM-L6-v2"), api_key=KEY)
    yield made
    made.close()


def test_the_nearest_text_is_the_one_that_answers(encoder: OpenAIEmbedder) -> None:
    vectors = encoder.embed_documents(PASSAGES).vectors
    assert vectors.shape == (3, 384)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, rtol=1e-4)
    assert int(np.argmax(vectors @ encoder.embed_query(QUESTION))) == 1


def test_a_text_past_the_window_is_cut_and_not_refused(encoder: OpenAIEmbedder) -> None:
    long = "whale " * 2000
    vectors = encoder.embed_documents([long, PASSAGES[0]]).vectors
    assert np.isfinite(vectors).all()


@pytest.mark.parametrize("path", ["/v1/rerank", "/score"])
def test_passages_are_ranked_by_the_server(path: str, pooling_server: VllmServer) -> None:
    reranker = HttpReranker(f"{pooling_server.root}{path}", "all-MiniLM-L6-v2", api_key=KEY)
    try:
        scores = reranker.score_passages(QUESTION, PASSAGES, deadline=time.monotonic() + 60)
    finally:
        reranker.close()
    assert int(np.argmax(scores)) == 1
