"""Files of Markdown for people: nothing that a model or a document wrote becomes Markdown of ours."""

from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from api.answers.markdown_files import escape_line, escape_links, format_code_block


def test_no_text_ends_the_block_that_it_stands_in() -> None:
    hostile = "code\n```\n# A heading\n````python\n![x](https://evil.example/x.png)"
    lines = format_code_block(hostile).splitlines()
    assert lines[0] == lines[-1] == "`````"
    assert lines[1:-1] == hostile.splitlines()


@given(st.text("ab1 *_`[]()<>#+-.!|~\\&;:=/\n\t", max_size=30))
def test_a_line_has_no_markdown_in_it_wherever_it_stands(text: str) -> None:
    written, plain = escape_line(text), " ".join(text.split())
    parser = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    for before, opened in (("", "paragraph_open"), ("# ", "heading_open"), ("> ", "blockquote_open")):
        tokens = parser.parse(f"{before}{written}\n")
        inline = [each for each in tokens if each.type == "inline"]
        if not plain:
            continue
        assert tokens[0].type == opened, written
        assert len(inline) == 1
        assert {each.type for each in inline[0].children or []} <= {"text"}, written
        assert "".join(each.content for each in inline[0].children or []) == plain


def test_signs_that_are_no_markdown_stay_alone() -> None:
    text = "The rate (2024-25) is 5.5 % - not 3 * 2 < 7 - for snake_case_names, ~5 | 6! A & B + {C}. Why? It's #1."
    assert escape_line(text) == text
    assert escape_links("If a < b, see [1].") == "If a < b, see [1]."
