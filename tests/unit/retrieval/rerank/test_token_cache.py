"""The cache of token vectors: under what they are kept, how many, and for how long."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from retrieval.encoders.port import DenseVector
from retrieval.rerank.late_interaction import LateInteractionReranker
from retrieval.rerank.port import CorpusSnapshot
from retrieval.rerank.token_cache import TokenCache
from tests.unit.retrieval.rerank.test_late_interaction import Words, soon

ANN = CorpusSnapshot("ann", version=3, generation=1)
ROWS = 4
VECTORS = np.eye(ROWS, 384, dtype=np.float32)
TEXTS = ["the white whale", "white paint"]


def kept(cache: TokenCache, corpus: CorpusSnapshot, *texts: str) -> list[bool]:
    return [found is not None for found in cache.find_vectors(corpus, texts)]


def holding(*texts: str, corpus: CorpusSnapshot = ANN, max_bytes: int = 10**6) -> TokenCache:
    cache = TokenCache(max_bytes)
    cache.find_vectors(corpus, texts)
    for text in texts:
        cache.store_vectors(corpus, text, VECTORS)
    return cache


def test_a_text_has_its_vectors_again_and_another_text_none() -> None:
    cache = holding("the white whale")
    found, other = cache.find_vectors(ANN, ["the white whale", "the white whales"])
    assert found is not None
    np.testing.assert_array_equal(found, VECTORS)
    assert other is None


def test_vectors_in_half_precision_score_as_those_they_were_made_of() -> None:
    rows = np.random.default_rng(0).standard_normal((200, 384), dtype=np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    cache = TokenCache()
    cache.find_vectors(ANN, ["x"])
    cache.store_vectors(ANN, "x", rows)
    (found,) = cache.find_vectors(ANN, ["x"])
    assert found is not None
    assert found.dtype == np.float32
    assert np.abs((found * rows).sum(axis=1) - 1).max() < 1e-3


def test_another_tenant_finds_nothing_of_the_same_text() -> None:
    assert kept(holding("the white whale"), replace(ANN, tenant_id="bob"), "the white whale") == [False]


@pytest.mark.parametrize("later", [replace(ANN, version=4), replace(ANN, generation=2)])
def test_everything_goes_once_the_corpus_or_the_generation_is_another(later: CorpusSnapshot) -> None:
    cache = holding("the white whale", "white paint")
    assert kept(cache, later, "white paint") == [False]
    assert cache.size_bytes == 0


def test_a_change_of_one_tenants_corpus_leaves_anothers_vectors() -> None:
    cache, bob = holding("the white whale"), replace(ANN, tenant_id="bob")
    cache.find_vectors(bob, [])
    cache.store_vectors(bob, "white paint", VECTORS)
    cache.find_vectors(replace(ANN, version=4), [])
    assert kept(cache, bob, "white paint") == [True]


def test_what_was_made_of_a_corpus_that_has_changed_meanwhile_is_not_kept() -> None:
    cache = holding()
    cache.find_vectors(replace(ANN, version=4), [])
    cache.store_vectors(ANN, "the white whale", VECTORS)
    assert cache.size_bytes == 0


def test_no_more_than_its_bytes_are_kept_and_the_longest_unused_goes_first() -> None:
    size = holding("one").size_bytes
    cache = holding("one", "two", max_bytes=2 * size)
    cache.find_vectors(ANN, ["one"])
    cache.store_vectors(ANN, "three", VECTORS)
    assert cache.size_bytes == 2 * size
    assert kept(cache, ANN, "one", "two", "three") == [True, False, True]


@pytest.mark.parametrize("max_bytes", [0, 100])
def test_what_is_larger_than_all_that_may_be_kept_is_not(max_bytes: int) -> None:
    assert holding("the white whale", max_bytes=max_bytes).size_bytes == 0


class Counting(Words):
    """An encoder that notes what it encodes."""

    def __init__(self) -> None:
        super().__init__()
        self.encoded: list[str] = []

    def encode_texts(self, texts: Sequence[str]) -> list[DenseVector]:
        self.encoded += texts
        return super().encode_texts(texts)


def test_only_passages_that_are_not_kept_are_encoded_and_the_scores_are_the_same() -> None:
    encoder = Counting()
    reranker = LateInteractionReranker(encoder, TokenCache())
    first = reranker.score_passages("white", TEXTS, deadline=soon(), corpus=ANN)
    again = reranker.score_passages("white", [*TEXTS, "a ship"], deadline=soon(), corpus=ANN)
    assert encoder.encoded == ["white", "white paint", "the white whale", "white", "a ship"]
    assert again[:2] == pytest.approx(first, abs=1e-3)


def test_without_a_corpus_nothing_is_kept() -> None:
    cache = TokenCache()
    LateInteractionReranker(Words(), cache).score_passages("white", TEXTS, deadline=soon())
    assert cache.size_bytes == 0


def test_another_encoder_has_a_cache_of_its_own() -> None:
    first, second = Counting(), Counting()
    for encoder in (first, second):
        LateInteractionReranker(encoder, TokenCache()).score_passages("white", TEXTS, deadline=soon(), corpus=ANN)
    assert first.encoded == second.encoded
