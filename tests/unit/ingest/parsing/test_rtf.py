from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.parsing.errors import DamagedDocumentError, NoTextError
from ingest.parsing.rtf import parse_rtf
from ingest.parsing.types import ParsedDocument
from ingest.storage.errors import LeadlineError
from ingest.storage.texts.layout import OmissionKind
from ingest.storage.texts.normalize import normalize


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "file.rtf"


def rtf(file: Path, body: str, head: str = "") -> ParsedDocument:
    file.write_bytes(f"{{\\rtf1\\ansi\\ansicpg1252{head} {body}}}".encode("cp1252"))
    return parse_rtf(file)


_STYLES = (
    r"{\stylesheet{\s0\fs24 Normal;}{\s1\sbasedon0\fs40 heading 1;}{\s2{\*\x y}\outlinelevel1\b Clause;}"
    r"{\s3\fs60 Title;}{\s4\fs60 Subtitle;}}"
)


def test_headings_are_known_by_outline_level_and_style(file: Path) -> None:
    body = (
        r"\pard\s3 Report\par\pard\s1 Ships\par\pard\s2 Sails\par\pard\s4 Sub\par"
        r"\pard\outlinelevel2 Masts\par\pard words\par"
    )
    document = rtf(file, body, _STYLES + r"{\info{\title The \'dcber Title}{\author A}}")
    assert document.text.split("\n\n") == ["# Report", "# Ships", "## Sails", "Sub", "### Masts", "words"]
    assert document.title == "The Über Title"


def test_a_title_is_in_the_documents_code_page(file: Path) -> None:
    file.write_bytes(rb"{\rtf1\ansi\ansicpg1251{\info{\title \'cf\'e8\'f1\'fc\'ec\'ee}} \'e0}")
    assert (parse_rtf(file).title, parse_rtf(file).text) == ("Письмо", "а")


def test_a_group_like_a_style_that_ends_as_none_does_is_passed_over(file: Path) -> None:
    group = "{\\s28" + "\\f0\\fs24" * 200 + "\\lang1033 words}"
    assert rtf(file, group, _STYLES).text == "words"


def test_list_items_have_their_numbers_and_depth(file: Path) -> None:
    def item(mark: str, text: str, level: int = 0) -> str:
        return rf"\pard{{\listtext\pard\plain {mark}\tab}}\ilvl{level}\ls1 {text}\par "

    body = item("1.", "one") + item("a)", "deep", 1) + item(r"\u61623\'3f", "dot", 2) + item("(iv)", "roman")
    assert rtf(file, body).text.split("\n") == ["1. one", "  a) deep", "    - dot", "(iv) roman"]


def test_tables_and_the_text_around_them(file: Path) -> None:
    row = r"\trowd\cellx100\cellx200\intbl {} \cell {}\cell\row "
    body = r"before\par " + row.format("Ship", "Tons") + row.format(r"Es\par sex", "87|8") + r"\pard after\par"
    document = rtf(file, body)
    assert document.text == "before\n\n| Ship | Tons |\n| --- | --- |\n| Es sex | 87\\|8 |\n\nafter"
    frame = rtf(file, r"\trowd\cellx100\intbl Framed\cell\row")
    assert frame.text == "Framed"


def test_a_row_laid_out_as_the_one_above_needs_no_layout_of_its_own(file: Path) -> None:
    row = r"\pard\intbl {} \cell {}\cell\pard\intbl {{\row }}"
    first = r"\trowd\cellx100\cellx200" + row.format("Ship", "Tons")
    body = first + row.format(r"Es\par sex", "87") + r"{\listtext\'b7\tab}" + row.format("Acushnet", "90")
    document = rtf(file, body + r"\pard between\par" + row.format("Pequod", "100") + r"\pard after\par")
    rows = "| Ship | Tons |\n| --- | --- |\n| Es sex | 87 |\n| Acushnet | 90 |"
    assert document.text == f"{rows}\n\nbetween\n\n| Pequod | 100 |\n| --- | --- |\n\nafter"


def test_notes_stand_at_the_end_and_pictures_objects_and_comments_are_counted(file: Path) -> None:
    body = (
        r"Whales{\super\chftn{\footnote\pard\chftn  Big ones.}} swim."
        r"{\*\shppict{\pict\pngblip 89504e47{\*\blipuid aa}}}{\nonshppict{\pict\wmetafile8 0100}}"
        r"{\pict\bin3 }}}rest}{\object{\*\objdata 00}{\result x}}{\*\annotation Sure?} End\par"
    )
    document = rtf(file, body)
    assert document.text == "Whales[^1] swim. End\n\n[^1]: Big ones."
    assert {each.kind: each.count for each in document.omissions} == {
        OmissionKind.IMAGE: 2,
        OmissionKind.EMBEDDED_OBJECT: 1,
        OmissionKind.OTHER: 1,
    }


def test_the_text_of_drawn_boxes_follows_the_document_and_what_else_is_not_read_is_counted(file: Path) -> None:
    box = r"{\shp{\*\shpinst\shpleft0{\sp{\sn a}{\sv 1}}{\shptxt\pard In {\b the} box\par}}{\shprslt old}}"
    document = rtf(file, rf"{{\header Top\par}}Before {box}after {{\mmath{{\*\moMath x}}}}\par")
    assert document.text.split("\n\n") == ["Before after", "In the box"]
    assert {each.kind: each.count for each in document.omissions} == {
        OmissionKind.BOILERPLATE: 1,
        OmissionKind.FORMULA: 1,
    }


def test_hidden_and_deleted_text_is_left_out_and_counted(file: Path) -> None:
    document = rtf(file, r"Seen{\v secret {\b rules}}, {\deleted gone}\v hid\v0 den\v hid\plain  end\par")
    assert document.text == "Seen, den end"
    assert [(each.kind, each.count) for each in document.omissions] == [(OmissionKind.HIDDEN, 4)]


def test_characters_are_read_in_their_encodings(file: Path) -> None:
    head = r"{\fonttbl{\f0\fcharset0 Arial;}{\f1\fcharset204 Arial;}}"
    assert rtf(file, r"\u8364? \'e9 \f1\'cf\'f0 \f0\emdash raw é\par", head).text == "€ é Пр —raw é"


@pytest.mark.parametrize(
    ("content", "error", "words"),
    [
        (rb"{\rtf1\ansi }", NoTextError, "no text"),
        (rb"{\rtf1\ansi Words {\b and more", DamagedDocumentError, "cut off"),
        (rb"{\rtf1 {\pict 00", DamagedDocumentError, "cut off"),
        (rb"{\rtf1 \uc x}", DamagedDocumentError, "control word"),
        (b"{\\rtf1 " + b"{" * 5_000 + b"x" + b"}" * 5_001, DamagedDocumentError, "nested"),
    ],
)
def test_a_broken_document_fails_with_what_is_wrong(
    file: Path, content: bytes, error: type[LeadlineError], words: str
) -> None:
    file.write_bytes(content)
    with pytest.raises(error, match=words) as raised:
        parse_rtf(file)
    assert raised.value.hint


_PIECES = st.sampled_from(
    [
        *(r"{\footnote n}", r"{\listtext 1.\tab}", r"\trowd ", r"\cell ", r"\row ", r"\v ", r"\v0 ", r"\par "),
        *(r"\intbl ", r"\outlinelevel0 ", "{", "}"),
    ]
)


@given(st.lists(_PIECES | st.integers(0, 99).map(lambda number: f"w{number} "), max_size=30))
def test_any_sequence_of_marks_gives_normalized_text_without_any_of_ours(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[str]
) -> None:
    path = tmp_path_factory.getbasetemp() / "marks.rtf"
    path.write_text(f"{{\\rtf1 {''.join(pieces)}}}")
    try:
        document = parse_rtf(path)
    except LeadlineError:
        return
    assert normalize(document.text) == document.text
    assert not any("\ue000" <= char <= "\ue02f" for char in document.text)
