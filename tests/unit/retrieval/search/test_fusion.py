import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval.index.port import ScoredChunk
from retrieval.search.fusion import RRF_K, combine_scores, fuse_rankings, reciprocal_rank_fusion
from retrieval.search.requests import Fusion

SCORED = st.dictionaries(st.sampled_from("abcdefgh"), st.floats(0.1, 50), max_size=8)
IDS = st.lists(st.sampled_from("abcdefgh"), unique=True)


def test_scores_are_the_papers_with_ranks_from_one() -> None:
    fused = dict(reciprocal_rank_fusion([["a", "b"], ["b", "c"]], k=60))
    assert fused == pytest.approx({"a": 1 / 61, "b": 1 / 62 + 1 / 61, "c": 1 / 62})


def test_the_constant_is_the_papers() -> None:
    assert RRF_K == 60


@given(st.lists(IDS, max_size=4))
def test_every_id_is_there_once_and_ties_break_by_id(rankings: list[list[str]]) -> None:
    fused = reciprocal_rank_fusion(rankings)
    assert {identifier for identifier, _ in fused} == {i for ranking in rankings for i in ranking}
    assert fused == sorted(fused, key=lambda item: (-item[1], item[0]))


@given(IDS)
def test_one_ranking_keeps_its_order(ranking: list[str]) -> None:
    assert [identifier for identifier, _ in reciprocal_rank_fusion([ranking])] == ranking


def test_scores_are_measured_from_the_least_to_the_greatest_that_each_retriever_gave() -> None:
    fused = dict(combine_scores(scored(a=8, b=4), scored(a=0.5, b=0.2), dense_weight=0.75))
    assert fused == pytest.approx({"a": 1.0, "b": 0.75 * 1.2 / 1.5 + 0.25 * 4 / 8})


def test_the_least_cosine_is_the_encoders() -> None:
    fused = dict(combine_scores(scored(a=8, b=8), scored(a=0.9, b=0.8), dense_weight=0.75, cosine_floor=0.5))
    assert fused == pytest.approx({"a": 1.0, "b": 0.75 * 0.3 / 0.4 + 0.25})


def test_what_a_ranking_does_not_have_counts_as_its_last() -> None:
    fused = dict(combine_scores(scored(a=8, b=4), scored(c=0.5, d=0.2), dense_weight=0.5))
    assert fused == pytest.approx({"a": 0.5 + 0.4, "b": 0.25 + 0.4, "c": 0.25 + 0.5, "d": 0.25 + 0.4})


def test_where_bm25_found_every_chunk_with_a_word_the_others_have_a_score_of_zero() -> None:
    fused = dict(combine_scores(scored(a=8), scored(a=0.5, b=0.2), dense_weight=0.5))
    assert fused["b"] == pytest.approx(0.4)


def test_the_first_of_the_dense_ranking_can_be_left_out_of_its_scale() -> None:
    bm25, dense = scored(a=2), scored(a=0.9, b=0.5, c=0.4, d=0.2)
    fused = dict(combine_scores(bm25, dense, dense_weight=0.5, echo_count=1))
    assert fused["b"] == pytest.approx(0.5)
    assert combine_scores(*[scored(a=2, b=1)] * 2, echo_count=3) == combine_scores(*[scored(a=2, b=1)] * 2)


def test_scores_that_say_nothing_are_no_division_by_zero() -> None:
    assert dict(combine_scores(scored(a=0), scored(b=-1.0))) == {"a": 0.0, "b": 0.0}


@given(SCORED, SCORED, st.sampled_from(Fusion))
def test_whatever_is_found_is_fused_once_in_an_order_that_repeats(
    bm25: dict[str, float], dense: dict[str, float], how: Fusion
) -> None:
    fused = fuse_rankings(scored(**bm25), scored(**dense), how)
    assert {identifier for identifier, _ in fused} == bm25.keys() | dense.keys()
    assert fused == sorted(fused, key=lambda item: (-item[1], item[0]))


@pytest.mark.parametrize("how", Fusion)
def test_one_retriever_alone_keeps_its_order_and_scores(how: Fusion) -> None:
    assert fuse_rankings(scored(b=2, a=1), [], how) == fuse_rankings([], scored(b=2, a=1), how) == [("b", 2), ("a", 1)]


def scored(**scores: float) -> list[ScoredChunk]:
    """A ranking, best first."""
    return sorted((ScoredChunk(i, score) for i, score in scores.items()), key=lambda hit: (-hit.score, hit.id))
