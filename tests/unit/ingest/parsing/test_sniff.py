import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.parsing.containers import OLE, ZIP
from ingest.parsing.errors import UnsupportedTypeError
from ingest.parsing.registry import FORMATS
from ingest.parsing.sniff import sniff_media_type
from ingest.storage.tables.types import EML_MEDIA_TYPE

_DOCTYPE = b"<!DOCTYPE html>\n<title>t</title>"


@pytest.mark.parametrize(
    ("head", "name", "declared", "media_type"),
    [
        (b"%PDF-1.7\n", "a.txt", "text/plain", "application/pdf"),
        (b"\xef\xbb\xbf\r\n%PDF-1.7\n", "a", None, "application/pdf"),
        (b"\x00\x01\x02junk\n%PDF-1.7\n", "a", None, "application/pdf"),
        (b"A PDF file starts with\n%PDF-1.7\n", "a.txt", None, "text/plain"),
        (b"{\\rtf1\\ansi Hello}", "a.txt", "text/plain", "application/rtf"),
        (_DOCTYPE, "a.txt", "text/plain", "text/html"),
        (b"\xef\xbb\xbf  <!-- saved --> " + _DOCTYPE.lower(), "a", None, "text/html"),
        (b'<?xml version="1.0"?>\n<html xmlns="http://www.w3.org/1999/xhtml">', "a.xml", None, "text/html"),
        (_DOCTYPE.decode().encode("utf-16"), "a", None, "text/html"),
        (b"<p>A piece.</p>", "a", None, "text/html"),
        (b'<p align="center">A logo</p>\n\n# Title', "README.md", None, "text/markdown"),
        (b"<p>A piece.</p>", "a.txt", None, "text/plain"),
        (b"Just words <b>here</b>", "a.html", None, "text/html"),
        (b"Just words here, 1 < 2", "a.html", None, "text/plain"),
        (b"# Title", "a.md", None, "text/markdown"),
        (b"# Title", "a.MARKDOWN", None, "text/markdown"),
        (b"# Title", "a", "text/markdown; charset=utf-8", "text/markdown"),
        (b"# a comment", "a.py", "text/x-python", "text/x-python"),
        (b"<note><to>x</to></note>", "a.xml", "application/xml", "text/plain"),
        (b"BM25 is a ranking function.", "a.txt", None, "text/plain"),
        (b"MZ is short for something.", "a.txt", None, "text/plain"),
        (b"\x1b[31mred\x1b[0m log line", "a.log", None, "text/plain"),
        ("Größe".encode("latin-1"), "a.txt", None, "text/plain"),
        ("Größe".encode("utf-16"), "a.txt", None, "text/plain"),
        (b"", "a.md", None, "text/markdown"),
    ],
)
def test_the_content_decides_and_the_name_only_between_kinds_of_text(
    head: bytes, name: str, declared: str | None, media_type: str
) -> None:
    assert sniff_media_type(head, name, declared) == media_type


@pytest.mark.parametrize(
    ("head", "looks_like"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "an HEIC image"),
        (gzip.compress(b"text", mtime=0), "a GZ archive"),
        (b"MZ\x90\x00\x03\x00\x00\x00", "an EXE file"),
        (b"ID3\x03\x00\x00\x00\x00", "an MP3 recording"),
        (b"%!PS-Adobe-3.0\n", "a PostScript file"),
        (bytes(100), "binary data"),
        (b"text, and then\x00", "binary data"),
        (b"\xff\xfe" + "\x01\x02\x03".encode("utf-16-le") * 9, "binary data"),
    ],
)
def test_what_is_not_text_is_refused_by_what_it_looks_like(head: bytes, looks_like: str) -> None:
    with pytest.raises(UnsupportedTypeError, match=looks_like) as raised:
        sniff_media_type(head, "notes.txt", "text/plain")
    assert raised.value.hint


def test_the_hint_for_an_archive_is_to_unpack_it() -> None:
    with pytest.raises(UnsupportedTypeError) as raised:
        sniff_media_type(gzip.compress(b"text", mtime=0), "data.csv.gz", None)
    assert raised.value.hint.startswith("Unpack the archive")


@given(st.binary(max_size=300), st.text(max_size=20), st.none() | st.text(max_size=20))
def test_any_bytes_are_of_a_type_with_a_parser_or_refused(head: bytes, name: str, declared: str | None) -> None:
    try:
        media_type = sniff_media_type(head, name, declared)
    except UnsupportedTypeError:
        return
    assert media_type in {*FORMATS, ZIP, OLE}


@given(st.text(min_size=1, max_size=300).filter(lambda text: text.isprintable()))
def test_printable_text_is_never_refused(text: str) -> None:
    assert sniff_media_type(text.encode(), "a.txt", None) in FORMATS


def test_a_web_page_in_one_file_is_a_message_though_word_names_no_sender_in_it() -> None:
    head = b'MIME-Version: 1.0\r\nContent-Type: multipart/related; boundary="a"\r\n\r\n--a\r\n\r\n<p>Hi'
    assert sniff_media_type(head, "tides.mht", None) == EML_MEDIA_TYPE
    assert sniff_media_type(head, "tides.mhtml", "multipart/related") == EML_MEDIA_TYPE
    assert sniff_media_type(head, "exported.doc", "application/msword") == EML_MEDIA_TYPE
    assert sniff_media_type(b"The tide: a page.", "notes.mht", None) == "text/plain"
