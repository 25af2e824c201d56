"""Writes threads of Slack as Markdown, with the names of their authors and the times of their messages."""

import html
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

# Subtypes of messages that people or apps have written. The others report events, such as somebody joining.
_WRITTEN = frozenset({None, "bot_message", "file_share", "me_message", "thread_broadcast"})
_MAX_TITLE_CHARS = 80
# Slack's markup: https://docs.slack.dev/messaging/formatting-message-text
_reference = re.compile(r"<(?P<kind>[@#!]?)(?P<target>[^<>|]*)(?:\|(?P<label>[^<>]*))?>")

Message = Mapping[str, Any]


def is_written(message: Message, own_user: str) -> bool:
    """Return whether a message has content of people or other apps. `own_user` is the app that reads the channel."""
    # Answers of this app must not become sources of other answers.
    # guard: source-slack-own-answers
    is_own = message.get("user") == own_user
    return message.get("subtype") in _WRITTEN and not is_own and bool(message.get("text") or message.get("files"))


def write_thread(channel_name: str, messages: Sequence[Message], find_name: Callable[[Message], str]) -> str:
    """Write messages as Markdown, under a heading with the beginning of the first message."""
    texts = [_write_text(message, find_name) for message in messages]
    title = " ".join(texts[0].split())[:_MAX_TITLE_CHARS]
    parts = [f"# #{channel_name}: {title}\n"]
    for message, text in zip(messages, texts, strict=True):
        edited = " (edited)" if message.get("edited") else ""
        parts.append(f"\n**{find_name(message)}** · {format_time(message['ts'])}{edited}\n\n{text}\n")
    return "".join(parts)


def format_time(ts: str) -> str:
    return datetime.fromtimestamp(float(ts), UTC).strftime("%Y-%m-%d %H:%M UTC")


def _write_text(message: Message, find_name: Callable[[Message], str]) -> str:
    def replace(match: re.Match[str]) -> str:
        kind, target, label = match["kind"], match["target"], match["label"]
        if kind == "@":
            return f"@{label or find_name({'user': target})}"
        if kind == "#":
            return f"#{label or target}"
        if kind == "!":
            return label or f"@{target.partition('^')[0]}"
        return f"[{label}]({target})" if label else target

    text = html.unescape(_reference.sub(replace, str(message.get("text") or "")))
    files = [f"[File: {each['name']}]" for each in message.get("files") or () if each.get("name")]
    return "\n".join([*([text] if text else []), *files])
