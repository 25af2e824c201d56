from hypothesis import given
from hypothesis import strategies as st

from rlm.sandbox.reports import CappedOutput


@given(st.lists(st.text(max_size=50)), st.integers(4, 60))
def test_head_and_tail_are_those_of_all_that_was_written(pieces: list[str], most: int) -> None:
    output = CappedOutput(most)
    for piece in pieces:
        output.write(piece)
    whole, kept = "".join(pieces), output.get_text()
    assert output.characters == len(whole)
    if len(whole) <= most:
        assert kept == whole
    else:
        tail = most // 4
        assert kept.startswith(whole[: most - tail])
        assert kept.endswith(whole[-tail:])
        assert f"{len(whole) - most:,} of {len(whole):,} characters left out" in kept
