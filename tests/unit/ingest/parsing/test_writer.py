from collections.abc import Callable
from functools import partial

from hypothesis import given
from hypothesis import strategies as st

from ingest.chunking import chunk_text
from ingest.parsing.errors import NoTextError
from ingest.parsing.pipe_tables import find_pipe_tables
from ingest.parsing.writer import CellContent, DocumentWriter, Piece
from ingest.storage.texts.layout import OmissionKind, PlaceKind, dump_layout, parse_layout
from ingest.storage.texts.normalize import normalize
from ingest.storage.texts.positions import Box, Positions, SheetCell

# What moves offsets when it is normalized: marks that compose, joiners, invisible characters, line ends.
_RAW = st.text(alphabet="ab|#\\`é\u0301\u200b\u200d\ufe0f\u202e\u0627\U0001f600\u1100\u1161\r\n\t \x00", max_size=12)


@st.composite
def _written(draw: st.DrawFn) -> tuple[DocumentWriter, int]:
    """A document of random pieces, each with a box of its own, whose left edge is the piece's number."""
    writer, count = DocumentWriter(), 0

    def piece() -> Piece:
        nonlocal count
        count += 1
        return Piece(draw(_RAW), Box(1, count, 0, count + 1, 1), draw(st.sampled_from([" ", "\n", ""])))

    def cell() -> CellContent:
        return [piece(), piece()] if draw(st.booleans()) else piece()

    for kind in draw(
        st.lists(st.sampled_from(["place", "heading", "section", "pieces", "item", "code", "table"]), max_size=8)
    ):
        if kind == "place":
            writer.start_place(PlaceKind.PAGE)
        elif kind == "heading":
            pieces = [piece(), piece()]
            writer.write_heading(" ".join(each.text for each in pieces), draw(st.integers(0, 9)), pieces)
        elif kind == "section":
            sections: list[Callable[[int], None]] = [partial(writer.start_section, draw(_RAW)), writer.end_section]
            draw(st.sampled_from(sections))(draw(st.integers(1, 3)))
        elif kind == "pieces":
            writer.write_pieces([piece() for _ in range(draw(st.integers(0, 3)))])
        elif kind == "item":
            mark, at = draw(st.sampled_from([("-", None), ("1.", Box(1, 0, 0, 1, 1))]))
            writer.write_item([piece()], mark=mark, depth=draw(st.integers(0, 2)), position=at)
        elif kind == "code":
            writer.write_code(draw(_RAW), draw(_RAW), Box(1, 0, 0, 1, 1))
        else:
            rows = draw(st.lists(st.integers(0, 3), max_size=3))
            headed = draw(st.booleans())
            writer.write_table([[cell() for _ in range(cells)] for cells in rows], has_header=headed)
    return writer, count


@given(_written())
def test_offsets_hold_in_the_normalized_text(written: tuple[DocumentWriter, int]) -> None:
    writer, _ = written
    try:
        document = writer.finish("test", empty_message="Nothing.")
    except NoTextError:
        return
    text = document.text
    assert normalize(text) == text
    for heading in document.layout.headings:
        assert heading.start == heading.end or heading.title in text[heading.start : heading.end]
        assert heading.start == 0 or text[heading.start - 2 : heading.start] == "\n\n"
    assert parse_layout(dump_layout(document.layout), character_count=len(text)) == document.layout
    for table in document.layout.tables:
        lines = text[table.start : table.end].split("\n")
        assert all(line.startswith("|") and line.endswith("|") for line in lines)
        assert set(lines[1]) <= set("| -")
        assert text[table.start : table.header_end] == "\n".join(lines[:2])
    ends = [0]
    for start, end, _at in document.positions.iter_positions_within(0, len(text)):
        assert ends[-1] <= start < end <= len(text)
        assert text[start:end].strip()
        ends.append(end)


def test_a_piece_is_found_where_it_was_put() -> None:
    writer = DocumentWriter()
    writer.start_place(PlaceKind.PAGE)
    writer.write_heading(
        "Über uns", 1, [Piece("U\u0308ber", Box(1, 0.1, 0.1, 0.2, 0.2)), Piece("uns", Box(1, 0.3, 0.1, 0.4, 0.2))]
    )
    writer.start_place(PlaceKind.SHEET, "Costs")
    writer.write_table([["Item", "Cost"], [Piece("Rent", SheetCell(2, 2, 1)), Piece("1|200", SheetCell(2, 2, 2))]])
    document = writer.finish("test", empty_message="Nothing.")
    at = document.text.index("uns")
    assert document.positions.list_boxes(at, at + 1) == [Box(1, *map(_single, (0.3, 0.1, 0.4, 0.2)))]
    at = document.text.index("200")
    assert document.positions.list_cells(at, at + 3) == [SheetCell(2, 2, 2)]
    place = document.layout.find_place(at)
    assert place is not None
    assert place.label == "sheet Costs"
    (table,) = find_pipe_tables(document.text)
    assert [row.cells for row in table.rows()] == [["Rent", "1|200"]]


def test_words_of_one_line_have_one_box_and_those_of_the_next_another() -> None:
    writer = DocumentWriter()
    writer.start_place(PlaceKind.PAGE)
    boxes = [(0.1, 0.10, 0.2, 0.12), (0.25, 0.101, 0.4, 0.121), (0.1, 0.13, 0.3, 0.15)]
    writer.write_pieces(Piece(word, Box(1, *box)) for word, box in zip(("one", "two", "three"), boxes, strict=True))
    document = writer.finish("test", empty_message="Nothing.")
    first, second = document.positions.list_boxes(0, len(document.text))
    assert (first.left, first.right) == (_single(0.1), _single(0.4))
    assert second.top == _single(0.13)


def test_invisible_characters_and_what_else_was_left_out_are_counted() -> None:
    writer = DocumentWriter()
    writer.write_paragraph("pay\u200b\u202eload")
    writer.record_omission(OmissionKind.IMAGE, 2, "page 1")
    writer.record_omission(OmissionKind.IMAGE, 1, "page 4")
    found = {each.kind: (each.count, each.detail) for each in writer.finish("test", empty_message="Nothing.").omissions}
    assert found == {OmissionKind.IMAGE: (3, "page 1; page 4"), OmissionKind.INVISIBLE_CHARACTER: (2, "")}


def test_a_table_with_an_empty_header_takes_its_first_row_with_words() -> None:
    writer = DocumentWriter()
    assert writer.write_table([["", ""], ["\u200b", " "]]) is None
    writer.write_table([["", ""], ["", ""], ["a", "b", "c"], ["1"]])
    assert writer.finish("test", empty_message="Nothing.").text == "| a | b | c |\n| --- | --- | --- |\n| 1 | | |"


def test_a_table_without_a_header_gets_an_empty_one_and_keeps_all_its_rows() -> None:
    writer = DocumentWriter()
    writer.write_table([["a", "1"], ["b", "2"]], has_header=False)
    document = writer.finish("test", empty_message="Nothing.")
    assert document.text == "| | |\n| --- | --- |\n| a | 1 |\n| b | 2 |"
    (table,) = find_pipe_tables(document.text)
    assert [row.cells for row in table.rows()] == [["a", "1"], ["b", "2"]]


def test_a_cell_of_several_pieces_has_a_position_for_each() -> None:
    writer = DocumentWriter()
    writer.write_table(
        [["Cost"], [[Piece("$", Box(1, 0, 0, 0.1, 0.1)), Piece("12", Box(1, 0.5, 0, 0.75, 0.1), gap="")]]]
    )
    document = writer.finish("test", empty_message="Nothing.")
    assert document.text.endswith("| $12 |")
    at = document.text.index("12")
    assert [box.left for box in document.positions.list_boxes(at, at + 2)] == [0.5]


def test_a_page_may_begin_in_the_middle_of_a_paragraph() -> None:
    writer = DocumentWriter()
    writer.start_place(PlaceKind.PAGE)
    writer.write_pieces([Piece("goes"), Piece("on", page=2)])
    document = writer.finish("test", empty_message="Nothing.")
    assert document.text == "goes on"
    assert [(place.number, place.start) for place in document.layout.places] == [(1, 0), (2, 5)]


def test_the_mark_of_an_item_has_a_position() -> None:
    writer = DocumentWriter()
    writer.write_item("text", mark="(a)", depth=1, position=Box(1, 0.25, 0, 0.5, 0.1))
    document = writer.finish("test", empty_message="Nothing.")
    assert document.text == "  (a) text"
    assert [box.left for box in document.positions.list_boxes(2, 5)] == [0.25]


def test_positions_arrive_as_they_were_written() -> None:
    writer = DocumentWriter()
    writer.write_pieces([Piece("one", Box(1, 0, 0, 1, 1)), Piece("two", SheetCell(3, 4, 5))])
    document = writer.finish("test", empty_message="Nothing.")
    content = document.positions.to_bytes()
    assert Positions.from_bytes(content, character_count=len(document.text)) == document.positions


def _single(number: float) -> float:
    import numpy as np

    return float(np.float32(number))


def test_two_lists_stand_apart_where_the_first_is_said_to_end() -> None:
    writer = DocumentWriter()
    writer.write_item("one")
    writer.write_item("two")
    writer.end_list()
    writer.write_item("other", mark="1.")
    assert writer.finish("test", empty_message="Nothing.").text == "- one\n- two\n\n1. other"


def test_the_first_heading_of_level_one_is_known() -> None:
    writer = DocumentWriter()
    assert writer.first_heading is None
    for title, level in (("Two", 2), ("One", 1), ("Other", 1)):
        writer.write_heading(title, level)
    assert writer.first_heading == "One"


def test_a_caption_names_the_table_that_comes_next_and_no_other() -> None:
    writer = DocumentWriter()
    for between in ("", "Other words."):
        writer.write_caption("Table 1: Prices")
        writer.write_paragraph(between)
        writer.write_table([["a", "b"], ["1", "2"]])
    document = writer.finish("test", empty_message="Nothing.")
    assert [table.name for table in document.layout.tables] == ["Table 1: Prices", ""]
    assert document.text.count("Table 1: Prices\n\n") == 2


def test_what_ends_a_section_is_known_by_its_level_and_says_nothing_by_itself() -> None:
    writer = DocumentWriter()
    writer.end_section(1)  # nothing is open
    writer.write_paragraph("before")
    writer.write_heading("One", 1)
    writer.write_heading("Two", 2)
    writer.write_item("in two")
    writer.end_section(2)
    writer.write_item("in one")
    writer.end_section(1)
    writer.start_section("Deep", 2)
    writer.write_paragraph("in deep alone")
    writer.end_section(2)
    writer.write_heading("Other", 2)  # ends the one before it by itself
    writer.start_section("Empty", 1)
    document = writer.finish("test", empty_message="Nothing.")
    paths = {
        document.text[each.start : each.end]: each.heading_path for each in chunk_text(document.text, document.layout)
    }
    assert paths == {
        "before": (),
        "# One\n\n## Two\n\n- in two": ("One", "Two"),
        "- in one": ("One",),
        "in deep alone": ("Deep",),
        "## Other": ("Other",),
    }
    assert [(each.level, each.title) for each in document.layout.headings][-2:] == [(2, "Deep"), (2, "Other")]
