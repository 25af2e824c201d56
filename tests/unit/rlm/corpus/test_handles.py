from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlm.corpus.handles import Handle, merge_spans
from tests.support.corpora import corpus_of

TEXT = st.text(alphabet=st.characters(exclude_categories=["Cs"]), min_size=1, max_size=300)
BOUND = st.none() | st.integers(-400, 400)


@given(TEXT, st.lists(st.tuples(BOUND, BOUND), max_size=4))
def test_slices_of_slices_are_the_text_of_slices_of_slices(
    text: str, bounds: list[tuple[int | None, int | None]]
) -> None:
    corpus = corpus_of(text)
    handle = corpus.documents[0].handle
    expected = text
    for start, end in bounds:
        handle, expected = handle[start:end], expected[start:end]
        assert corpus.load_text(handle) == expected
        assert len(handle) == len(expected)


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 5)), max_size=8), st.booleans())
def test_merged_spans_hold_the_same_text_once(places: list[tuple[int, int]], touching: bool) -> None:
    spans = [Handle("d", "v", start, start + length) for start, length in places]
    found = merge_spans(spans, merge_adjacent=touching)
    assert {at for each in found for at in range(each.start, each.end)} == {
        at for each in spans for at in range(each.start, each.end)
    }
    for before, after in pairwise(found):
        assert before.end < after.start or (before.end == after.start and not touching)


def test_a_step_is_refused() -> None:
    with pytest.raises(TypeError, match="without a step"):
        Handle("d", "v", 0, 10)[::2]


def test_a_handle_of_nothing_is_still_a_handle() -> None:
    assert Handle("d", "v", 3, 3)


@pytest.mark.parametrize(("start", "end"), [(-1, 2), (3, 2)])
def test_a_handle_runs_forward(start: int, end: int) -> None:
    with pytest.raises(ValueError, match="a handle requires 0 <= start <= end"):
        Handle("d", "v", start, end)


def test_a_span_holds_its_slices_and_no_other_versions() -> None:
    handle = Handle("d", "v", 5, 20)
    assert handle.contains(handle[3:9])
    assert not handle[3:9].contains(handle)
    assert not handle.contains(Handle("d", "w", 6, 7))
