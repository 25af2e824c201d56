"""Blocks of Slack messages, and the splitting of long mrkdwn.

For the limits, see https://docs.slack.dev/reference/block-kit/blocks; slack-sdk's models check them too.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from api.answers.mrkdwn import escape_mrkdwn

Blocks = list[dict[str, Any]]

SECTION_CHARS = 3_000
_FENCE = "```"


@dataclass(frozen=True)
class SlackMessage:
    """A Slack message: its blocks, and the plain text for notifications."""

    blocks: Blocks = field(default_factory=list)
    text: str = ""


def build_section_block(text: str) -> dict[str, Any]:
    """Build a section block of mrkdwn."""
    return {"type": "section", "text": build_mrkdwn(text), "expand": True}


def build_context_block(text: str) -> dict[str, Any]:
    """Build a context block, which shows mrkdwn in fine print."""
    return {"type": "context", "elements": [build_mrkdwn(text)]}


def build_button(text: str, action: str, value: str, *, style: str | None = None) -> dict[str, Any]:
    """Build a button. `style` is `primary` or `danger`."""
    element: dict[str, Any] = {"type": "button", "text": build_text(text), "action_id": action, "value": value}
    return element if style is None else {**element, "style": style}


def build_mrkdwn(text: str) -> dict[str, Any]:
    """Build a text object of mrkdwn, in which Slack recognizes no addresses by itself."""
    return {"type": "mrkdwn", "text": text or " ", "verbatim": True}


def build_text(text: str) -> dict[str, Any]:
    """Build a text object of plain text."""
    return {"type": "plain_text", "text": text}


def split_mrkdwn(text: str, max_chars: int) -> Iterator[str]:
    """Split mrkdwn at paragraph, line or word boundaries, closing code blocks and reopening them in the next piece."""
    while len(text) > max_chars:
        at = _find_split_position(text, max_chars - 2 * len(_FENCE) - 2)
        piece, text = text[:at].rstrip(), text[at:].lstrip("\n")
        # Close an open code block at the end of this piece, and reopen it in the next piece.
        if piece.count(_FENCE) % 2:
            piece, text = f"{piece}\n{_FENCE}", f"{_FENCE}\n{text}"
        if piece.strip():
            yield piece
    if text.strip():
        yield text


def _find_split_position(text: str, max_chars: int) -> int:
    """Find a cut that splits no link, citation or list item. Returns `max_chars` if there is none."""
    head = text[:max_chars]
    for end in ("\n\n", "\n", " "):
        at = head.rfind(end)
        if at > max_chars // 2 and not _is_in_link(head[:at]):
            return at + len(end)
    at = head.rfind("<") if _is_in_link(head) else max_chars
    return at if at > 0 else max_chars


def _is_in_link(prefix: str) -> bool:
    return prefix.rfind("<") > prefix.rfind(">")


def join_lines(lines: Iterable[str]) -> str:
    """Join as many of the lines as fit in a section."""
    text = ""
    for line in lines:
        if len(text) + len(line) + 1 > SECTION_CHARS:
            break
        text = f"{text}\n{line}" if text else line
    return text


def neutralize_text(text: str) -> str:
    """Return plain text as one line of mrkdwn without links, mentions or emphasis."""
    return escape_mrkdwn(" ".join(text.split()))


def shorten_text(text: str, max_chars: int) -> str:
    """Truncate a string to `max_chars` characters, without splitting a character reference such as `&amp;`."""
    if len(text) <= max_chars:
        return text
    head = text[: max_chars - 1]
    at = head.rfind("&")
    return (head[:at] if at > len(head) - 6 and ";" not in head[at:] else head) + "…"


def count_block_bytes(block: dict[str, Any]) -> int:
    """Return the size of a block as JSON."""
    return len(json.dumps(block, ensure_ascii=False).encode())
