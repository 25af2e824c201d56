"""Renders a model's Markdown as Slack's mrkdwn, in which nothing can load, link or run but our own citations.

Slack turns bare addresses, mentions and channels into links automatically. Therefore an address is written as
`https[:]//example[.]org`, a name that contains a dot is formatted as code, and `@` and `#` before a word become
full-width.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from markdown_it.token import Token

from api.answers.forms import CitedSpan
from api.answers.markdown import parse_markdown
from ingest.storage.texts.normalize import remove_invisible_characters

# Maximum number of characters in a table cell. Tables become code blocks with bars between columns, and cells are
# truncated, because code lines do not wrap.
CELL_CHARS = 60
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


@dataclass(frozen=True)
class CellPart:
    """A part of a table's cell as plain text. `address` is the address to link, for a citation."""

    text: str
    address: str | None = None
    is_bold: bool = False


@dataclass(frozen=True)
class MarkdownTable:
    """A table, with the parts of each cell. The first row contains the names of the columns."""

    rows: tuple[tuple[tuple[CellPart, ...], ...], ...]


def render_mrkdwn(text: str, cited_spans: Mapping[int, CitedSpan], base_url: str | None) -> str:
    """Render Markdown as mrkdwn. Citations are links to portal pages; without a `base_url`, they remain plain text."""
    blocks = _MrkdwnWriter(cited_spans, base_url).render_blocks(parse_markdown(text, cited_spans))
    return remove_invisible_characters(blocks).strip()


def render_mrkdwn_parts(
    text: str, cited_spans: Mapping[int, CitedSpan], base_url: str | None
) -> Iterator[str | MarkdownTable]:
    """Yield the parts of a text in order: mrkdwn as from `render_mrkdwn`, and the tables between them.

    Tables inside lists and quotations are part of the mrkdwn.
    """
    tokens = parse_markdown(text, cited_spans)
    writer = _MrkdwnWriter(cited_spans, base_url)
    begin = 0
    while begin < len(tokens):
        is_table = tokens[begin].type == "table_open"
        ends = "table_close" if is_table else "table_open"
        end = next((at for at in range(begin, len(tokens)) if (tokens[at].type, tokens[at].level) == (ends, 0)), None)
        if is_table and end is not None:
            yield writer.build_table(tokens[begin:end])
            begin = end + 1
            continue
        part = _MrkdwnWriter(cited_spans, base_url).render_blocks(tokens[begin:end])
        if part := remove_invisible_characters(part).strip():
            yield part
        begin = len(tokens) if end is None else end


def render_table_rows(table: MarkdownTable) -> str:
    """Render a table as mrkdwn, one line for each row, with the name of the column before each cell."""
    header, *rows = table.rows
    names = ["".join(part.text for part in cell) for cell in header]
    lines = []
    for row in rows:
        cells = []
        for name, cell in zip(names, row, strict=False):
            content = _join_parts(
                f"<{part.address.translate(_SLACK)}|{_escape_links(part.text)}>"
                if part.address is not None
                else escape_mrkdwn(part.text)
                for part in cell
            )
            if content:
                cells.append(f"*{escape_mrkdwn(name)}:* {content}" if name.strip() else content)
        lines.append("• " + " · ".join(cells))
    return "\n".join(lines)


def render_mrkdwn_title(title: str, cited_span: CitedSpan, base_url: str | None) -> str:
    """Render a title as a link to the cited span. Without a `base_url`, the title is plain text."""
    return _join_parts(_iter_escaped_parts(title)) if base_url is None else _render_link(cited_span, base_url, title)


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


def escape_rich_text(text: str) -> str:
    """Return plain text for Slack's rich text, in which no part can become a link, mention, channel or code."""
    return escape_markdown(text).translate(_QUOTING_CODE)


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
                    self._write_table(tokens[at:end])
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

    def _write_table(self, tokens: Sequence[Token]) -> None:
        """Write a table as a code block. Code cannot contain links, so its citations follow in a line."""
        self._write_code_block(_render_table_lines(tokens))
        markers = [
            each
            for token in tokens
            if token.type == "inline"
            for each in token.children or ()
            if each.type == "citation"
        ]
        by_number = {each.meta["number"]: each for each in markers}
        # guard: slack-table-citations
        if by_number and self._base is not None:
            self._lines.pop()  # The blank line after the code block.
            self._write_lines(" ".join(self._render_marker(each) for each in by_number.values()))
            self._write_blank_line()

    def build_table(self, tokens: Sequence[Token]) -> MarkdownTable:
        """Build a table from its tokens."""
        rows: list[list[tuple[CellPart, ...]]] = []
        for token in tokens:
            if token.type == "tr_open":
                rows.append([])
            elif token.type == "inline":
                rows[-1].append(tuple(self._iter_cell_parts(token.children or [])))
        return MarkdownTable(tuple(map(tuple, rows)))

    def _iter_cell_parts(self, tokens: Sequence[Token]) -> Iterator[CellPart]:
        depth = 0
        for token in tokens:
            depth += token.nesting if token.type.startswith("strong_") else 0
            if token.type == "citation" and self._base is not None:
                address = self._base.rstrip("/") + self._cited[token.meta["number"]].page_path
                yield CellPart(token.content, address)
            elif text := " " if token.type == "softbreak" else remove_invisible_characters(token.content):
                yield CellPart(text, is_bold=depth > 0)

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
            rows[-1].append(content if len(content) <= CELL_CHARS else f"{content[: CELL_CHARS - 1]}…")
    widths = [max(len(row[at]) for row in rows if at < len(row)) for at in range(max(map(len, rows)))]
    lines = [" | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False)).rstrip() for row in rows]
    return [lines[0], "-+-".join("-" * width for width in widths), *lines[1:]]
