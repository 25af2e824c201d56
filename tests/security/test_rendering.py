"""Rendered answers hold no link, image or node that is not ours, whatever the model wrote."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.answers.forms import CitedSpan, Form
from api.answers.rendering import render_text, render_title_link
from tests.security.injections import PAYLOADS
from tests.support.inert import faults_of_html, faults_of_mrkdwn

CITED = {1: CitedSpan("4f1c", 3, 90), 2: CitedSpan('a"b/../c?d', 0, 5)}
BASE = "https://leadline.test"
RELATIVE = {each.api_path for each in CITED.values()}
ABSOLUTE = {BASE + each.page_path for each in CITED.values()}
_PIECES = (
    *(
        "word",
        "two words",
        "[1]",
        "[2]",
        "[3]",
        "\\[1\\]",
        " ",
        "\n",
        "\n\n",
        "    ",
        "\t",
        "- ",
        "1. ",
        "> ",
        "# ",
        "|",
        "|---|",
    ),
    *(
        "*",
        "**",
        "_",
        "~~",
        "`",
        "``",
        "```",
        "~~~",
        "\\",
        "&",
        "<",
        ">",
        "!",
        "[",
        "]",
        "(",
        ")",
        "{",
        "}",
        '"',
        "'",
        ":",
        "/",
        "//",
    ),
    *(
        "https://evil.test/a?b=c",
        "http:",
        "javascript:",
        "data:text/html,",
        "mailto:a@evil.test",
        "evil.test",
        "www.evil.test",
    ),
    *(
        "&lt;",
        "&#60;",
        "&#x202e;",
        "&colon;",
        "&NewLine;",
        "%3c",
        "<!--",
        "-->",
        "<![CDATA[",
        "<?",
        "</",
        "/>",
        "<img src=x onerror=a>",
    ),
    *(
        "<script>",
        "<svg/onload=a>",
        "<a href=",
        "<!channel>",
        "<@U1>",
        "<#C1|x>",
        "@here",
        "#general",
        "|x>",
        "^",
        "=",
        "x=1",
        "a.bc",
    ),
    *(
        "\u202e",
        "\u200b",
        "\U000e0041",
        "\x00",
        "\ufeff",
        "é",
        "漢",
        "\u2028",
        "[a]: https://evil.test",
        "![a](",
        "](",
        "[a][b]",
    ),
    *("---", "===", "***", ":-:", "$", "+", "_a_", "x@y.zz", "\r", "\x0b", "＜", "ſ", "0", "9)", "- [ ] "),
)

FORMATTED = (
    "# Head\n\nA *b* **c** ~~d~~ `e` [1]\n\n- one\n  1. two\n\n| x | yy |\n|---|---|\n| 1 | 2 |\n\n"
    "```py\nif a < b:\n```\n\n> said"
)


def _faults(text: str) -> list[str]:
    html = render_text(Form.HTML, text, CITED, BASE)
    mrkdwn = render_text(Form.MRKDWN, text, CITED, BASE)
    plain = render_text(Form.MRKDWN, text, CITED, None)
    return [
        *faults_of_html(html, RELATIVE),
        *faults_of_mrkdwn(mrkdwn, ABSOLUTE),
        *faults_of_mrkdwn(plain, ()),
        *faults_of_html(render_title_link(Form.HTML, text, CITED[1], BASE), RELATIVE),
        *faults_of_mrkdwn(render_title_link(Form.MRKDWN, text, CITED[1], BASE), ABSOLUTE),
        *faults_of_mrkdwn(render_title_link(Form.MRKDWN, text, CITED[1], None), ()),
    ]


def _violations(count: int, seed: int) -> list[tuple[str, list[str]]]:
    choose = random.Random(seed)
    texts = ("".join(choose.choices(_PIECES, k=choose.randint(1, 24))) for _ in range(count))
    return [(text, faults) for text in texts if (faults := _faults(text))]


def test_generated_markdown_renders_to_nothing_but_our_links() -> None:
    assert _violations(2_000, seed=1) == []


@pytest.mark.long
def test_a_hundred_thousand_generated_texts_render_to_nothing_but_our_links() -> None:
    assert _violations(100_000, seed=2) == []


@given(st.text(st.sampled_from("<>&[]()!`*_~|#@:/.\\\n -1a\u202e") | st.characters(), max_size=60))
def test_any_text_renders_to_nothing_but_our_links(text: str) -> None:
    assert _faults(text) == []


@pytest.mark.parametrize("payload", PAYLOADS)
def test_no_injection_comes_through(payload: str) -> None:
    for text in (
        payload,
        f"- {payload}",
        f"| a |\n|---|\n| {payload} |",
        f"> {payload}",
        f"**{payload}**",
        f"# {payload}",
    ):
        assert _faults(text) == []


def test_the_checkers_see_what_is_not_inert() -> None:
    for text in (
        "<img src=x>",
        "<a href='//evil.test'>x</a>",
        "<p onclick=a>",
        "<!-- a -->",
        "<script>a</script>",
        "a\u202eb",
    ):
        assert faults_of_html(text, RELATIVE), text
    hostile = (
        "<!channel>",
        "<https://evil.test|a>",
        "https://evil.test",
        "see evil.test",
        "@here",
        "#general",
        "a & b",
        "`a",
        "x`y.zz`",
    )
    for text in hostile:
        assert faults_of_mrkdwn(text, ABSOLUTE), text
    ours = f"<{BASE}{CITED[1].page_path.replace('&', '&amp;')}|[1]> &lt;a&gt; `evil.test`\n> quoted\n```\na.bc\n```"
    assert faults_of_mrkdwn(ours, ABSOLUTE) == []


def test_formatting_is_kept_in_html() -> None:
    text = FORMATTED
    html = render_text(Form.HTML, text, CITED, None)
    for part in ("<h1>Head</h1>", "<em>b</em>", "<strong>c</strong>", "<s>d</s>", "<code>e</code>", "<li>one", "<ol>"):
        assert part in html
    for part in ("<th>x</th>", "<td>2</td>", "<pre><code>if a &lt; b:\n</code></pre>", "<blockquote>"):
        assert part in html
    assert '<a href="/v1/documents/4f1c/content?start=3&amp;end=90"' in html


def test_formatting_is_kept_in_mrkdwn() -> None:
    text = FORMATTED
    link = f"<{BASE}/library/4f1c?start=3&amp;end=90|[1]>"
    assert render_text(Form.MRKDWN, text, CITED, BASE) == "\n".join(
        [
            *("*Head*", "", f"A _b_ *c* ~d~ `e` {link}", "", "• one", "    1. two", ""),
            *("```", "x | yy", "--+---", "1 | 2", "```", "", "```", "if a &lt; b:", "```", "", "> said"),
        ]
    )


def test_only_markers_of_citations_are_links_and_escaped_ones_are_not() -> None:
    html = render_text(Form.HTML, "a [1] b [3] c \\[1\\] d `[1]` e [1](https://evil.test)", CITED, None)
    assert html.count("<a ") == 2
    assert "[3]" in html
    assert "(https://evil.test)" in html


def test_the_text_of_a_refused_link_stays_readable() -> None:
    text = "Read [the terms](https://evil.test/x) or ![a chart](https://evil.test/y) of it."
    assert render_text(Form.HTML, text, {}, None).strip() == f"<p>{text}</p>"
    shown = render_text(Form.MRKDWN, text, {}, None)
    assert shown == "Read [the terms](https[:]//evil[.]test/x) or ![a chart](https[:]//evil[.]test/y) of it."


@pytest.mark.slow
def test_deep_and_long_markdown_is_rendered() -> None:
    for text in (
        "> " * 5_000 + "x",
        "*" * 20_000,
        "- " * 3_000 + "x",
        "[" * 20_000,
        "`" * 9_999,
        "| a " * 2_000,
        "a\n" * 20_000,
    ):
        assert _faults(text) == []
