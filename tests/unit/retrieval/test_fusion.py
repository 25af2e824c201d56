import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval.fusion import RRF_K, Fusion, distribution_based_score_fusion, fuse, reciprocal_rank_fusion
from retrieval.index import Scored

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


def test_scores_are_counted_in_deviations_from_their_own_rankings_mean() -> None:
    # Mean 4 and deviation 2 (over n - 1): a lies at +1, c at -1, and six deviations are a unit around the middle.
    fused = dict(distribution_based_score_fusion(scored(a=6, b=4, c=2), scored(c=0.6, b=0.4, a=0.2)))
    assert fused == pytest.approx({"a": 1.0, "b": 1.0, "c": 1.0})


def test_what_a_ranking_does_not_have_counts_as_its_last() -> None:
    fused = dict(distribution_based_score_fusion(scored(a=6, b=4, c=2), scored(c=0.6, d=0.4, e=0.2)))
    last = -1 / 6 + 0.5
    assert fused == pytest.approx(
        {"a": 1 / 6 + 0.5 + last, "b": 0.5 + last, "c": last + (1 / 6 + 0.5), "d": last + 0.5, "e": 2 * last}
    )


def test_the_first_of_the_dense_ranking_can_be_left_out_of_its_distribution() -> None:
    bm25, dense = scored(a=2, b=1), scored(a=9.0, b=0.6, c=0.4, d=0.2)
    without = dict(distribution_based_score_fusion(bm25, dense, echoes=1))
    assert without["c"] - without["d"] == pytest.approx(1 / 6)  # one deviation of .6, .4 and .2
    assert without["a"] > without["b"] + 5
    within = dict(distribution_based_score_fusion(bm25, dense))
    assert within["c"] - within["d"] < 0.01


def test_a_short_ranking_is_measured_whole() -> None:
    two = scored(a=2, b=1), scored(a=0.9, b=0.6)
    assert distribution_based_score_fusion(*two, echoes=3) == distribution_based_score_fusion(*two)


def test_what_bm25_did_not_match_counts_as_zero() -> None:
    few = dict(distribution_based_score_fusion(scored(a=9, b=8), scored(c=0.9, d=0.8, e=0.7, f=0.6)))
    # Scores 9, 8, 0, 0: mean 4.25; b lies over it, though it is the worst of those that matched.
    assert few["b"] > 0.5


def test_the_distribution_is_that_of_the_best_scores_however_deep_the_rankings_are() -> None:
    best, all_of_them = scored(a=6, b=4, c=2), scored(a=6, b=4, c=2, d=0.1)
    shallow = dict(distribution_based_score_fusion(best, best, depth=3))
    deep = dict(distribution_based_score_fusion(all_of_them, all_of_them, depth=3))
    assert {i: deep[i] for i in shallow} == shallow
    assert deep["d"] < shallow["c"]


def test_a_ranking_of_one_counts_as_middling() -> None:
    assert dict(distribution_based_score_fusion(scored(a=7), scored(b=0.3))) == {"a": 0.5, "b": 0.5}


@given(SCORED, SCORED, st.sampled_from(Fusion))
def test_whatever_is_found_is_fused_once_in_an_order_that_repeats(
    bm25: dict[str, float], dense: dict[str, float], how: Fusion
) -> None:
    fused = fuse(scored(**bm25), scored(**dense), how)
    assert {identifier for identifier, _ in fused} == bm25.keys() | dense.keys()
    assert fused == sorted(fused, key=lambda item: (-item[1], item[0]))


@pytest.mark.parametrize("how", Fusion)
def test_one_retriever_alone_keeps_its_order_and_scores(how: Fusion) -> None:
    assert fuse(scored(b=2, a=1), [], how) == fuse([], scored(b=2, a=1), how) == [("b", 2), ("a", 1)]


def scored(**scores: float) -> list[Scored]:
    """A ranking, best first."""
    return sorted((Scored(i, score) for i, score in scores.items()), key=lambda hit: (-hit.score, hit.id))
