import threading
import time
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from retrieval.encoders.port import DenseVector, HashingEmbedder
from retrieval.errors import EncoderError, RerankerError, RerankerTimeoutError
from retrieval.rerank.late_interaction import LateInteractionReranker, compute_maxsim


class Words:
    """A vector for each word, whatever stands around it."""

    fingerprint = "words"

    def __init__(self, before: Callable[[], None] = lambda: None) -> None:
        self._embedder = HashingEmbedder(256)
        self._before = before

    def encode_texts(self, texts: Sequence[str]) -> list[DenseVector]:
        self._before()
        return [np.stack([self._embedder.embed_query(word) for word in text.split()]) for text in texts]

    def encode_query(self, text: str) -> tuple[DenseVector, DenseVector]:
        (rows,) = self.encode_texts([text])
        return rows, np.array([0.1 if word == "the" else 1 for word in text.split()], np.float32)

    def close(self) -> None:
        return None


def soon() -> float:
    return time.monotonic() + 120


def test_each_token_of_the_query_counts_with_its_most_similar_token() -> None:
    query = np.array([[1, 0], [0, 1]], np.float32)
    passage = np.array([[0.6, 0.8], [1, 0], [-1, 0]], np.float32)
    assert compute_maxsim(query, passage, np.ones(2, np.float32)) == pytest.approx((1.0 + 0.8) / 2)


def test_a_token_counts_as_much_as_it_weighs_and_all_alike_where_none_weighs() -> None:
    query = np.array([[1, 0], [0, 1]], np.float32)
    passage = np.array([[0.6, 0.8]], np.float32)
    assert compute_maxsim(query, passage, np.array([3, 1], np.float32)) == pytest.approx((3 * 0.6 + 0.8) / 4)
    assert compute_maxsim(query, passage, np.zeros(2, np.float32)) == pytest.approx((0.6 + 0.8) / 2)


def test_a_passage_with_the_querys_rare_word_comes_before_one_with_its_common_word() -> None:
    common, rare = LateInteractionReranker(Words()).score_passages(
        "the whale", ["the cake", "a whale"], deadline=soon()
    )
    assert common < rare


def test_passages_with_more_of_the_querys_words_score_higher_however_long_they_are() -> None:
    passages = ["cake " * 30, "white paint", "ships and whales and the white whale among them", "white whale"]
    cake, paint, among, alone = LateInteractionReranker(Words()).score_passages(
        "white whale", passages, deadline=soon()
    )
    assert cake < paint < among == pytest.approx(alone)


def test_a_failure_of_the_encoder_is_one_of_the_reranker() -> None:
    def fail() -> None:
        raise EncoderError("The encoder failed: out of memory")

    with pytest.raises(RerankerError, match="out of memory") as caught:
        LateInteractionReranker(Words(fail)).score_passages("x", ["y"], deadline=soon())
    assert caught.value.hint


def test_a_search_that_cannot_have_its_turn_in_time_gives_up() -> None:
    under_way, over = threading.Event(), threading.Event()

    def wait() -> None:
        under_way.set()
        over.wait(120)

    reranker = LateInteractionReranker(Words(wait))
    first = threading.Thread(target=reranker.score_passages, args=("x", ["y"]), kwargs={"deadline": soon()})
    first.start()
    assert under_way.wait(120)
    with pytest.raises(RerankerTimeoutError, match="busy"):
        reranker.score_passages("x", ["y"], deadline=time.monotonic() + 0.05)
    over.set()
    first.join()
