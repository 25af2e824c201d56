"""Renders a model's Markdown as HTML or as Slack's mrkdwn, using an allow-list.

A document may contain instructions that influence the model, so nothing in the model's text may load, link or run.
Text, emphasis, headings, lists, quotations, code and tables are rendered. Links, images, HTML and references are not
parsed and remain plain text. The only links are built here, from citation markers such as `[1]`, and lead to the cited
span of one of our own documents.

HTML is rendered by markdown-it and then cleaned by nh3, so that a bug in either of them does no harm. Slack turns bare
addresses, mentions and channels into links automatically. For Slack, an address is therefore written as
`https[:]//example[.]org`, a name that contains a dot is formatted as code, and `@` and `#` before a word become
full-width.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from html import escape

import nh3
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict

from api.answers.forms import CitedSpan, Form
from api.answers.schemas import AnswerOut
from ingest.storage.texts.normalize import remove_invisible_characters

_MARKER = re.compile(r"\[(\d{1,4})\]")
_TAGS = {
    *("p", "br", "hr", "h1", "h2", "h3", "h4", "h5", "h6", "strong", "em", "s", "code", "pre", "blockquote"),
    *("ul", "ol", "li", "table", "thead", "tbody", "tr", "th", "td", "a"),
}
_REL = "noopener noreferrer nofollow"
# Maximum number of characters in a table cell. Tables become code blocks with bars between columns, and cells are
# truncated, because code lines do not wrap.
_CELL_CHARS = 60
# Matches URLs and mail addresses. Slack turns these into links, as well as names that contain a dot.
_ADDRESS = re.compile(
    r"(?:[a-z][a-z0-9+.-]*:(?=//)|(?:mailto|tel|sms|callto|sip|xmpp|javascript|vbscript|data|file|slack|magnet|intent):"
    r"|//(?=\S)|www\.)[^\s`]*|[^\s@`]+@[^\s@`]+",
    re.IGNORECASE,
)
_NAME = re.compile(r"[^\W_](?:[\w-]*\.)+[^\W\d_]{2}[^\s`()\[\]]*")
_MENTION = re.compile(r"[@#](?!\s)")  # Also matches at the end of a string, because an emphasis mark may follow.
_SLACK = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
_EMPHASIS = str.maketrans({"*": "∗", "_": "ˍ", "~": "∼"})
_QUOTING_CODE = str.maketrans({"`": "ˋ"})


def render_answer(answer: AnswerOut, formats: Collection[Form], public_url: str | None) -> AnswerOut:
    """Return an answer with its text and titles rendered in `formats`. Links in mrkdwn require a `public_url`."""
    cited = {
        each.number: CitedSpan(each.document_id, each.start, each.end) for each in answer.citations if not each.deleted
    }
    texts: dict[str, str] = {}
    titles: dict[int, dict[str, str]] = {number: {} for number in cited}
    for form in formats:
        texts[form] = render_text(form, answer.text, cited, public_url)
        for each in answer.citations:
            if each.number in cited:
                titles[each.number][form] = render_title_link(form, each.title, cited[each.number], public_url)
    citations = [each.model_copy(update=titles.get(each.number)) for each in answer.citations]
    return answer.model_copy(update={**texts, "citations": citations})


def render_text(output_format: Form, text: str, cited_spans: Mapping[int, CitedSpan], base_url: str | None) -> str:
    """Render `text` in a format, and turn the citation markers for `cited_spans` into links.

    Links in HTML are REST paths, relative to the service's address. Links in mrkdwn lead to portal pages and require
    the service's address as `base_url`. Without `base_url`, markers in mrkdwn are left unchanged.
    """
    if output_format is Form.MRKDWN:
        return remove_invisible_characters(
            _MrkdwnWriter(cited_spans, base_url).render_blocks(_PARSER.parse(text, {"cited": cited_spans}))
        ).strip()
    allowed = {each.api_path for each in cited_spans.values()}
    return nh3.clean(
        remove_invisible_characters(_PARSER.render(text, {"cited": cited_spans})),
        tags=_TAGS,
        attributes={"a": {"href"}, "ol": {"start"}},
        attribute_filter=lambda tag, name, value: value if name != "href" or value in allowed else None,
        link_rel=_REL,
    )


def render_title_link(output_format: Form, title: str, cited_span: CitedSpan, base_url: str | None) -> str:
    """Render a document's title as a link to the cited span. Without a `base_url`, mrkdwn contains the title alone."""
    shown = " ".join(remove_invisible_characters(title).split()) or "Untitled"
    if output_format is Form.HTML:
        return f'<a href="{escape(cited_span.api_path)}" rel="{_REL}">{escape(shown)}</a>'
    return _join_parts(_iter_escaped_parts(shown)) if base_url is None else _render_link(cited_span, base_url, shown)


def escape_mrkdwn(text: str) -> str:
    """Render plain text as mrkdwn that contains no link, mention, channel or emphasis."""
    return _join_parts(
        part if part.startswith("`") else part.translate(_EMPHASIS)
        for part in _iter_escaped_parts(remove_invisible_characters(text))
    )


def escape_markdown(text: str) -> str:
    """Return Markdown without links, images, mentions or channels, for Slack to display while the text is streamed.

    The text must end at a word boundary, because names and addresses are recognized as whole words.
    """
    lines = _neutralize_addresses(remove_invisible_characters(text).replace("<", "＜"))
    lines = lines.replace("![", "！[").replace("](", "]（")
    lines = _NAME.sub(lambda match: match[0].replace(".", "．"), lines)
    return re.sub(r"@(?=\S)|#(?=[^\s#])", lambda match: "＠" if match[0] == "@" else "＃", lines)


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


_PARSER = _build_parser()


class _MrkdwnWriter:
    """Renders the tokens of one text as mrkdwn."""

    def __init__(self, cited_spans: Mapping[int, CitedSpan], base_url: str | None) -> None:
        self._cited = cited_spans
        self._base = base_url
        self._lines: list[str] = []
        # Prefixes of each open block, outermost block first: the prefix of its next line, and the prefix of the lines
        # after that.
        self._first: list[str] = []
        self._rest: list[str] = []
        self._numbers: list[int | None] = []

    def render_blocks(self, tokens: Sequence[Token]) -> str:
        """Render all blocks and return them as mrkdwn."""
        at, heading = 0, False
        while at < len(tokens):
            token = tokens[at]
            match token.type:
                case "heading_open" | "heading_close":
                    heading = token.nesting == 1
                case "inline":
                    self._write_lines(self._render_inline(token.children or [], is_bold=heading))
                case "fence" | "code_block":
                    self._write_code_block(token.content.rstrip("\n").split("\n"))
                case "hr":
                    self._write_lines("———")
                case "table_open":
                    end = next(i for i in range(at, len(tokens)) if tokens[i].type == "table_close")
                    self._write_code_block(_render_table_lines(tokens[at:end]))
                    at = end
                case _:
                    self._write_list_or_quotation(token)
            if token.type in ("paragraph_close", "heading_close") and not token.hidden:
                self._write_blank_line()
            at += 1
        return "\n".join(self._lines)

    def _write_list_or_quotation(self, token: Token) -> None:
        """Start or end a list, a list item or a quotation."""
        match token.type:
            case "bullet_list_open":
                self._numbers.append(None)
            case "ordered_list_open":
                self._numbers.append(int(token.attrs.get("start", 1)))
            case "bullet_list_close" | "ordered_list_close":
                self._numbers.pop()
                if not self._numbers:
                    self._write_blank_line()
            case "list_item_open":
                number = self._numbers[-1]
                self._open_block("• " if number is None else f"{number}. ", "    ")
                self._numbers[-1] = None if number is None else number + 1
            case "blockquote_open":
                self._open_block("> ", "> ")
            case "list_item_close" | "blockquote_close":
                self._first.pop()
                self._rest.pop()
                if token.type == "blockquote_close":
                    self._write_blank_line()

    def _open_block(self, first_prefix: str, next_prefix: str) -> None:
        self._first.append(first_prefix)
        self._rest.append(next_prefix)

    def _write_lines(self, text: str) -> None:
        for line in text.split("\n"):
            self._lines.append("".join(self._first) + line)
            self._first = list(self._rest)

    def _write_code_block(self, lines: Iterable[str]) -> None:
        """Write a code block without indentation, because Slack does not recognize indented code fences."""
        shown = [line.translate(_QUOTING_CODE).translate(_SLACK) for line in lines]
        self._lines += ["```", *shown, "```"]
        self._write_blank_line()

    def _write_blank_line(self) -> None:
        if self._lines and self._lines[-1]:
            self._lines.append("")

    def _render_inline(self, tokens: Sequence[Token], *, is_bold: bool) -> str:
        marks = {"strong": "" if is_bold else "*", "em": "_", "s": "~"}
        parts = ["*"] if is_bold else []
        for token in tokens:
            match token.type:
                case "text":
                    parts += _iter_escaped_parts(remove_invisible_characters(token.content))
                case "code_inline":
                    parts.append(_render_code_span(remove_invisible_characters(token.content).translate(_SLACK)))
                case "softbreak" | "hardbreak":
                    parts.append(" " if is_bold else "\n")
                case "citation":
                    parts.append(self._render_marker(token))
                case _ if token.nesting:
                    parts.append(marks.get(token.type.removesuffix("_open").removesuffix("_close"), ""))
        return _join_parts([*parts, "*"] if is_bold else parts)

    def _render_marker(self, token: Token) -> str:
        if self._base is None:
            return token.content
        return _render_link(self._cited[token.meta["number"]], self._base, token.content)


def _render_link(cited_span: CitedSpan, base_url: str, label: str) -> str:
    return f"<{base_url.rstrip('/')}{cited_span.page_path.translate(_SLACK)}|{_escape_links(label).replace('|', '¦')}>"


def _iter_escaped_parts(text: str) -> Iterator[str]:
    """Yield the parts of a plain text, each escaped so that Slack recognizes no link, mention, channel or code."""
    text, at = _escape_links(text), 0
    for match in _NAME.finditer(text):
        yield text[at : match.start()]
        yield _render_code_span(match[0])
        at = match.end()
    yield text[at:]


def _neutralize_addresses(text: str) -> str:
    # guard: slack-addresses-broken
    return _ADDRESS.sub(lambda match: match[0].replace(":", "[:]").replace(".", "[.]"), text)


def _escape_links(text: str) -> str:
    text = _neutralize_addresses(text.translate(_QUOTING_CODE))
    # guard: slack-controls-escaped
    return _MENTION.sub(lambda match: "＠" if match[0] == "@" else "＃", text).translate(_SLACK)


def _render_code_span(escaped_text: str) -> str:
    shown = escaped_text.translate(_QUOTING_CODE).strip()
    return f"`{shown}`" if shown else ""


def _join_parts(fragments: Iterable[str]) -> str:
    """Join the parts of a line. Slack requires a space where code touches a word, a link or other code."""
    text = ""
    for part in filter(None, fragments):
        last, first = text[-1:], part[0]
        touches = (first == "`" and (last == "`" or _is_word_char(last))) or (last == "`" and _is_word_char(first))
        text += f" {part}" if touches else part
    return text


def _is_word_char(char: str) -> bool:
    return char.isalnum() or char in ("_", "<", ">")


def _render_table_lines(tokens: Sequence[Token]) -> list[str]:
    """Return a table as lines of plain text with aligned columns, because mrkdwn has no tables."""
    rows: list[list[str]] = []
    for token in tokens:
        if token.type == "tr_open":
            rows.append([])
        elif token.type == "inline":
            content = "".join(
                each.content if each.content else " " for each in token.children or [] if not each.nesting
            )
            rows[-1].append(content if len(content) <= _CELL_CHARS else f"{content[: _CELL_CHARS - 1]}…")
    widths = [max(len(row[at]) for row in rows if at < len(row)) for at in range(max(map(len, rows)))]
    lines = [" | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False)).rstrip() for row in rows]
    return [lines[0], "-+-".join("-" * width for width in widths), *lines[1:]]
