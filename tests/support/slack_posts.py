"""Messages in Slack's double: what Slack takes, checked by slack-sdk's own models, and how people see it."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from slack_sdk.errors import SlackObjectFormationError
from slack_sdk.models.blocks import Block

from api.slack.replies.waiting import DECISIONS

BOT = "U0BOT"
# Text of a message that shows how far the work is.
PROGRESS = ("Still working on the answer.", "Ich arbeite noch an der Antwort.")
_SECTION, _BLOCKS, _MARKDOWN = 3_000, 50, 12_000
_KNOWN_BLOCKS = frozenset(
    {
        "input",
        "section",
        "context",
        "context_actions",
        "actions",
        "alert",
        "carousel",
        "card",
        "markdown",
        "header",
        "divider",
        "plan",
        "table",
    }
)
_ROWS, _COLUMNS, _TABLE_CHARS = 100, 20, 10_000
# What streams take, and all blocks of a message as JSON, as measured by others.
_STREAM_BYTES, _MESSAGE_CHARS = 10_600, 13_200


@dataclass
class Posted:
    """A message in a channel; `streaming_since` while it is a stream, with the cards of its `tasks` and their title.

    `is_broken` says that it ended as a stream with a card that was not done, which Slack shows as a failure.
    """

    channel: str
    ts: str
    user: str
    text: str = ""
    blocks: list[dict[str, Any]] = field(default_factory=list)
    thread_ts: str | None = None
    metadata: dict[str, Any] | None = None
    streaming_since: float | None = None
    edits: int = 0
    edited_ts: str | None = None  # of a person's message
    title: str = ""
    tasks: dict[str, dict[str, Any]] = field(default_factory=dict)
    mode: str = ""
    is_broken: bool = False

    @property
    def is_whole(self) -> bool:
        """True for what the bot posts as a reply: it has blocks, and neither shows how far the work is nor asks."""
        return bool(self.blocks) and self.text not in PROGRESS and not self.decisions

    @property
    def decisions(self) -> dict[str, str]:
        """The values of the buttons with which people decide what becomes of a run, by their actions."""
        buttons = [each for block in self.blocks if block["type"] == "actions" for each in block["elements"]]
        return {each["action_id"]: each["value"] for each in buttons if each["action_id"] in DECISIONS}

    files: list[str] = field(default_factory=list)


class RefusedError(Exception):
    """Slack's word for why not."""


def add_to_stream(message: Posted, body: Mapping[str, Any]) -> None:
    """Add to a stream what a call brings: text, or chunks, and never both."""
    text, chunks = str(body.get("markdown_text") or ""), list(body.get("chunks") or [])
    if text and chunks:
        raise RefusedError("cannot_provide_both_markdown_text_and_chunks")
    mode = "chunks" if chunks else "text" if text else message.mode
    if message.mode and mode != message.mode:
        raise RefusedError("streaming_mode_mismatch")
    if len(text) > _MARKDOWN:
        raise RefusedError("msg_too_long")
    message.mode = mode
    for chunk in chunks:
        match chunk["type"]:
            case "markdown_text":
                text += chunk["text"]
            case "plan_update":
                message.title = chunk["title"]
            case "task_update" if chunk["status"] in ("pending", "in_progress", "complete", "error"):
                known = message.tasks.get(chunk["id"], {})
                details = known.get("details", "") + chunk.get("details", "")  # Slack appends them
                message.tasks[chunk["id"]] = {**chunk, "details": details}
            case _:
                raise RefusedError("invalid_chunks")
    message.text += text
    cards = sum(len(f"{task['title']}{task['details'] * 2}".encode()) for task in message.tasks.values())
    if len(message.text.encode()) + cards > _STREAM_BYTES:
        raise RefusedError("msg_too_long")


def checked(blocks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the blocks if Slack would take them."""
    if len(blocks) > _BLOCKS:
        raise RefusedError("invalid_blocks")
    if len(json.dumps(blocks, ensure_ascii=False)) > _MESSAGE_CHARS:
        raise RefusedError("msg_blocks_too_long")
    if [each["type"] for each in blocks].count("table") > 1:
        raise RefusedError("only_one_table_allowed")
    try:
        for parsed in Block.parse_all(blocks):
            parsed.validate_json()
    except SlackObjectFormationError as error:
        raise RefusedError(f"invalid_blocks: {error}") from error
    for block in blocks:
        if block["type"] not in _KNOWN_BLOCKS:
            raise RefusedError(f"invalid_blocks: {block['type']}")
        if block["type"] == "table":
            check_table(block)
        if block["type"] in ("section", "alert") and not 1 <= len(block["text"]["text"]) <= _SECTION:
            raise RefusedError("invalid_blocks: text")
    return blocks


def check_table(block: Mapping[str, Any]) -> None:
    """Refuse a table that Slack refuses: too many rows, columns or characters, and cells without text."""
    cells = [list(_rich(cell)) if "elements" in cell else [cell["text"]] for row in block["rows"] for cell in row]
    if len(block["rows"]) > _ROWS or any(len(row) > _COLUMNS for row in block["rows"]):
        raise RefusedError("invalid_blocks: table")
    if sum(len(text) for cell in cells for text in cell) > _TABLE_CHARS or not all(map("".join, cells)):
        raise RefusedError("invalid_blocks: cells")


def written(message: Posted) -> str:
    begin = "    " if message.thread_ts and message.thread_ts != message.ts else ""
    who = "Leadline" if message.user == BOT else message.user
    said = " ".join([*([message.text] if message.text else []), *(f"[file {each}]" for each in message.files)])
    lines = [line for block in message.blocks for line in _lines(block)]
    if not message.blocks:
        lines = [*_plan(message.title, list(message.tasks.values())), *([said] if said else [])]
    if message.is_broken:
        lines.insert(0, "Something went wrong")
    if message.streaming_since is not None:
        lines.append("▌")
    first, *rest = "\n".join(lines).split("\n")
    return "\n".join([f"{begin}{who}: {first}", *(f"{begin}    {line}".rstrip() for line in rest)])


def _lines(block: Mapping[str, Any]) -> Iterator[str]:
    match block["type"]:
        case "section" | "alert":
            mark = f"({block['level']}) " if block["type"] == "alert" else ""
            yield mark + block["text"]["text"]
        case "context":
            yield " · ".join(each["text"] for each in block["elements"])
        case "carousel":
            for card in block["elements"]:
                said = [card[part]["text"] for part in ("title", "subtitle", "body") if part in card]
                links = [each["url"] for each in card.get("actions", ())]
                yield "card: " + " | ".join([*said, *links])
        case "actions":
            yield "buttons: " + ", ".join(each["text"]["text"] for each in block["elements"])
        case "context_actions":
            yield "(feedback)"
        case "table":
            for row in block["rows"]:
                yield "row: " + " | ".join("".join(_rich({"elements": [cell]})) for cell in row)
        case "plan":
            tasks = [
                {**task, "details": "".join(_rich(task["details"])) if "details" in task else ""}
                for task in block["tasks"]
            ]
            yield from _plan(block["title"], tasks)


def _plan(title: str, tasks: list[dict[str, Any]]) -> Iterator[str]:
    if title or tasks:
        yield title
    for task in tasks:
        mark = {"complete": "✓", "in_progress": "…", "error": "✗"}.get(task["status"], " ")
        yield f"  {mark} {task['title']}" + (f" | {task['details']}" if task["details"] else "")


def _rich(text: Mapping[str, Any]) -> Iterator[str]:
    """Yield the texts of a rich text."""
    for element in text.get("elements", ()):
        if "url" in element:
            yield f"<{element['url']}|{element['text']}>"
        else:
            yield element["text"] if "text" in element else "".join(_rich(element))
