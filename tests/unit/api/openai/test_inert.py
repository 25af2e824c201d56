import re

from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from api.openai.inert import MarkdownNeutralizer, neutralize_markdown

_ACTIVE = {"link_open", "image", "html_inline", "html_block"}
_PARSER = MarkdownIt("gfm-like")
assert _PARSER.linkify is not None
_PARSER.linkify.add("//", None)  # nor are addresses without a scheme
_PARSER.linkify.set({"fuzzy_link": False, "fuzzy_email": False})  # names with a dot are no links on most pages
_PIECES = (
    *("![x](", "](http://e.org)", "<img src=x>", "<http://e.org>", "[r]", "]: /x", "https://e.org/?q=", "<!--", "</a>"),
    *("\n", " ", "a", "![", "](", "]:", "<", "!", "[", ")", "www", ".", ":", "//", "`", "\\", "&lt;"),
)
_HOSTILE = st.lists(st.sampled_from(_PIECES)).map("".join)


def _active(markdown: str) -> list[str]:
    tokens = [inner for token in _PARSER.parse(markdown) for inner in (token, *(token.children or ()))]
    return [token.type for token in tokens if token.type in _ACTIVE]


@given(_HOSTILE)
def test_nothing_is_left_that_a_renderer_would_load_link_or_run(text: str) -> None:
    assert _active(neutralize_markdown(text)) == []
    assert len(neutralize_markdown(text)) == len(text)


@given(st.one_of(_HOSTILE, st.text()), st.lists(st.integers(0, 40)))
def test_pieces_give_what_the_whole_text_gives(text: str, cuts: list[int]) -> None:
    made, out, at = MarkdownNeutralizer(), "", 0
    for cut in cuts:
        out += made.feed(text[at : at + cut])
        at += cut
    assert out + made.feed(text[at:]) + made.finish() == neutralize_markdown(text)


def test_markers_code_and_ordinary_sentences_stay_as_they_are() -> None:
    text = "Ada kept it [1]. It cost 3 < 4 (not 5!) [2], see *there*:\n\n- one\n- two [1]\n\n| a | b |\n| --- | --- |\n"
    assert neutralize_markdown(text) == text
    assert re.findall(r"\[\d+\]", neutralize_markdown("Yes [1](x) ![2] [3]: y")) == ["[1]", "[2]", "[3]"]


def test_an_address_without_a_scheme_is_no_address_any_more() -> None:
    assert neutralize_markdown("see www.example.org and WWW.example.org") == "see www．example.org and WWW．example.org"
