"""Renders Markdown tables as Slack's table blocks, in which citations are links.

For the limits, see https://docs.slack.dev/reference/block-kit/blocks/table-block. Slack also rejects cells without
text, and tables whose cells have more than 10,000 characters in total.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from api.answers.mrkdwn import CELL_CHARS, CellPart, MarkdownTable, escape_rich_text
from api.slack.replies.blocks import count_block_bytes

_MAX_ROWS, _MAX_COLUMNS = 100, 20
# Maximum size of a table as JSON, which leaves room for other blocks of the message.
_TABLE_BYTES = 9_000
# Maximum size of a table in a code block with aligned columns. The columns of a larger table are not aligned.
_ALIGNED_BYTES = 8_000
_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})

Block = dict[str, Any]


def build_table_block(table: MarkdownTable) -> Block | None:
    """Build the block for a table. Returns None if the table exceeds Slack's limits."""
    rows = [[_build_cell(cell) for cell in row] for row in table.rows]
    block = {"type": "table", "rows": rows, "column_settings": [{"is_wrapped": True} for _ in rows[0]]}
    # guard: slack-table-limits
    if len(rows) > _MAX_ROWS or len(rows[0]) > _MAX_COLUMNS or count_block_bytes(block) > _TABLE_BYTES:
        return None
    return block


def format_simple_table(block: Mapping[str, Any]) -> str:
    """Format a table block as mrkdwn: a code block, and the links below it, because code cannot contain links."""
    rows = [["".join(each["text"] for each in _iter_parts(cell)).strip() for cell in row] for row in block["rows"]]
    links = {
        each["url"]: each["text"]
        for row in block["rows"]
        for cell in row
        for each in _iter_parts(cell)
        if "url" in each
    }
    shown = [[cell if len(cell) <= CELL_CHARS else f"{cell[: CELL_CHARS - 1]}…" for cell in row] for row in rows]
    widths = [max(len(row[at]) for row in shown) for at in range(len(shown[0]))]
    header, *lines = [
        " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in shown
    ]
    text = "\n".join([header, "-+-".join("-" * width for width in widths), *lines])
    if len(text.encode()) > _ALIGNED_BYTES:
        text = "\n".join(" | ".join(row) for row in shown)
    fence = f"```\n{text.translate(_ESCAPES)}\n```"
    line = " ".join(f"<{url.translate(_ESCAPES)}|{label}>" for url, label in links.items())
    return f"{fence}\n{line}" if line else fence


def _build_cell(parts: Sequence[CellPart]) -> Block:
    """Build a cell. Text of documents is neutralized, so the only links are those of citations."""
    if not any(part.address is not None or part.is_bold for part in parts):
        # guard: slack-table-text-inert
        return {"type": "raw_text", "text": escape_rich_text("".join(part.text for part in parts)).strip() or " "}
    elements: list[Block] = []
    for part in parts:
        if part.address is not None:
            elements.append({"type": "link", "url": part.address, "text": part.text})
        else:
            style = {"style": {"bold": True}} if part.is_bold else {}
            elements.append({"type": "text", "text": escape_rich_text(part.text), **style})
    return {"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": elements}]}


def _iter_parts(cell: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """Return the parts of a cell, each with a `text` and, if it is a link, a `url`."""
    return [cell] if cell["type"] == "raw_text" else list(cell["elements"][0]["elements"])
