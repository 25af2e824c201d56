"""Files of Markdown for people: nothing that a model or a document wrote becomes Markdown of ours."""

import re

from api.answers.markdown_files import escape_line, format_code_block


def test_no_text_ends_the_block_that_it_stands_in() -> None:
    hostile = "code\n```\n# A heading\n````python\n![x](https://evil.example/x.png)"
    lines = format_code_block(hostile).splitlines()
    assert lines[0] == lines[-1] == "`````"
    assert lines[1:-1] == hostile.splitlines()


def test_a_line_has_no_markdown_in_it() -> None:
    written = escape_line("a\n# b [c](https://evil.example) <i>d</i> *e* `f` ![g](h)")
    assert "\n" not in written
    assert re.search(r"(?<!\\)[\[\]<>*`#!]", written) is None
