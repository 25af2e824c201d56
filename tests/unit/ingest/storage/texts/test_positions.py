from hypothesis import given
from hypothesis import strategies as st

from ingest.storage.texts.positions import Box, PositionsBuilder, SheetCell


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 3), st.integers(1, 2), st.integers(1, 3)), max_size=12))
def test_rows_end_where_their_last_cells_do(steps: list[tuple[int, int, int, int]]) -> None:
    builder, at, entries = PositionsBuilder(), 0, []
    for gap, length, place, row in steps:
        builder.add(at + gap, at + gap + length, SheetCell(place, row, 1))
        at += gap + length
        entries.append((at, (place, row)))
    after = [row for _, row in entries[1:]] + [(0, 0)]
    ends = [end for (end, row), next_row in zip(entries, after, strict=False) if row != next_row]
    assert builder.build().list_row_ends(0, at + 1).tolist() == ends


def test_words_on_a_page_are_no_rows() -> None:
    builder = PositionsBuilder()
    builder.add(0, 5, Box(1, 0, 0, 1, 1))
    builder.add(6, 9, SheetCell(2, 1, 0))
    assert builder.build().list_row_ends(0, 10).tolist() == [9]
    assert len(builder.build()) == 2
