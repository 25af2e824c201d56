"""The text of a cell's failure, for the model that wrote it: the traceback's end, in its own names, and a hint."""

import re
import traceback
from collections.abc import Iterable, Mapping

from rlm.sandbox.hints import hint_for
from rlm.sandbox.output import CappedOutput

_SHOWING = "_ll_show("
_CARETS = re.compile(r" *~+")
# The text may be whatever the code raised: of more than this only the ends are looked at, and each in linear time.
_LOOKED_AT_CHARS = 200_000
_CELL = re.compile(r"<python-input-\d+>|<unknown>")


def report(text: str, *, limit: int, names: Iterable[str], exceptions: Mapping[str, str]) -> str:
    """`exceptions` are the code's own by the names of those that play them."""
    if len(text) > _LOOKED_AT_CHARS:
        text = f"{text[: _LOOKED_AT_CHARS // 2]}\n…\n{text[-_LOOKED_AT_CHARS // 2 :]}"
    for stand_in, name in exceptions.items():
        text = re.sub(rf"\b(?:decimal\.|tomllib\.)?{stand_in}\b", name, text)
    text = _as_written(_CELL.sub("<cell>", text)).replace("_ll_show((", "").rstrip()
    text = text.replace("'_ll_Module' object", "this module")
    hint = hint_for(text[-2 * limit :], names=names)
    capped = CappedOutput(limit)
    capped.write(text)
    text = capped.text()
    return f"{text}\nHint: {hint}" if hint else text


def _as_written(text: str) -> str:
    """Lines that were wrapped to show their value as they were, without the carets under them: those stand under other
    characters then."""
    lines = text.split("\n")
    kept: list[str] = []
    wrapped = False
    for at, line in enumerate(lines):
        if wrapped and _CARETS.fullmatch(line):
            wrapped = False
            continue
        plain = _unwrapped(line) if at + 1 < len(lines) else line
        wrapped = plain != line
        kept.append(plain)
    return "\n".join(kept)


def _unwrapped(line: str) -> str:
    before, found, rest = line.partition(_SHOWING)
    for opening, closing in (("(", "))"), ("", ")")):
        end = rest.rfind(closing, len(opening))
        if found and rest.startswith(opening) and end >= 0:
            return before + rest[len(opening) : end] + rest[end + len(closing) :]
    return line


def syntax_report(error: SyntaxError) -> str:
    """As Python says it, with the line and a caret."""
    return _CELL.sub("<cell>", "".join(traceback.format_exception_only(error))).strip()


def refused_report(error: Exception) -> str:
    """Nothing was run."""
    return f"SyntaxError: {error}"
