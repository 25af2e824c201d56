"""PDF files from bytes that a test knows: opening, damage, titles, words that lines divide."""

from pathlib import Path

import pytest

from ingest.parsing.errors import DamagedDocumentError, EncryptedDocumentError, NoTextError
from ingest.parsing.pdf import parse_pdf
from tests.support.pdf_files import pdf


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "file.pdf"


def test_a_pdf_gives_text_pages_and_title(file: Path) -> None:
    file.write_bytes(pdf([["First (one)", "second line"], [], ["“Third” page"]], title="Über 😀"))
    document = parse_pdf(file)
    assert document.text == "First (one) second line\n\n“Third” page"
    assert document.title == "Über 😀"
    third = document.text.index("“Third”")
    assert [place.start for place in document.layout.places] == [0, third - 2, third - 2]
    found = [document.layout.find_place(offset) for offset in (0, third - 3, third, len(document.text) - 1)]
    assert [place.label for place in found if place] == ["page 1", "page 1", "page 3", "page 3"]


def test_a_word_divided_at_a_lines_end_is_joined_only_where_the_document_has_it_whole(file: Path) -> None:
    file.write_bytes(pdf([["An exam-", "ple is well-", "known."], ["Another Example."]]))
    assert parse_pdf(file).text == "An example is well-known.\n\nAnother Example."


@pytest.mark.parametrize("title", [None, "", " \u200b", "0001045810-23-000227"])
def test_a_pdf_without_a_title_has_none(file: Path, title: str | None) -> None:
    file.write_bytes(pdf([["words"]], title=title))
    assert parse_pdf(file).title is None


def test_a_placeholder_for_title_and_author_is_no_title(file: Path) -> None:
    file.write_bytes(pdf([["words"]], title="(anonymous)", author="(Anonymous)"))
    assert parse_pdf(file).title is None
    file.write_bytes(pdf([["words"]], title="Lease", author="Ann"))
    assert parse_pdf(file).title == "Lease"


def test_a_pdf_title_that_is_not_text_is_none(file: Path) -> None:
    file.write_bytes(pdf([["words"]], title="x").replace(b"<feff0078>", b"<feffd800>"))
    assert parse_pdf(file).title is None


def test_a_pdf_that_only_restricts_its_reader_is_read(file: Path) -> None:
    file.write_bytes(pdf([["Not for printing."]], password=""))
    assert parse_pdf(file).text == "Not for printing."


def test_a_pdf_that_asks_for_a_password_says_so(file: Path) -> None:
    file.write_bytes(pdf([["Secret."]], password="sesame"))
    with pytest.raises(EncryptedDocumentError):
        parse_pdf(file)


def test_a_pdf_of_pictures_says_how_many_pages_and_what_to_do(file: Path) -> None:
    file.write_bytes(pdf([[], []]))
    with pytest.raises(NoTextError, match="2 pages") as raised:
        parse_pdf(file)
    assert "OCR" in raised.value.hint


def test_bytes_after_the_end_of_a_pdf_do_no_harm_but_a_cut_update_does(file: Path) -> None:
    whole = pdf([["words"]])
    file.write_bytes(whole + b"<!-- served in 3 ms -->" * 100)
    assert parse_pdf(file).text == "words"
    file.write_bytes(whole + b"5 0 obj\n<< /Length 9 >>\nstream\n")
    with pytest.raises(DamagedDocumentError, match="cut off"):
        parse_pdf(file)


@pytest.mark.parametrize("cut", [100, 400, -60, -30])
def test_a_pdf_that_was_cut_off_is_damaged(file: Path, cut: int) -> None:
    file.write_bytes(pdf([["words"]] * 3)[:cut])
    with pytest.raises(DamagedDocumentError):
        parse_pdf(file)


@pytest.mark.parametrize(
    ("whole", "broken"),
    [(b"startxref\n", b"startxref\n9"), (b"00000 n", b"0000x n"), (b"trailer\n", b"tr\n")],
    ids=["start", "entries", "trailer"],
)
def test_a_pdf_whose_cross_references_are_broken_is_read_whole(file: Path, whole: bytes, broken: bytes) -> None:
    file.write_bytes(pdf([["First page."], ["Second page."]]).replace(whole, broken))
    assert parse_pdf(file).text == "First page.\n\nSecond page."


def test_a_pdf_that_lost_pages_is_not_passed_off_as_the_whole(file: Path) -> None:
    whole = pdf([["Some text."]] * 20)
    file.write_bytes(whole[: len(whole) // 2] + b"\n%%EOF")
    with pytest.raises(DamagedDocumentError, match="9 of its 20 pages could not be recovered"):
        parse_pdf(file)
