import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.chunking import chunk_text, find_second_headers, list_unindexed_rows
from ingest.storage.texts.chunks import Chunk
from ingest.storage.texts.layout import Layout, TableSpan, build_markdown_layout, build_pages
from ingest.storage.texts.positions import PositionsBuilder, SheetCell

LINES = st.sampled_from(
    [
        "# One",
        "## Two ##",
        "###### Six",
        "```",
        "~~~~",
        "| a | b |",
        "- item. Another sentence",
        "",
        " ",
        "word " * 40,
        "x" * 300,
        "Ein Satz. Noch einer! 三つ目。",
        "\u2028 e\u0301 \U0001f600",
        "#not a heading",
        "\t",
    ]
)
TEXTS = st.one_of(
    st.lists(LINES, max_size=40).map("\n".join),
    st.text(max_size=600),
    st.text(alphabet=string.whitespace + "a.", max_size=300),
)


@given(TEXTS, st.booleans(), st.integers(16, 200))
def test_chunks_are_disjoint_ordered_bounded_and_hold_everything_but_white_space(
    text: str, markdown: bool, max_chars: int
) -> None:
    position = 0
    layout = build_markdown_layout(text) if markdown else Layout()
    for ordinal, chunk in enumerate(chunk_text(text, layout, max_chars=max_chars)):
        assert chunk.ordinal == ordinal
        assert position <= chunk.start < chunk.end <= len(text)
        assert not text[position : chunk.start].strip()
        assert len(text[chunk.start : chunk.end]) <= max_chars
        assert text[chunk.start : chunk.end].strip() == text[chunk.start : chunk.end]
        position = chunk.end
    assert not text[position:].strip()


@given(TEXTS)
def test_the_same_text_gives_the_same_chunks(text: str) -> None:
    assert chunk_text(text, build_markdown_layout(text)) == chunk_text(text, build_markdown_layout(text))


def test_a_chunk_carries_the_headings_it_stands_under() -> None:
    text = "# Ships\n\nAbout ships.\n\n## Masts\n\nAbout masts.\n\n## Hulls\n\nAbout hulls.\n\n# Ports\n\nAbout ports."
    paths = {text[c.start : c.end].split()[-1]: c.heading_path for c in chunk_text(text, build_markdown_layout(text))}
    assert paths == {
        "ships.": ("Ships",),
        "masts.": ("Ships", "Masts"),
        "hulls.": ("Ships", "Hulls"),
        "ports.": ("Ports",),
    }


def test_a_heading_with_nothing_below_it_joins_what_follows() -> None:
    text = "# Title\n\n## Chapter\n\nIt begins."
    (chunk,) = chunk_text(text, build_markdown_layout(text))
    assert chunk == Chunk(0, 0, len(text), ("Title", "Chapter"), None)


def test_a_number_sign_in_a_code_fence_or_in_plain_text_is_no_heading() -> None:
    fenced = "# Real\n\n```\n# comment\n```\n"
    assert {c.heading_path for c in chunk_text(fenced, build_markdown_layout(fenced))} == {("Real",)}
    assert {c.heading_path for c in chunk_text("# comment\n", Layout())} == {()}


def test_cuts_fall_between_paragraphs_before_they_fall_inside_one() -> None:
    paragraphs = ["Alpha beta gamma delta. " * 4, "Epsilon zeta eta theta. " * 4, "Iota kappa lambda mu. " * 4]
    text = "\n\n".join(paragraph.strip() for paragraph in paragraphs)
    chunks = [text[c.start : c.end] for c in chunk_text(text, Layout(), max_chars=120)]
    assert chunks == [paragraph.strip() for paragraph in paragraphs]


def test_pages_are_counted_from_one_at_the_chunks_start() -> None:
    text = "first page text\n\n" + "second page text"
    chunks = chunk_text(text, Layout(places=build_pages((0, 17))), max_chars=20)
    assert [chunk.page for chunk in chunks] == [1, 2]


def test_a_single_endless_word_is_cut_at_the_limit() -> None:
    chunks = chunk_text("x" * 100, Layout(), max_chars=40)
    assert [(c.start, c.end) for c in chunks] == [(0, 40), (40, 80), (80, 100)]


def test_a_limit_too_small_to_hold_a_word_is_refused() -> None:
    with pytest.raises(ValueError):
        chunk_text("text", Layout(), max_chars=8)


_CELLS = st.text("ab \n", max_size=29).map(lambda text: f"c{text}".strip())  # a row without words is no row


@st.composite
def _tables(draw: st.DrawFn) -> tuple[str, list[TableSpan], PositionsBuilder, list[int]]:
    """A text with tables whose cells may be several lines, the positions of those cells, and where rows end."""
    text, tables, positions, ends, row = "", [], PositionsBuilder(), [], 0
    for number in range(draw(st.integers(1, 3))):
        text += f"Words about table {number}.\n\n"
        start = header_end = len(text)
        for at in range(draw(st.integers(1, 8))):
            row += 1
            for column in (1, 2):
                cell = draw(_CELLS)
                positions.add(len(text), len(text) + len(cell), SheetCell(1, row, column))
                text += cell + ";"
            header_end = len(text) if at == 0 else header_end
            ends += [len(text)] if at else []
            text += "\n"
        tables.append(TableSpan(start, header_end, len(text) - 1))
        text += "\n"
    return text, tables, positions, ends


@given(_tables(), st.integers(140, 250))
def test_cuts_in_a_table_fall_between_its_rows(
    made: tuple[str, list[TableSpan], PositionsBuilder, list[int]], max_chars: int
) -> None:
    text, tables, positions, ends = made
    for chunk in chunk_text(text, Layout(tables=tuple(tables)), positions.build(), max_chars=max_chars):
        if any(table.start < chunk.end < table.end for table in tables):
            assert chunk.end in ends


def test_a_header_is_never_cut_off_from_the_first_row() -> None:
    lines = ["| name | value |", "| --- | --- |", *(f"| {n:04} | {'x' * 40} |" for n in range(40))]
    before = "Some words above the table, a little longer than a line.\n\n"
    text = before + "\n".join(lines)
    header_end = len(before) + len("\n".join(lines[:2]))
    table = TableSpan(len(before), header_end, len(text))
    for max_chars in range(110, 300, 7):
        chunks = chunk_text(text, Layout(tables=(table,)), max_chars=max_chars)
        assert not [chunk for chunk in chunks if len(before) < chunk.end <= header_end]
        assert all(text[chunk.end - 1] == "|" for chunk in chunks[1:])


def _lay_out(*rows: str) -> tuple[str, Layout]:
    """A Markdown table with a paragraph above it."""
    before = "Some words above.\n\n"
    text = before + "\n".join([rows[0], "| --- " * rows[0].count(" |") + "|", *rows[1:]])
    header_end = text.index("\n", text.index("\n| ---") + 1) if len(rows) > 1 else len(text)
    return text, Layout(tables=(TableSpan(len(before), header_end, len(text)),))


@pytest.mark.parametrize(
    "second",
    [
        "| | 2023 | 2022 |",
        "| (in millions) | 2023 | 2022 |",
        "| | June 30, 2023 | 31. Dezember 2022 |",
        "| | Q3 2023 | FY 23 |",
        "| | 30.06.2023 | 2022/23 |",
        "| | (1) | 2 |",
        "| | kg | mg/l |",
        "| [EUR] | % | |",
        "| (in millions) | 2023 | Other |",
    ],
)
def test_a_row_of_years_or_units_belongs_to_the_header(second: str) -> None:
    text, layout = _lay_out("| | Sales | Costs |", second, "| Ropes | $1,204 | 12 |", "| Buoys | 3 | 4 |")
    (table,) = find_second_headers(text, layout).tables
    assert table.second_header_end is not None
    assert text[table.header_end + 1 : table.second_header_end] == second


@pytest.mark.parametrize(
    ("second", "third"),
    [
        ("| Founded | 1998 | 2004 |", "| Buoys | 3 | 4 |"),  # a label
        ("| | 1,204 | 12.5 |", "| Buoys | 3 | 4 |"),  # amounts
        ("| | 2,023 | 2,022 |", "| Buoys | 3 | 4 |"),
        ("| | the ropes of the whole harbour | 2 |", "| Buoys | 3 | 4 |"),
        ("| | red | blue |", "| Buoys | white | green |"),  # words above words
        ("| | 2023 | 2022 |", "| | 2021 | 2020 |"),  # no row has a label
        ("| (1,935) | 2023 | 2022 |", "| Buoys | 3 | 4 |"),
        ("| | | |", "| Buoys | 3 | 4 |"),
        ("| | 2023 | 2022 |", ""),  # the only row
        ("2023,2022", "3,4"),
    ],
)
def test_a_row_of_values_does_not_belong_to_the_header(second: str, third: str) -> None:
    text, layout = _lay_out(*filter(None, ["| | Sales | Costs |", second, third]))
    assert find_second_headers(text, layout) == layout


def test_a_table_without_a_header_has_no_second_row() -> None:
    text = "| | 2023 |\n| Ropes | 4 |"
    layout = Layout(tables=(TableSpan(0, 0, len(text)),))
    assert find_second_headers(text, layout) == layout
    text, layout = _lay_out("| | Sales |")
    assert find_second_headers(text, layout) == layout


def test_a_row_of_years_is_never_cut_off_from_the_row_below() -> None:
    rows = [f"| rope {n:04} | {'x' * 40} |" for n in range(40)]
    text, layout = _lay_out("| name | value |", "| (in francs) | 2023 |", "| rope | 5 |", *rows)
    marked = find_second_headers(text, layout)
    (table,) = marked.tables
    assert table.second_header_end is not None
    for max_chars in range(130, 300, 7):
        chunks = chunk_text(text, marked, max_chars=max_chars)
        assert not [chunk for chunk in chunks if table.start < chunk.end <= table.second_header_end]
        below = [chunk for chunk in chunks if chunk.start > table.second_header_end]
        assert below
        assert {marked.find_table_header(chunk.start) for chunk in below} == {(table.start, table.second_header_end)}


def test_of_very_long_tables_the_first_rows_are_in_chunks_and_the_others_are_named() -> None:
    short, long = "name,value\na,1\nb,2", "name,value\n" + "\n".join(f"row {n},{n}" for n in range(1000))
    text = f"{long}\n\n{short}\n\nThe end."
    tables = (TableSpan(0, 10, len(long)), TableSpan(len(long) + 2, len(long) + 12, len(long) + 2 + len(short)))
    layout = Layout(tables=tables)
    ((start, end, rows),) = list_unindexed_rows(text, layout, table_rows=42)
    assert (end, rows) == (len(long), 1000 - 40)
    assert text[:start].endswith("\nrow 39,39\n")
    found = chunk_text(text, layout, table_rows=42)
    covered = "".join(text[chunk.start : chunk.end] for chunk in found)
    assert covered.replace("\n", "") == (text[:start] + text[end:]).replace("\n", "")
    assert list_unindexed_rows(text, layout) == []


@given(_tables(), st.integers(1, 9))
def test_rows_of_several_lines_are_counted_once_and_left_out_whole(
    made: tuple[str, list[TableSpan], PositionsBuilder, list[int]], most: int
) -> None:
    text, tables, positions, ends = made
    left_out = list_unindexed_rows(text, Layout(tables=tuple(tables)), positions.build(), table_rows=most)
    assert sum(rows for _, _, rows in left_out) >= len(ends) - most - len(tables)
    assert all(start - 1 in ends or any(start == table.header_end + 1 for table in tables) for start, _, _ in left_out)
