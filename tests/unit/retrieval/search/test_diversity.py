import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from retrieval.search.ranking import maximal_marginal_relevance

EAST, NORTH = [1.0, 0.0], [0.0, 1.0]


def test_the_second_hit_is_unlike_the_first() -> None:
    vectors = np.array([EAST, EAST, NORTH], np.float32)
    assert maximal_marginal_relevance([1.0, 0.9, 0.5], vectors, diversity=0.5) == [0, 2, 1]


def test_without_diversity_the_order_stays() -> None:
    vectors = np.array([EAST, EAST, NORTH], np.float32)
    assert maximal_marginal_relevance([1.0, 0.9, 0.5], vectors, diversity=0.0) == [0, 1, 2]


@given(st.lists(st.floats(-5, 5), max_size=12), st.floats(0, 1))
def test_every_candidate_comes_once_and_the_most_relevant_first(relevance: list[float], diversity: float) -> None:
    vectors = np.tile(np.array(EAST, np.float32), (len(relevance), 1))
    order = maximal_marginal_relevance(relevance, vectors, diversity=diversity)
    assert sorted(order) == list(range(len(relevance)))
    if relevance and diversity < 1:
        assert relevance[order[0]] >= max(relevance) - 1e-9
