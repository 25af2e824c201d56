from html import escape
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.chunking import chunk_text
from ingest.parsing.errors import DamagedDocumentError, NoTextError
from ingest.parsing.office.pptx import parse_pptx
from ingest.parsing.office.reading_order import compute_reading_order
from ingest.parsing.types import ParsedDocument
from ingest.storage.errors import LeadlineError
from ingest.storage.texts.layout import OmissionKind
from ingest.storage.texts.positions import Box
from tests.support.office_files import graphic, pptx, root, shape, slide, transform


@pytest.fixture
def parsed(tmp_path: Path) -> "Parse":
    return Parse(tmp_path / "file.pptx")


class Parse:
    def __init__(self, path: Path) -> None:
        self._path = path

    def __call__(self, content: bytes) -> ParsedDocument:
        self._path.write_bytes(content)
        return parse_pptx(self._path)


def omitted(document: ParsedDocument) -> dict[OmissionKind, tuple[int, str]]:
    return {each.kind: (each.count, each.detail) for each in document.omissions}


def lines(document: ParsedDocument) -> list[str]:
    return [line for line in document.text.split("\n") if line]


_TITLE = 'type="title"'


def test_titles_are_headings_and_shapes_are_read_by_position(parsed: Parse) -> None:
    document = parsed(
        pptx(
            [
                shape("below", at=(0, 300, 100, 50))
                + shape("right", at=(500, 100, 100, 50))
                + shape("left", at=(10, 110, 100, 50))
                + shape("First", placeholder=_TITLE, at=(0, 200, 10, 10)),
                shape("Second", placeholder='type="ctrTitle"') + shape("words"),
            ]
        )
    )
    assert lines(document) == ["# First", "left", "right", "below", "# Second", "words"]
    assert [place.label for place in document.layout.places] == ["slide 1", "slide 2"]
    assert document.layout.find_place(document.text.index("words")) == document.layout.places[1]
    assert document.title == "First"


def test_columns_with_their_titles_are_read_one_after_the_other_and_long_lists_of_pairs_row_by_row() -> None:
    titled = [Box(1, 0, 0, 0.4, 0.1), Box(1, 0.5, 0, 0.9, 0.1), Box(1, 0, 0.1, 0.4, 0.9), Box(1, 0.5, 0.1, 0.9, 0.5)]
    assert compute_reading_order(titled) == [0, 2, 1, 3]
    pairs = [Box(1, 0.5 * right, 0.2 * row, 0.5 * right + 0.4, 0.2 * row + 0.1) for row in range(4) for right in (0, 1)]
    assert compute_reading_order(pairs[::-1]) == [7, 6, 5, 4, 3, 2, 1, 0]
    above_columns = [Box(1, 0.1, 0.3, 0.4, 0.9), Box(1, 0.6, 0.3, 0.9, 0.9), Box(1, 0.1, 0, 0.9, 0.2)]
    assert compute_reading_order(above_columns) == [2, 0, 1]
    assert compute_reading_order([Box(1, 0, 0, 1, 1), Box(1, 0.2, 0.2, 0.4, 0.4)]) == [0, 1]


def test_bullets_and_numbers_are_inherited_from_layout_and_master(parsed: Parse) -> None:
    def paragraph(text: str, properties: str = "") -> str:
        return f"<a:p>{properties}<a:r><a:t>{text}</a:t></a:r></a:p>"

    number = '<a:pPr><a:buAutoNum type="arabicPeriod"/></a:pPr>'
    letter = '<a:pPr lvl="1"><a:buAutoNum type="alphaLcParenR" startAt="3"/></a:pPr>'
    body = shape(
        paragraph("bullet"),
        paragraph("deeper", '<a:pPr lvl="1"/>'),
        paragraph("plain", "<a:pPr><a:buNone/></a:pPr>"),
        *(paragraph("one", number), paragraph("c", letter), paragraph("d", letter), paragraph("two", number)),
        placeholder='idx="1"',
    )
    layout = shape("prompt", placeholder='type="body" idx="1"', at=(100, 100, 200, 200))
    bullet = '<a:buChar char="•"/>'
    master = slide("", "p:sldMaster").replace(
        "</p:cSld>",
        f"</p:cSld><p:txStyles><p:bodyStyle><a:lvl1pPr>{bullet}</a:lvl1pPr><a:lvl2pPr>{bullet}</a:lvl2pPr>"
        "</p:bodyStyle></p:txStyles>",
    )
    relation = '<Relationship Id="r" Type="x/slideMaster" Target="../m.xml"/>'
    document = parsed(
        pptx(
            [body + shape("no placeholder", at=(0, 400, 10, 10))],
            {1: {"rId1": ("slideLayout", "../layouts/l.xml")}},
            {
                "ppt/layouts/l.xml": slide(layout, "p:sldLayout"),
                "ppt/layouts/_rels/l.xml.rels": (
                    '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
                    f"{relation}</Relationships>"
                ),
                "ppt/m.xml": master,
            },
        )
    )
    assert lines(document) == [
        *("- bullet", "  - deeper", "plain", "1. one", "  c) c", "  d) d", "2. two", "no placeholder"),
    ]
    assert _box_of(document, "bullet") == pytest.approx((0.1, 0.2, 0.3, 0.6))


def _box_of(document: ParsedDocument, word: str) -> tuple[float, float, float, float]:
    at = document.text.index(word)
    (box,) = document.positions.list_boxes(at, at + len(word))
    return box.left, box.top, box.right, box.bottom


def test_a_group_moves_and_scales_what_is_in_it(parsed: Parse) -> None:
    inner = transform(500, 100, 200, 200, '<a:chOff x="0" y="0"/><a:chExt cx="100" cy="100"/>')
    group = f"<p:grpSp><p:grpSpPr>{inner}</p:grpSpPr>{shape('grouped', at=(50, 50, 25, 50))}</p:grpSp>"
    assert _box_of(parsed(pptx([group])), "grouped") == pytest.approx((0.6, 0.4, 0.65, 0.6))


def _table(*rows: str) -> str:
    grid = '<a:tblGrid><a:gridCol w="100"/><a:gridCol w="100"/><a:gridCol w="200"/></a:tblGrid>'
    body = "".join(f'<a:tr h="50">{row}</a:tr>' for row in rows)
    return f'<a:tbl><a:tblPr firstRow="1"/>{grid}{body}</a:tbl>'


def _cell(text: str, attributes: str = "") -> str:
    return f"<a:tc {attributes}><a:txBody><a:p><a:r><a:t>{text}</a:t></a:r></a:p></a:txBody></a:tc>"


def test_a_table_has_its_merged_cells_in_each_row_and_each_cell_its_box(parsed: Parse) -> None:
    merged = _table(
        _cell("Ship") + _cell("Oil", 'gridSpan="2"') + _cell("", 'hMerge="1"'),
        _cell("Essex", 'rowSpan="2"') + _cell("1") + _cell("2"),
        _cell("", 'vMerge="1"') + _cell("3") + _cell("four"),
    )
    document = parsed(pptx([graphic(merged, (100, 100, 400, 150))]))
    assert lines(document) == [
        *("| Ship | Oil | Oil |", "| --- | --- | --- |", "| Essex | 1 | 2 |", "| Essex | 3 | four |"),
    ]
    assert _box_of(document, "four") == pytest.approx((0.3, 0.4, 0.5, 0.5))
    assert len(document.layout.tables) == 1


def test_notes_and_both_kinds_of_comments_follow_their_slide(parsed: Parse) -> None:
    notes = slide(
        shape("1", placeholder='type="sldNum"') + shape("Say it", "slowly.", placeholder='type="body"'), "p:notes"
    )
    threaded = (
        '<x:cmLst xmlns:x="modern"><x:cm authorId="{2}"><x:replyLst><x:reply authorId="{2}"><x:txBody>'
        "<a:p><a:r><a:t>Agreed.</a:t></a:r></a:p></x:txBody></x:reply></x:replyLst><x:txBody>"
        "<a:p><a:r><a:t>Why?</a:t></a:r></a:p></x:txBody></x:cm></x:cmLst>"
    ).replace("<x:cmLst ", '<x:cmLst xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main" ')
    content = pptx(
        [shape("One"), shape("Two")],
        {
            1: {"n": ("notesSlide", "../n.xml"), "c": ("comments", "../c.xml"), "t": ("comments", "../t.xml")},
        },
        {
            "ppt/n.xml": notes,
            "ppt/c.xml": root("p:cmLst", '<p:cm authorId="0"><p:text>Good.</p:text></p:cm>'),
            "ppt/t.xml": threaded,
        },
    )
    assert lines(parsed(content)) == [
        *("One", "Notes: Say it", "slowly.", "[Comment: Good.]", "[Comment: Why?]", "[Comment: Agreed.]", "Two"),
    ]


def test_hidden_slides_and_shapes_and_slides_without_text_are_counted(parsed: Parse) -> None:
    picture = '<p:pic><p:nvPicPr><p:cNvPr id="1" name="a" descr="A  chart"/><p:nvPr/></p:nvPicPr></p:pic>'
    document = parsed(
        pptx(
            [
                shape("Shown") + shape("not this", properties='hidden="1"'),
                slide(shape("Secret"), attributes='show="0"'),
                picture.replace("A  chart", ""),
                picture + graphic("<p:oleObj/>"),
            ],
            more={"ppt/vbaProject.bin": b""},
        )
    )
    assert lines(document) == ["Shown", "[Image: A chart]"]
    assert omitted(document) == {
        OmissionKind.HIDDEN: (2, "shapes on slide 1; slide 2"),
        OmissionKind.PAGE_WITHOUT_TEXT: (1, "slide 3"),
        OmissionKind.IMAGE: (2, ""),
        OmissionKind.EMBEDDED_OBJECT: (1, ""),
        OmissionKind.MACRO: (1, ""),
    }
    assert [place.number for place in document.layout.places] == [1, 2, 3, 4]


def test_footers_stand_once_and_numbers_and_dates_not_at_all(parsed: Parse) -> None:
    edges = (
        shape("Secret", placeholder='type="ftr" idx="10"')
        + shape("7", placeholder='type="sldNum" idx="11"')
        + shape("1 May", placeholder='type="dt" idx="12"')
    )
    assert lines(parsed(pptx([edges + shape("One"), edges + shape("Two")]))) == ["Secret", "One", "Two"]


def test_sections_of_a_presentation_are_in_its_tree(parsed: Parse) -> None:
    section = (
        '<p:extLst><p14:sectionLst><p14:section name="Whales"><p14:sldIdLst><p14:sldId id="257"/></p14:sldIdLst>'
        "</p14:section></p14:sectionLst></p:extLst>"
    )
    slides = [shape(name, placeholder=_TITLE) for name in ("Intro", "Sperm")]
    headings = parsed(pptx(slides, extra=section)).layout.headings
    assert [(each.level, each.title) for each in headings] == [(2, "Intro"), (1, "Whales"), (2, "Sperm")]


def test_a_slide_without_a_title_is_not_below_the_title_before_it(parsed: Parse) -> None:
    shapes = [
        shape("Whales", placeholder=_TITLE) + shape("large"),
        shape("No title here"),
        shape(" ", placeholder=_TITLE),
    ]
    document = parsed(pptx([*shapes, shape("Krill", placeholder=_TITLE) + shape("small")]))
    found = [
        (document.text[each.start : each.end], each.heading_path) for each in chunk_text(document.text, document.layout)
    ]
    assert found == [
        ("# Whales\n\nlarge", ("Whales",)),
        ("No title here", ()),
        ("# Krill\n\nsmall", ("Krill",)),
    ]


def test_charts_and_diagrams_are_read_and_those_without_data_counted(parsed: Parse) -> None:
    chart = root(
        "c:chartSpace",
        '<c:chart><c:ser><c:val><c:numRef><c:numCache><c:pt idx="0"><c:v>4</c:v></c:pt></c:numCache></c:numRef></c:val>'
        "</c:ser></c:chart>",
    )
    points = '<dgm:pt type="doc"/><dgm:pt><dgm:t><a:p><a:r><a:t>Plan</a:t></a:r></a:p></dgm:t></dgm:pt>'
    content = pptx(
        [
            graphic('<c:chart r:id="c"/>')
            + graphic('<dgm:relIds r:dm="d"/>', (0, 50, 9, 9))
            + graphic('<c:chart r:id="no"/>')
        ],
        {1: {"c": ("chart", "../c.xml"), "d": ("diagramData", "../d.xml")}},
        {"ppt/c.xml": chart, "ppt/d.xml": root("dgm:dataModel", f"<dgm:ptLst>{points}</dgm:ptLst>")},
    )
    document = parsed(content)
    assert lines(document) == ["Chart", "| Category | Series 1 |", "| --- | --- |", "| 1 | 4 |", "- Plan"]
    assert omitted(document)[OmissionKind.OTHER][0] == 1


@st.composite
def _slides(draw: st.DrawFn) -> list[list[tuple[str, tuple[int, int, int, int]]]]:
    count = 0
    slides = []
    for _ in range(draw(st.integers(1, 4))):
        shapes = []
        for _ in range(draw(st.integers(0, 4))):
            count += 1
            words = draw(st.text(st.characters(blacklist_categories=["Cs", "Cc"]), max_size=12))
            x, y = draw(st.integers(0, 900)), draw(st.integers(0, 400))
            shapes.append((f"shape{count}end {words}", (x, y, draw(st.integers(1, 100)), draw(st.integers(1, 100)))))
        slides.append(shapes)
    return slides


@given(_slides())
def test_every_code_point_maps_back_to_its_slide_and_shape(
    tmp_path_factory: pytest.TempPathFactory, slides: list[list[tuple[str, tuple[int, int, int, int]]]]
) -> None:
    path = tmp_path_factory.getbasetemp() / "map.pptx"
    path.write_bytes(pptx(["".join(shape(escape(text), at=at) for text, at in shapes) for shapes in slides]))
    try:
        document = parse_pptx(path)
    except NoTextError:
        assert not any(slides)
        return
    expected = {
        text.split()[0]: (number, (x / 1000, y / 500, (x + width) / 1000, (y + height) / 500))
        for number, shapes in enumerate(slides, start=1)
        for text, (x, y, width, height) in shapes
    }
    rest = list(document.text)
    for begin, stop, at in document.positions.iter_positions_within(0, len(document.text)):
        number, box = expected.pop(document.text[begin:stop].split()[0])
        assert isinstance(at, Box)
        assert (at.place, at.left, at.top, at.right, at.bottom) == pytest.approx((number, *box), abs=1e-6)
        for each in range(begin, stop):
            place = document.layout.find_place(each)
            assert place is not None
            assert place.number == number
            rest[each] = ""
    assert not expected
    assert set("".join(rest)) <= {"\n"}


@pytest.mark.parametrize(
    ("content", "error", "words"),
    [
        (pptx([]), NoTextError, "has 0 slides"),
        (pptx([slide(shape("Secret"), attributes='show="0"')]), NoTextError, "No visible slide"),
        (pptx([shape("One")])[:-300], DamagedDocumentError, "cut off"),
        (pptx(["<?xml version='1.0'?><p:sld>"]), DamagedDocumentError, "slide1.xml"),
        (pptx([shape("a")], {1: {"n": ("notesSlide", "../n.xml")}}, {"ppt/n.xml": "<"}), DamagedDocumentError, "n.xml"),
    ],
)
def test_a_broken_presentation_fails_with_what_is_wrong(
    parsed: Parse, content: bytes, error: type[LeadlineError], words: str
) -> None:
    with pytest.raises(error, match=words) as raised:
        parsed(content)
    assert raised.value.hint
