import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval.fusion import RRF_K, reciprocal_rank_fusion

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
