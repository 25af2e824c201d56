from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.parsing.errors import NoTextError
from ingest.parsing.html import parse_html
from ingest.parsing.html_blocks import write_html
from ingest.parsing.types import ParsedDocument
from ingest.parsing.writer import DocumentWriter
from ingest.storage.texts.layout import OmissionKind
from ingest.storage.texts.normalize import normalize


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "page.html"


def page(file: Path, body: str) -> ParsedDocument:
    file.write_text(f"<!doctype html><html><body>{body}</body></html>", encoding="utf-8")
    return parse_html(file)


def omitted(document: ParsedDocument) -> dict[OmissionKind, int]:
    return {each.kind: each.count for each in document.omissions}


_PROSE = "<p>" + "A ship is a large vessel that sails the sea with many men on board. " * 3 + "</p>"


@pytest.mark.parametrize(
    "body",
    [
        "<nav><ul><li><a href=a>Home</a></ul></nav><h1>Ships</h1>{prose}<footer>Imprint</footer>",
        "<header>The Site</header><h1>Ships</h1>{prose}<div role=navigation>Home</div>",
        "<div>Menu <a>x</a></div><main><h1>Ships</h1>{prose}<nav>On this page</nav></main><div>Cookies</div>",
        "<div>Menu</div><div><article><h1>Ships</h1>{prose}</article><aside>See also</aside></div>",
        "<div>Menu</div><h1>Ships</h1><div role=main>{prose}</div><div>Imprint</div>",
        "<ul><li><a>Home</a><li><a>About us</a></ul><h1>Ships</h1>{prose}<table><tr><td><a>Next</a></table>",
    ],
)
def test_what_stands_around_the_content_is_left_out_and_counted(file: Path, body: str) -> None:
    document = page(file, body.format(prose=_PROSE))
    assert document.text.startswith("# Ships\n\nA ship is")
    assert document.text.endswith("on board.")
    (omission,) = document.omissions
    assert (omission.kind, omission.count >= 1) == (OmissionKind.BOILERPLATE, True)


@pytest.mark.parametrize(
    "body",
    [
        "<nav><a>One</a> <a>Two</a></nav>",
        "<header><h1>Ships</h1></header>{prose}",
        "<article>{prose}<header>By Ann</header><footer>1851</footer><aside>Note</aside></article>",
        "<article>{prose}</article><article>{prose}</article>",
        "{prose}<ul><li>A list of things<li>that are no <a>links</a></ul>",
        "<h1>Index</h1><ul><li><a>One</a><li><a>Two</a></ul>",
        "{prose}<table><tr><th>A<tr><td><a>1</a></table>{prose}",
    ],
)
def test_what_may_be_content_stays(file: Path, body: str) -> None:
    document = page(file, body.format(prose=_PROSE))
    whole = DocumentWriter()
    write_html(whole, body.format(prose=_PROSE), keep_boilerplate=True)
    assert document.text == whole.finish("x", empty_message="").text
    assert not document.omissions


@pytest.mark.parametrize(
    "hidden",
    [
        "<p hidden>x</p>",
        "<div style='color: red; DISPLAY : none'>x</div>",
        "<span style='visibility:hidden'>x</span>",
        "<span style='font-size:0px'>x</span>",
        "<span style='opacity: 0.0'>x</span>",
        "<dialog>x</dialog>",
    ],
)
def test_hidden_elements_are_left_out_and_counted(file: Path, hidden: str) -> None:
    document = page(file, f"Seen{hidden}<span style='font-size:0.8em;opacity:0.5'> words</span>")
    assert " ".join(document.text.split()) == "Seen words"
    assert omitted(document) == {OmissionKind.HIDDEN: 1}


def test_a_table_has_its_spans_filled_its_header_joined_and_its_caption_above(file: Path) -> None:
    document = page(
        file,
        """<table><caption>Oil</caption>
        <thead><tr><th rowspan=2>Ship<th colspan=2>Barrels</tr><tr><th>1850<th>1851</tr></thead>
        <tr><td rowspan=2>Essex<td>1<td>2<tr><td>3<td>4<tr><td colspan=3>None after that</table>""",
    )
    assert document.text.split("\n") == [
        *("Oil", "", "| Ship | Barrels 1850 | Barrels 1851 |", "| --- | --- | --- |"),
        *("| Essex | 1 | 2 |", "| Essex | 3 | 4 |", "| None after that | | |"),
    ]


def test_a_table_with_headings_of_its_rows_alone_has_no_names_of_columns(file: Path) -> None:
    rows = "<tr><th>Built<td>1799<tr><td colspan=2>At Amesbury<tr><th>Tons<td>238"
    named = page(file, f"<table><tr><th colspan=2>Essex{rows}</table>")
    assert named.text == "Essex\n\n| | |\n| --- | --- |\n| Built | 1799 |\n| At Amesbury | |\n| Tons | 238 |"
    headed = page(file, f"<table><tr><th>What<th>Essex{rows}</table>")
    assert headed.text.startswith("| What | Essex |\n| --- | --- |\n| Built | 1799 |")


def test_a_table_that_arranges_the_page_is_no_table_and_one_in_a_cell_is_counted(file: Path) -> None:
    inner = "<table><tr><td>a<td>b<tr><td>1<td>2</table>"
    layout = page(file, f"<table><tr><td><h2>Left</h2>words<td>{inner}</table>")
    assert layout.text == "## Left\n\nwords\n\n| a | b |\n| --- | --- |\n| 1 | 2 |"
    data = page(file, f"<table><tr><th>A<th>B<tr><td>x<td>y {inner}</table>")
    assert data.text.endswith("| x | y a b 1 2 |")
    assert omitted(data) == {OmissionKind.TABLE: 1}


def test_lists_terms_and_quotations_keep_their_structure(file: Path) -> None:
    document = page(
        file,
        """<ol><li>one<p>more</p><ul><li>deep</ul><li>two</ol><dl><dt>Keel<dd>A beam.<dd>Of wood.</dl>
        <blockquote>They named<br>Tobias.<blockquote>Deeper.</blockquote></blockquote><p>He said <q>no</q>.</p>""",
    )
    assert document.text == (
        "1. one\n\nmore\n\n  - deep\n2. two\n\n- Keel\n  - A beam.\n  - Of wood.\n\n"
        '> They named\n> Tobias.\n\n> > Deeper.\n\nHe said "no".'
    )


def test_code_keeps_its_lines_and_language_and_formulas_are_written_on_a_line(file: Path) -> None:
    document = page(
        file,
        """<pre><code class="hljs language-python">if x:<br>    y()</code></pre>
        <p>So <math><mfrac><mi>a</mi><mi>b</mi></mfrac></math><span aria-hidden=true>ab</span> is<math></math>.</p>""",
    )
    assert document.text == "```python\nif x:\n    y()\n```\n\nSo a/b is."
    assert omitted(document) == {OmissionKind.FORMULA: 1, OmissionKind.HIDDEN: 1}


def test_a_part_of_a_larger_document_is_read_whole_and_deeper(file: Path) -> None:
    writer = DocumentWriter()
    title = write_html(
        writer, "<title>T</title><h1>One</h1><nav>kept</nav>words", keep_boilerplate=True, level_offset=2
    )
    assert title == "T"
    document = writer.finish("test", empty_message="Nothing.")
    assert document.text == "### One\n\nkept\n\nwords"


def test_tables_nested_by_the_thousand_are_read_or_refused_as_too_deep(file: Path) -> None:
    document = page(file, "<table><tr><td>x<td>" * 300 + "end" + "</table>" * 300)
    assert "end" in document.text.split()


_MARKUP = st.sampled_from(
    (
        *("<p>", "</p>", "<ul>", "<li>", "</ul>", "<ol start=9>", "</ol>", "<table>", "<tr>", "<td colspan=3>", "<th>"),
        *(
            "<td rowspan=9999>",
            "</table>",
            "<h2>",
            "</h2>",
            "<pre>",
            "</pre>",
            "<div hidden>",
            "</div>",
            "<nav>",
            "</nav>",
        ),
        *("<dl>", "<dt>", "<dd>", "<br>", "<blockquote>", "<math>", "<main>", "word ", "| # ", "\n", "&#8203;", "<q>"),
    )
)


@given(st.lists(_MARKUP, max_size=40))
def test_any_markup_gives_normalized_text_or_says_that_there_is_none(pieces: list[str]) -> None:
    writer = DocumentWriter()
    write_html(writer, "".join(pieces))
    try:
        document = writer.finish("test", empty_message="Nothing.")
    except NoTextError:
        return
    assert normalize(document.text) == document.text
    for heading in document.layout.headings:
        assert document.text[heading.start : heading.end].endswith(heading.title)


_WORDS = st.integers(0, 10**6).map(lambda number: f" w{number} ")


@given(st.lists(_MARKUP | _WORDS, max_size=60))
def test_no_visible_word_is_lost_whatever_the_markup(pieces: list[str]) -> None:
    pieces = [piece for piece in pieces if piece not in ("<div hidden>", "<nav>", "<main>", "<math>", "<td colspan=3>")]
    writer = DocumentWriter()
    write_html(writer, "".join(pieces), keep_boilerplate=True)
    words = [piece.strip() for piece in pieces if piece.startswith(" w")]
    if words:
        assert set(words) <= set(writer.finish("test", empty_message="Nothing.").text.replace('"', " ").split())


@given(st.integers(30, 400))
def test_no_word_is_lost_in_deep_nesting(depth: int) -> None:
    for opening, closing in (("<table><tr><td>w<td>", "</table>"), ("<ul><li>w", "</ul>"), ("<div>w<blockquote>", "")):
        writer = DocumentWriter()
        write_html(writer, opening * depth + " end" + closing * depth)
        words = writer.finish("test", empty_message="Nothing.").text.split()
        assert words.count("w") == depth
        assert "end" in words


@pytest.mark.parametrize("tag", ["main", "section", "article", "header", "p", "div", "custom-part"])
def test_a_page_without_a_body_element_is_read_whole(file: Path, tag: str) -> None:
    file.write_text(f"<!doctype html><title>T</title><meta name=x><{tag}><h1>One</h1>two <p>three</{tag}>")
    found = parse_html(file)
    assert found.title == "T"
    assert found.text.split() == ["#", "One", "two", "three"]
