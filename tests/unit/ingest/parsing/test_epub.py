from collections.abc import Mapping
from pathlib import Path

import pytest

from ingest.parsing.epub import parse_epub
from ingest.parsing.errors import DamagedDocumentError, EncryptedDocumentError, NoTextError
from ingest.parsing.types import ParsedDocument
from ingest.storage.errors import LeadlineError
from ingest.storage.texts.layout import OmissionKind
from tests.support.office_files import epub
from tests.support.zip_files import zipped


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "book.epub"


def parsed(file: Path, content: bytes) -> ParsedDocument:
    file.write_bytes(content)
    return parse_epub(file)


def _links(*entries: str) -> str:
    return f"<nav epub:type='toc'><h1>Contents</h1><ol>{''.join(entries)}</ol></nav>"


_CHAPTERS = {
    "one.xhtml": "<h1>Chapter 1. Ebb Tide</h1><p>They named&nbsp;Tobias.</p><h2>More</h2><p>Many winters back.</p>",
    "two.xhtml": "<p>No heading here.</p><h3>Inner</h3><img src='x' alt='A lantern'/>",
    "three.xhtml": "<p>It goes on.</p>",
}


def _entry(target: str, title: str, inner: str = "") -> str:
    return f"<li><a href='{target}'>{title}</a>{f'<ol>{inner}</ol>' if inner else ''}</li>"


@pytest.mark.parametrize("ncx", [False, True])
def test_the_spine_is_read_in_order_with_the_titles_of_the_contents(file: Path, ncx: bool) -> None:
    navigation = _links(_entry("one.xhtml", "Ebb Tide", _entry("two.xhtml#start", "The Rope Locker")))
    point = "<navPoint><navLabel><text>{}</text></navLabel><content src='{}'/>{}</navPoint>"
    points = point.format("Ebb Tide", "one.xhtml", point.format("The Rope Locker", "two.xhtml#start", ""))
    document = parsed(
        file, epub(_CHAPTERS, navigation=None if ncx else navigation, ncx=f"<navMap>{points}</navMap>" if ncx else None)
    )
    assert document.text.split("\n\n") == [
        *("# Chapter 1. Ebb Tide", "They named\N{NO-BREAK SPACE}Tobias.", "## More", "Many winters back."),
        *("## The Rope Locker", "No heading here.", "### Inner", "[Image: A lantern]", "It goes on."),
    ]
    assert document.title == "Salt and Tar"
    assert [(each.kind, each.count) for each in document.omissions] == [(OmissionKind.IMAGE, 1)]


def test_the_contents_name_sections_of_a_part_that_have_no_headings(file: Path) -> None:
    part = """<h1>Foreword</h1><p>Old pilot.</p><p id="a">2. Ledgers</p><p>A tally-clerk.</p>
        <p>Said <i id="b">he</i>.</p><section id="c"><h2>Ebb Tide</h2><p>Low water.</p></section><a id="d"/>
        <h2><span id="e">Chapter 2.</span> The Rope Locker</h2><p>It held a compass.</p>"""
    titles = {"a": "2. Ledgers", "b": "More", "c": "Chapter One", "d": "Two", "e": "Rope", "none": "No such place"}
    places = "".join(_entry(f"one.xhtml#{place}", title) for place, title in titles.items())
    navigation = _links(_entry("one.xhtml", "Foreword", places))
    assert parsed(file, epub({"one.xhtml": part}, navigation=navigation)).text.split("\n\n") == [
        *(
            "# Foreword",
            "Old pilot.",
            "## 2. Ledgers",
            "A tally-clerk.",
            "## More",
            "Said he.",
            "## Ebb Tide",
            "Low water.",
        ),
        *("## Chapter 2. The Rope Locker", "It held a compass."),
    ]


def test_a_page_that_is_no_xml_is_read_as_html_and_empty_elements_of_xml_hide_nothing(file: Path) -> None:
    sound, open_ = "<title/><script src='x'/><a id='p1'/><p>Sound.</p>", "<p>Open <b>tags<p>and more"
    chapters = {"one.xhtml": sound, "two.xhtml": open_}
    assert parsed(file, epub(chapters)).text == "Sound.\n\nOpen tags\n\nand more"


def test_a_book_whose_text_is_encrypted_says_so_and_obfuscated_fonts_do_no_harm(file: Path) -> None:
    def encryption(uri: str) -> Mapping[str, str]:
        return {"META-INF/encryption.xml": f"<encryption xmlns:e='x'><e:CipherReference URI='{uri}'/></encryption>"}

    assert parsed(file, epub(_CHAPTERS, more=encryption("OPS/font.otf"))).text
    with pytest.raises(EncryptedDocumentError) as raised:
        parsed(file, epub(_CHAPTERS, more=encryption("OPS/one.xhtml")))
    assert raised.value.hint


@pytest.mark.parametrize(
    ("content", "error", "words"),
    [
        (epub({}), NoTextError, "no text"),
        (epub({"one.xhtml": "<img src='x'/>"}), NoTextError, "no text"),
        (epub(_CHAPTERS)[:-100], DamagedDocumentError, "cut off"),
        (epub(_CHAPTERS, left_out=("two.xhtml",)), DamagedDocumentError, "two.xhtml is missing"),
        (epub(_CHAPTERS, more={"OPS/book.opf": "<package"}), DamagedDocumentError, "book.opf"),
        (zipped({"META-INF/container.xml": "<container/>"}), DamagedDocumentError, "package document is missing"),
        (zipped({"mimetype": "application/epub+zip"}), DamagedDocumentError, "container.xml is missing"),
    ],
)
def test_a_broken_book_fails_with_what_is_wrong(
    file: Path, content: bytes, error: type[LeadlineError], words: str
) -> None:
    with pytest.raises(error, match=words) as raised:
        parsed(file, content)
    assert raised.value.hint
