"""The main content of pages keeps their tables and headings, and loses what surrounds it."""

import tempfile
from pathlib import Path

import pytest

from ingest.parsing.html import parse_html
from ingest.sources.errors import ItemRefusedError
from ingest.sources.web_pages import read_page

_PROSE = "The pump must be serviced every 500 hours by trained staff, who wear gloves and goggles at all times."
_TABLE = """<table><caption>Intervals</caption><tr><th rowspan=2>Part<th colspan=2>Hours<tr><th>light<th>heavy
<tr><td>Seal<td>500<td>250<tr><td>Filter<td>900<td>450</table>"""
_OIL = f"<h2>Oil</h2><p>{_PROSE.replace('pump', 'oil')}</p><ul><li>Drain<li>Fill</ul>"
_CONTENT = f"<h1>Pump manual</h1><p>{_PROSE}</p>{_TABLE}{_OIL}"
_MENU = "<ul><li><a href=/a>Valves</a><li><a href=/b>Turbines</a><li><a href=/c>Oil</a></ul>"
_LEGAL = "<p>Copyright Harbour Ltd. All rights reserved. We use cookies to improve your experience on this site.</p>"

# Pages as content management systems write them: with landmarks, with classes, and with nothing but blocks and tables.
PAGES = {
    "landmarks": f"<header>{_MENU}</header><main>{_CONTENT}</main><aside>{_MENU}</aside><footer>{_LEGAL}</footer>",
    "classes": f"<div class=top>{_MENU}</div><div class=content>{_CONTENT}</div><div class=footer>{_LEGAL}</div>",
    "blocks": f"<div><div>{_MENU}</div><div><div>{_CONTENT}</div></div><div>{_MENU}</div></div>",
    "article": f"<div id=sidebar>{_MENU}</div><article>{_CONTENT}</article><div id=cookie-banner>{_LEGAL}</div>",
}


def read_text(html: str) -> str:
    page = read_page(f"<html><head><title>T</title></head><body>{html}</body></html>".encode(), "https://a.org/x/")
    with tempfile.NamedTemporaryFile() as file:
        Path(file.name).write_bytes(page.content)
        return parse_html(Path(file.name)).text


@pytest.mark.parametrize("name", PAGES)
def test_the_main_content_is_kept_whole_and_the_menus_are_not(name: str) -> None:
    text = read_text(PAGES[name])
    assert "Turbines" not in text
    assert text.count("# Pump manual") == 1
    for kept in (_PROSE, "## Oil", "Intervals", "| Seal | 500 | 250 |", "| Filter | 900 | 450 |", "- Drain", "- Fill"):
        assert kept in text


@pytest.mark.parametrize("name", ["landmarks", "classes", "article"])
def test_legal_notices_around_the_content_are_removed(name: str) -> None:
    assert "cookies" not in read_text(PAGES[name])


def test_a_page_with_nothing_but_a_table_keeps_it() -> None:
    assert "| Seal | 500 | 250 |" in read_text(_TABLE)


def test_a_heading_beside_the_only_paragraph_is_kept() -> None:
    text = read_text(f"<div>{_MENU}</div><div><h2>Safety</h2><p>{_PROSE}</p></div>")
    assert "## Safety" in text


def test_links_are_absolute_and_each_is_named_once() -> None:
    html = "<base href='/docs/'><a href=a>1</a><a href='a#b'>2</a><area href='/c'><iframe src=d></iframe>"
    html += "<a href='mailto:x@y'>3</a>"
    page = read_page(html.encode(), "https://a.org/x/")
    assert page.links == ("https://a.org/docs/a", "https://a.org/c", "https://a.org/docs/d")


def test_the_character_set_of_the_header_is_used() -> None:
    content = "<p>Größe der Dichtung: fünf Millimeter</p>".encode("iso-8859-1")
    assert "Größe".encode() in read_page(content, "https://a.org/", "iso-8859-1").content


def test_a_page_that_is_nested_too_deeply_is_refused() -> None:
    with pytest.raises(ItemRefusedError):
        read_page(b"<div>" * 100_000, "https://a.org/")
