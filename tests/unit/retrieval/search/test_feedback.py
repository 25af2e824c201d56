import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval.encoders.port import DenseVector
from retrieval.search.ranking import apply_rocchio_feedback

ANGLES = st.floats(-3.0, 3.0)


def at(angle: float) -> DenseVector:
    return np.array([np.cos(angle), np.sin(angle)], np.float32)


@given(ANGLES, ANGLES)
def test_the_query_moves_towards_the_passage_and_keeps_its_length(query: float, passage: float) -> None:
    moved = apply_rocchio_feedback(at(query), at(passage))
    assert np.linalg.norm(moved) == pytest.approx(1.0, abs=1e-5)
    assert moved @ at(passage) >= at(query) @ at(passage) - 1e-5
    assert moved @ at(query) > 0.85  # and stays nearer to what was asked


def test_without_weight_nothing_moves() -> None:
    assert apply_rocchio_feedback(at(1.0), at(2.0), beta=0.0) == pytest.approx(at(1.0))


def test_a_passage_that_undoes_the_query_is_not_believed() -> None:
    assert apply_rocchio_feedback(at(1.0), -at(1.0), beta=1.0) == pytest.approx(at(1.0))
