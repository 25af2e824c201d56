"""Parses a model's Markdown with an allow-list.

Text, emphasis, headings, lists, quotations, code and tables are parsed. Links, images, HTML and references are not
parsed and remain plain text. Citation markers such as `[1]` become tokens of the type `citation`, with their `number`.
"""

import re
from collections.abc import Mapping, Sequence
from html import escape

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict

from api.answers.forms import CitedSpan
from ingest.storage.texts.normalize import remove_invisible_characters

_MARKER = re.compile(r"\[(\d{1,4})\]")
_ROW = re.compile(r"\s*\|.*\|\s*")
_BAR = re.compile(r"(?<!\\)\|")
_SPACE_BEFORE_MARK = re.compile(r" +([.,;:!?])")


def parse_markdown(text: str, cited_spans: Mapping[int, CitedSpan]) -> list[Token]:
    """Parse Markdown into tokens. Only markers of the numbers in `cited_spans` become citations."""
    return MARKDOWN.parse(text, {"cited": cited_spans})


def render_plain_text(text: str) -> str:
    """Render Markdown as one line of plain text, without citations. Cells of tables are separated by commas.

    The text may be a single row of a table. The line is not escaped for Slack.
    """
    if _ROW.fullmatch(text):
        columns = len(_BAR.findall(text)) - 1
        text = f"|{' |' * columns}\n|{'---|' * columns}\n{text.strip()}"
    numbers = {int(number): None for number in _MARKER.findall(text)}
    lines: list[str] = []
    row: list[str] | None = None
    for token in MARKDOWN.parse(text, {"cited": numbers}):
        if token.type == "tr_open":
            row = []
        elif token.type == "tr_close" and row is not None:
            lines += [", ".join(filter(None, row)) + ";"] if any(row) else []
            row = None
        elif token.type == "inline":
            content = "".join(
                " " if each.type in ("softbreak", "hardbreak") else each.content
                for each in token.children or []
                if each.type != "citation" and not each.nesting
            )
            (lines if row is None else row).append(content.strip())
        elif token.type in ("fence", "code_block"):
            lines.append(token.content)
    words = " ".join(" ".join(lines).split()).removesuffix(";")
    return _SPACE_BEFORE_MARK.sub(r"\1", remove_invisible_characters(words))


def _parse_citation(state: StateInline, silent: bool) -> bool:
    """Parse a citation marker. markdown-it does not call this function inside code spans or for escaped brackets."""
    match = _MARKER.match(state.src, state.pos)
    number = int(match[1]) if match else None
    if match is None or number not in state.env.get("cited", {}):
        return False
    if not silent:
        token = state.push("citation", "", 0)
        token.content, token.meta = match[0], {"number": number}
    state.pos = match.end()
    return True


def _render_citation(
    renderer: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType
) -> str:
    cited: CitedSpan = env["cited"][tokens[index].meta["number"]]
    return f'<a href="{escape(cited.api_path)}">{escape(tokens[index].content)}</a>'


def _render_code(
    renderer: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType
) -> str:
    return f"<pre><code>{escape(tokens[index].content)}</code></pre>\n"


def _build_parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False, "linkify": False, "typographer": False, "maxNesting": 20})
    parser.enable(["table", "strikethrough"])
    # guard: markdown-links-off
    parser.disable(["html_block", "html_inline", "reference", "link", "image", "autolink", "linkify"], True)
    parser.inline.ruler.before("escape", "citation", _parse_citation)
    parser.add_render_rule("citation", _render_citation)
    parser.add_render_rule("fence", _render_code)
    parser.add_render_rule("code_block", _render_code)
    return parser


MARKDOWN = _build_parser()
"""The parser and its renderer for HTML. The `cited` of their environment contains the cited spans, keyed by number."""
