import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.parsing.errors import ParserLimitError
from ingest.parsing.grid import GridCell, write_grid
from ingest.parsing.tables import MAX_COLUMNS
from ingest.parsing.writer import DocumentWriter


def written(rows: list[list[GridCell]], header_rows: int = 0) -> str:
    writer = DocumentWriter()
    writer.write_paragraph("Before")
    write_grid(writer, rows, header_row_count=header_rows)
    return writer.finish("test", empty_message="Nothing.").text.removeprefix("Before").lstrip("\n")


def test_a_row_of_one_cell_is_the_caption_unless_it_is_the_header() -> None:
    rows = [[GridCell("Oil", columns=2)], [GridCell("Ship"), GridCell("Tons")], [GridCell("Essex"), GridCell("87")]]
    assert written(rows).startswith("Oil\n\n| Ship | Tons |")
    assert written(rows, header_rows=1).startswith("| Oil | Oil |\n| --- | --- |\n| Ship | Tons |")


def test_names_over_several_columns_are_joined_with_those_below_them() -> None:
    rows = [
        [GridCell("Ship", rows=2), GridCell("Oil", columns=2)],
        [GridCell("1850"), GridCell("1851")],
        [GridCell("Essex", rows=3), GridCell("1"), GridCell("2")],
        [GridCell("3"), GridCell("4")],
        [],
    ]
    assert written(rows).split("\n") == [
        *("| Ship | Oil 1850 | Oil 1851 |", "| --- | --- | --- |"),
        *("| Essex | 1 | 2 |", "| Essex | 3 | 4 |", "| Essex | | |"),
    ]


def test_spans_that_ask_for_too_many_cells_are_refused() -> None:
    with pytest.raises(ParserLimitError) as raised:
        written([[GridCell("x", columns=MAX_COLUMNS)] for _ in range(2_001)])
    assert raised.value.hint


_CELLS = st.builds(
    GridCell, st.integers(0, 10**6).map(lambda number: f"c{number}"), st.integers(0, 4), st.integers(0, 4)
)


@given(st.lists(st.lists(_CELLS, max_size=5), max_size=5), st.integers(0, 3))
def test_no_cell_is_lost_whatever_the_spans(rows: list[list[GridCell]], header_rows: int) -> None:
    text = written(rows, header_rows)
    assert {cell.text for row in rows for cell in row} == set(text.replace("|", " ").replace("---", " ").split())
