import io
from pathlib import Path

import docx as python_docx
import pytest
from PIL import Image

from ingest.parsing.containers import DOCX, OFFICE_ENCRYPTED
from ingest.parsing.errors import DamagedDocumentError, NoTextError, ParserLimitError, UnsupportedTypeError
from ingest.parsing.html import parse_html
from ingest.parsing.isolation.child import parse_into_folder
from ingest.parsing.ocr import IMAGE_TYPES
from ingest.parsing.registry import FORMATS, ParserFunction, get_parser
from ingest.parsing.text import parse_markdown, parse_text, parse_unstructured_text
from ingest.parsing.types import EntryLimits, ParsedDocument, ParserLimits
from ingest.storage.texts.layout import NO_LAYOUT
from ingest.storage.texts.normalize import normalize
from tests.support.samples import SAMPLES


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "file"


def _html(file: Path, body: str, head: str = "") -> ParsedDocument:
    file.write_text(f"<!doctype html><html><head>{head}</head><body>{body}</body></html>", encoding="utf-8")
    return parse_html(file)


def test_each_format_has_a_fingerprint_of_its_own() -> None:
    assert len({row.fingerprint for row in FORMATS.values()}) == len(
        {row.parse or row.unpack for row in FORMATS.values()}
    )


@pytest.mark.parametrize("media_type", sorted(set(FORMATS) - {OFFICE_ENCRYPTED, *IMAGE_TYPES}))
def test_a_parser_signs_what_it_made(file: Path, media_type: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(file.parent)
    file.write_bytes(SAMPLES.get(media_type, b"<p>Words.</p>"))
    assert get_parser(media_type, EntryLimits())(file).parser == FORMATS[media_type].fingerprint


def test_a_type_without_a_parser_is_refused() -> None:
    with pytest.raises(UnsupportedTypeError, match="image/heic"):
        get_parser("image/heic")


def test_plain_text_is_normalized_and_has_no_pages(file: Path) -> None:
    file.write_bytes(b"\xef\xbb\xbf# Not a title\r\n\r\nWords. \r\n")
    document = parse_text(file)
    assert document.text == "# Not a title\n\nWords."
    assert (document.title, document.layout) == (None, NO_LAYOUT)


@pytest.mark.parametrize("content", [b" \n\t\n", b"\xef\xbb\xbf", "\u200b\u202e".encode(), b""])
def test_a_text_of_nothing_visible_is_no_text(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    for parse in (parse_text, parse_markdown):
        with pytest.raises(NoTextError):
            parse(file)


def test_text_that_is_binary_after_all_is_damaged(file: Path) -> None:
    file.write_bytes(b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR")
    with pytest.raises(DamagedDocumentError, match="a PNG image"):
        parse_text(file)


@pytest.mark.parametrize(
    ("source", "title"),
    [
        ("# First #\n\n# Second", "First"),
        ("intro\n\n## Two\n\n# One", "One"),
        ("Underlined\n==========\n\ntext", "Underlined"),
        ("```sh\n# a comment\n```\n\n# Title", "Title"),
        ("~~~~\n```\n# inside\n~~~~\n\n# Title", "Title"),
        ("---\nauthor: A\ntitle: 'From the front'\n---\n\n# Heading", "From the front"),
        ("---\nauthor: A\n---\n\n# Heading", "Heading"),
        ("Rule\n\n---\ntitle: not front matter\n---\n", None),
        ("#no heading\n\n## Only two", None),
        ("# Title: Brine #\n\n## Author: Ines Calloway", "Brine"),
        ("title: Brine\nauthor: Ines Calloway\n\n# Part I", "Brine"),
    ],
)
def test_markdown_is_kept_and_titled(file: Path, source: str, title: str | None) -> None:
    file.write_text(source)
    document = parse_markdown(file)
    assert document.text == normalize(source)
    assert document.title == title


@pytest.mark.parametrize(
    ("source", "title"),
    [
        ("Title: Brine\n\nThe tide was late.", "Brine"),
        (
            "From: Ines\nReceived: by post,\n  on a Monday\nTITLE:  Brine, a  novel\nYear: 1937\n\nText.",
            "Brine, a novel",
        ),
        ("The tide was late.\nTitle: Brine\n", None),
        ("Author: Ines Calloway\n\nTitle: Brine", None),
        ("Title:\nBrine", None),
        ("Title pages: none\n", None),
    ],
)
def test_a_text_is_titled_by_the_fields_that_it_begins_with(file: Path, source: str, title: str | None) -> None:
    file.write_text(source)
    assert parse_text(file).title == title
    assert parse_unstructured_text(file, "python-1").title is None


def test_html_becomes_the_markdown_a_reader_would_write(file: Path) -> None:
    document = _html(
        file,
        """<h1>A <em>heading</em></h1>
        <p>A <b>b</b>old
        word and <a href="https://elsewhere.invalid/?q=1">a link</a>.<br>Next line, snake_case * 2.</p>
        <ul><li>one<ul><li>nested</li></ul></li><li>two</li></ul>
        <ol start="3"><li>three</li><li>four</li><li value="9">nine</li></ol>
        <table><tr><th>Name</th><th>Size</th></tr><tr><td>keel</td><td>3 m</td></tr></table>
        <pre><code>if x:\n    y()</code></pre>
        <blockquote><p>Quoted.</p></blockquote>
        <aside>left</aside><aside>right</aside>""",
    )
    assert document.text == (
        "# A heading\n\n"
        "A bold word and a link.\nNext line, snake_case * 2.\n\n"
        "- one\n  - nested\n- two\n\n"
        "3. three\n4. four\n9. nine\n\n"
        "| Name | Size |\n| --- | --- |\n| keel | 3 m |\n\n"
        "```\nif x:\n    y()\n```\n\n"
        "> Quoted.\n\n"
        "left\n\nright"
    )


def test_what_a_reader_of_html_does_not_see_is_dropped_and_the_text_around_it_kept(file: Path) -> None:
    document = _html(
        file,
        "a<script>1</script>b<style>2</style>c<!-- 3 -->d<noscript>4</noscript>e<template>5</template>"
        "f<svg><text>6</text></svg>g<iframe>7</iframe>h<button>8</button>i<select><option>9</option></select>"
        "j<textarea>10</textarea>k<?php 11 ?>l",
        "<title>T</title><style>12</style>",
    )
    assert document.text == "abcdefghijkl"


def test_an_image_leaves_its_description_and_no_address(file: Path) -> None:
    text = _html(file, '<p>See<img src="https://elsewhere.invalid/x.png" alt="a lead line">here.</p>').text
    assert text == "See [Image: a lead line] here."


def test_code_that_holds_a_fence_is_fenced_by_a_longer_one(file: Path) -> None:
    assert _html(file, "<pre>```\n# no heading\n```</pre>").text == "````\n```\n# no heading\n```\n````"


@pytest.mark.parametrize(
    ("head", "body", "title"),
    [
        ("<title> The\n title </title>", "<h1>Heading</h1>", "The title"),
        ("", "<svg><title>drawing</title></svg><h1>Head<i>ing</i> one</h1>", "Heading one"),
        ("<title> </title>", "<h1>Heading</h1>", "Heading"),
        ("", "words", None),
    ],
)
def test_html_is_titled_by_its_title_or_first_heading(file: Path, head: str, body: str, title: str | None) -> None:
    assert _html(file, body + "<p>words", head).title == title


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ('<meta charset="windows-1251"><p>Привет'.encode("cp1251"), "Привет"),
        ('<meta http-equiv="Content-Type" content="text/html; charset=Shift_JIS"><p>猫'.encode("cp932"), "猫"),
        ('<?xml version="1.0" encoding="iso-8859-1"?><html><body>été'.encode("latin-1"), "été"),
        ('<meta charset="windows-1251"><p>utf-8 after all: Привет'.encode(), "utf-8 after all: Привет"),
        ("<p>sans déclaration".encode("cp1252"), "sans déclaration"),
        ("<p>wide".encode("utf-16"), "wide"),
        (b"<p>" + b" " * 9_000 + b"a\x00b", "ab"),
    ],
)
def test_html_is_read_in_the_character_set_it_declares(file: Path, content: bytes, text: str) -> None:
    file.write_bytes(content)
    assert parse_html(file).text == text


@pytest.mark.parametrize(
    "content", [b"<html><body><!-- x --><script>y</script></body>", b"<!-- x -->", b"<p>&#8203;</p>"]
)
def test_html_without_words_is_no_text(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(NoTextError):
        parse_html(file)


def test_long_lists_and_lines_of_html_are_whole(file: Path) -> None:
    assert _html(file, f"<ol>{'<li>x</li>' * 3_000}</ol>").text.endswith("\n3000. x")
    assert len(_html(file, "word " * 2_500_000).text) == 12_499_999


def test_a_source_that_cannot_fit_is_refused_before_it_is_read(tmp_path: Path) -> None:
    """One line, a thousand times as long as the text may be."""

    def not_called(media_type: str) -> ParserFunction:
        raise AssertionError(media_type)

    path, limits = tmp_path / "file", ParserLimits(text_bytes=1_000)
    with path.open("wb") as file:
        file.truncate(1_000_000)
    for media_type in ("text/csv", "text/plain", "text/markdown", "application/json"):
        assert parse_into_folder(path, media_type, tmp_path, limits, not_called)["code"] == ParserLimitError.code
    path.write_bytes("a;b\n1;2\n".encode("utf-16"))
    assert parse_into_folder(path, "text/csv", tmp_path, ParserLimits(text_bytes=10), get_parser) == {}


def _word_of_a_scan() -> bytes:
    picture, file = io.BytesIO(), io.BytesIO()
    Image.new("RGB", (80, 80), "white").save(picture, "PNG")
    document = python_docx.Document()
    document.add_picture(picture)
    document.save(file)
    return file.getvalue()


@pytest.mark.parametrize(
    ("media_type", "content"),
    [
        (DOCX, _word_of_a_scan()),
        ("application/rtf", rb"{\rtf1\ansi {\pict\pngblip 89504e47}\par}"),
        ("text/html", b"<html><body><img src='scan.png'></body></html>"),
    ],
    ids=["docx", "rtf", "html"],
)
def test_a_document_of_pictures_says_in_which_form_their_text_is_recognized(
    tmp_path: Path, media_type: str, content: bytes
) -> None:
    path = tmp_path / "scan"
    path.write_bytes(content)
    with pytest.raises(NoTextError) as failed:
        get_parser(media_type)(path)
    assert "Save it as PDF" in failed.value.hint


def test_a_document_of_nothing_does_not_speak_of_pictures(tmp_path: Path) -> None:
    path = tmp_path / "empty"
    path.write_bytes(b"<html><body></body></html>")
    with pytest.raises(NoTextError) as failed:
        get_parser("text/html")(path)
    assert "saved completely" in failed.value.hint
