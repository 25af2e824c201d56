"""What a reader said, made sense of however it was said.

A model is asked for JSON and mostly gives it. Half a JSON object, JSON inside prose, and plain prose are read as far as
they go: nothing is believed before its quotations are located, so reading generously costs nothing.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from rlm.sentences import sentence_spans

_MAX_REPLY_CHARS = 20_000
_MAX_QUOTES = 8
_STRING = r'"((?:[^"\\]|\\.)*)(?:"|\\?$)'
_QUOTES_KEY = re.compile(r'"quotes?"\s*:', re.IGNORECASE)
_ANSWER = re.compile(r'"answer"\s*:\s*' + _STRING, re.IGNORECASE | re.DOTALL)
_QUOTE_STRING = re.compile(_STRING, re.DOTALL)
_IN_MARKS = re.compile(r"[\"“]([^\"“”]+)[\"”]")
_MARKER = re.compile(r" ?\[\d{1,3}\]")
_DECLINES = re.compile(
    r"\b(?:not|isn't|never) (?:\w+ ){0,2}(?:mentioned|specified|stated|provided|given|found|available|known|clear)\b"
    r"|\bno (?:answer|information)\b|\b(?:unknown|unspecified)\b|\bcannot (?:be )?(?:determined?|answer)"
    r"|^\W*(?:n/?a|none)\W*$",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Quotation:
    """Words that a model says stand in a passage; `passage` is the number it gave, from 1, or None."""

    text: str
    passage: int | None = None


@dataclass(frozen=True)
class Reply:
    """A reader's quotations and its answer, which may be empty; nothing of it is checked yet."""

    quotations: tuple[Quotation, ...]
    answer: str

    @property
    def declines(self) -> bool:
        """Whether the answer says that there is none."""
        return bool(_DECLINES.search(self.answer))


def read_reply(content: str) -> Reply:
    """Never raises; a reply without sense has no quotations and no answer. Time is linear in `content`."""
    content = content[:_MAX_REPLY_CHARS]
    found = _from_object(_first_object(content)) or _from_fragment(content) or _from_prose(content)
    return Reply(found.quotations[:_MAX_QUOTES], without_markers(found.answer))


def without_markers(answer: str) -> str:
    """An answer without a model's own `[2]`: which quotation bears out what, code finds out."""
    return _MARKER.sub("", answer).strip()


def read_verdict(content: str) -> bool:
    """Whether a checker's reply says "right" and does not say "wrong"; never raises."""
    said = set(re.findall(r"\w+", content[:_MAX_REPLY_CHARS].casefold()))
    return "right" in said and said.isdisjoint({"wrong", "not"})


def _first_object(content: str) -> dict[str, object]:
    start = content.find("{")
    if start < 0:
        return {}
    try:
        value, _ = json.JSONDecoder(strict=False).raw_decode(content, start)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _from_object(value: dict[str, object]) -> Reply | None:
    given = value.get("quotes", value.get("quote", []))
    quotations = tuple(_quotations(given if isinstance(given, list) else [given], value.get("passage")))
    answer = value.get("answer")
    text = str(answer) if isinstance(answer, str | int | float) and not isinstance(answer, bool) else ""
    return Reply(quotations, text) if quotations or text else None


def _quotations(given: list[object], passage: object) -> Iterator[Quotation]:
    for each in given:
        text, number = (each.get("quote"), each.get("passage", passage)) if isinstance(each, dict) else (each, passage)
        if isinstance(text, str) and text.strip():
            yield Quotation(text, number if isinstance(number, int) else None)


def _from_fragment(content: str) -> Reply | None:
    """JSON that was cut off or is broken: the strings after "quotes" and the one after "answer"."""
    key = _QUOTES_KEY.search(content)
    answer = _ANSWER.search(content)
    if key is None and answer is None:
        return None
    strings: list[str] = []
    if key is not None:
        stop = answer.start() if answer is not None and answer.start() > key.end() else len(content)
        strings = [_unescaped(match[1]) for match in _QUOTE_STRING.finditer(content[key.end() : stop])]
    quotations = tuple(Quotation(text) for text in strings if " " in text.strip())
    return Reply(quotations, _unescaped(answer[1]) if answer is not None else "")


def _from_prose(content: str) -> Reply:
    """What stands in quotation marks, and each sentence, may be a quotation; locating them tells."""
    marked = [match[1] for match in _IN_MARKS.finditer(content)]
    sentences = [content[start:end] for start, end in sentence_spans(content)]
    return Reply(tuple(Quotation(text) for text in (*marked, *sentences) if len(text.split()) > 2), "")


def _unescaped(text: str) -> str:
    try:
        return str(json.loads(f'"{text}"', strict=False))
    except ValueError:
        return text
