"""Hostile files against the real child process."""

import gzip
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ingest.parsing.errors import (
    DamagedDocumentError,
    EncryptedDocumentError,
    NoTextError,
    ParseError,
    ParserLimitError,
    UnsupportedTypeError,
)
from ingest.parsing.isolation.sandbox import ParserSandbox
from ingest.parsing.types import ParserLimits
from ingest.storage.errors import LeadlineError
from ingest.storage.texts.layout import build_pages
from tests.support.parsing import assert_still_parses, parse, parse_as
from tests.support.pdf_files import pdf

RECORDING = b"ID3\x03\x00\x00\x00\x00" * 20


@pytest.fixture
def sandbox() -> Iterator[ParserSandbox]:
    with ParserSandbox() as sandbox:
        yield sandbox


@pytest.mark.parametrize(
    ("content", "looks_like"),
    [
        (RECORDING, "an MP3 recording"),
        (gzip.compress(b"text " * 100), "a GZ archive"),
        (bytes(10_000), "binary data"),
    ],
    ids=["mp3", "gzip", "nuls"],
)
def test_a_binary_named_txt_is_refused_at_the_edge_and_by_the_parser(
    sandbox: ParserSandbox, tmp_path: Path, content: bytes, looks_like: str
) -> None:
    with pytest.raises(UnsupportedTypeError, match=looks_like):
        parse(sandbox, tmp_path, "notes.txt", content)
    with pytest.raises(DamagedDocumentError, match=looks_like):
        parse_as(sandbox, tmp_path, "text/plain", content)
    assert_still_parses(sandbox, tmp_path)


_WHOLE = pdf([["Some text."]] * 20)


@pytest.mark.parametrize(
    ("content", "error", "says"),
    [
        (_WHOLE[: len(_WHOLE) // 2], DamagedDocumentError, "cut off"),
        (_WHOLE[: len(_WHOLE) // 2] + b"\n%%EOF", DamagedDocumentError, "damaged or incomplete"),
        (b"%PDF-1.7\n" + bytes(range(256)) * 50 + b"%%EOF", DamagedDocumentError, "damaged or incomplete"),
        (pdf([["Secret."]], password="sesame"), EncryptedDocumentError, "password"),
        (pdf([[], [], []]), NoTextError, "3 pages"),
        (pdf([["Round."]]).replace(b"/Kids [4 0 R]", b"/Kids [2 0 R]"), DamagedDocumentError, "Page 1 of 1"),
        (pdf([["One."], ["Two."]]).replace(b"\n6 0 obj", b"\n9 0 obj"), DamagedDocumentError, "Page 2 of 2"),
        (pdf([]), DamagedDocumentError, "damaged or incomplete"),
    ],
    ids=[
        "truncated",
        "truncated-with-end",
        "garbage",
        "encrypted",
        "no-text",
        "page-tree-loop",
        "lost-page",
        "no-pages",
    ],
)
def test_a_pdf_that_cannot_be_read_whole_fails_with_the_reason(
    sandbox: ParserSandbox, tmp_path: Path, content: bytes, error: type[LeadlineError], says: str
) -> None:
    with pytest.raises(error, match=says) as raised:
        parse(sandbox, tmp_path, "paper.pdf", content)
    assert raised.value.hint
    assert_still_parses(sandbox, tmp_path)


def test_a_pdf_that_claims_many_pages_has_those_it_has(sandbox: ParserSandbox, tmp_path: Path) -> None:
    content = pdf([["Only one."]]).replace(b"/Count 1", b"/Count 99999999")
    assert parse(sandbox, tmp_path, "paper.pdf", content).layout.places == build_pages((0,))


@pytest.mark.parametrize("tag", ["div", "blockquote", "b", "ul><li", "table><tr><td"])
def test_html_nested_past_reason_is_refused_and_never_cut_short(
    sandbox: ParserSandbox, tmp_path: Path, tag: str
) -> None:
    with pytest.raises(ParserLimitError, match="nested"):
        parse(sandbox, tmp_path, "deep.html", f"<html><body>{f'<{tag}>' * 100_000}deep".encode())
    assert_still_parses(sandbox, tmp_path)


@pytest.mark.parametrize("tag", ["div", "blockquote", "b", "ul><li", "section"])
def test_html_nested_deeper_than_the_converter_goes_keeps_its_text(
    sandbox: ParserSandbox, tmp_path: Path, tag: str
) -> None:
    content = f"<html><body>before {f'<{tag}>' * 500}deep <i>inside</i>{'</div>' * 500}".encode()
    assert parse(sandbox, tmp_path, "deep.html", content).text.split()[-2:] == ["deep", "inside"]


def test_entities_of_an_html_file_are_not_expanded(sandbox: ParserSandbox, tmp_path: Path) -> None:
    entities = "".join(f'<!ENTITY e{n + 1} "{f"&e{n};" * 10}">' for n in range(12))
    content = f'<!DOCTYPE html [<!ENTITY e0 "lol">{entities}]><html><body>Laugh: &e12;</body></html>'.encode()
    text = parse(sandbox, tmp_path, "laughs.html", content).text
    assert "Laugh" in text
    assert "lollol" not in text


def test_external_entities_of_an_html_file_are_not_read(sandbox: ParserSandbox, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("the secret of another file")
    content = f'<!DOCTYPE html [<!ENTITY x SYSTEM "{secret.as_uri()}">]><html><body>a &x; b</body></html>'.encode()
    assert "the secret" not in parse(sandbox, tmp_path, "outside.html", content).text


def test_numbers_in_html_attributes_cannot_break_or_inflate_the_text(sandbox: ParserSandbox, tmp_path: Path) -> None:
    content = (
        '<html><body><ol start="½"><li>one</li></ol><ol start="99999999999999999999"><li>two</li></ol>'
        f'<table><tr><td colspan="²">three</td>{"<td colspan=1000>x</td>" * 50}</tr></table></body></html>'
    )
    text = parse(sandbox, tmp_path, "numbers.html", content.encode()).text
    assert "1. one" in text
    assert "1. two" in text
    assert "three" in text
    assert len(text) < 100_000


def test_a_line_of_twenty_megabytes_is_parsed_whole(sandbox: ParserSandbox, tmp_path: Path) -> None:
    content = b"word " * 4_000_000
    assert len(parse(sandbox, tmp_path, "line.txt", content).text) == len(content) - 1
    assert len(parse(sandbox, tmp_path, "line.md", b"# " + content).text) == len(content) + 1


def test_twenty_megabytes_of_blanks_hold_no_text(sandbox: ParserSandbox, tmp_path: Path) -> None:
    with pytest.raises(NoTextError):
        parse(sandbox, tmp_path, "blank.txt", b" " * 10_000_000 + b"\n" * 10_000_000)
    assert_still_parses(sandbox, tmp_path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("large.html", lambda: b"<html><body>" + b"<p>word <b>x</b> and more</p>" * 100_000),
        ("large.txt", lambda: b"word " * 20_000_000),
        ("large.pdf", lambda: pdf([["word " * 15] * 200_000])),
    ],
    ids=["html", "text", "pdf"],
)
def test_a_file_that_needs_too_much_memory_is_refused_for_that(
    tmp_path: Path, name: str, content: Callable[[], bytes]
) -> None:
    with ParserSandbox(ParserLimits(memory_bytes=80_000_000)) as sandbox:
        with pytest.raises(ParseError, match="80,000,000 bytes of memory"):
            parse(sandbox, tmp_path, name, content())
        assert_still_parses(sandbox, tmp_path)


def test_marks_that_may_take_for_ever_to_put_in_order_run_into_the_limit_or_are_read(tmp_path: Path) -> None:
    """Minutes where Python sorts them in quadratic time; mended releases take no time and give all of them."""
    content = "a" + "\u0315\u0300" * 400_000
    with ParserSandbox(ParserLimits(cpu_seconds=2)) as sandbox:
        try:
            outcome = str(parse(sandbox, tmp_path, "marks.txt", content.encode()).text.count("\u0315"))
        except ParserLimitError as error:
            outcome = error.detail
        assert outcome == "400000" or "CPU time" in outcome
        assert_still_parses(sandbox, tmp_path)


def test_text_in_other_character_sets_is_read(sandbox: ParserSandbox, tmp_path: Path) -> None:
    assert parse(sandbox, tmp_path, "wide.txt", "Größe: 5 €".encode("utf-16")).text == "Größe: 5 €"
    assert (
        parse(sandbox, tmp_path, "old.txt", "Crème brûlée à volonté".encode("latin-1")).text == "Crème brûlée à volonté"
    )


def test_text_that_goes_on_as_binary_data_is_refused(sandbox: ParserSandbox, tmp_path: Path) -> None:
    with pytest.raises(DamagedDocumentError, match="binary"):
        parse(sandbox, tmp_path, "installer.txt", b"#!/bin/sh\n" * 1_000 + bytes(range(256)) * 1_000)
    assert_still_parses(sandbox, tmp_path)
