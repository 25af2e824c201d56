"""Long things on one line of a terminal."""

from typing import Any

_CHARS = 160


def short(text: str, most: int = _CHARS) -> str:
    """The beginning of a text, its white space and ends of lines as single blanks."""
    line = " ".join(text.split())
    return line[:most] + ("…" if len(line) > most else "")


def cell_line(body: dict[str, Any]) -> str:
    """What a root model wrote and what came of it."""
    return f"{_cell(body)}: {short(body['code'] or body['note'])} → {_end(body)}"


def _cell(body: dict[str, Any]) -> str:
    """Which one it is, and of which part of the run, which earlier versions did not log."""
    return f"part {body['part']}, cell {body['number']}" if body.get("part") else f"cell {body['number']}"


def _end(body: dict[str, Any]) -> str:
    return short((body["error"] or "").strip().rpartition("\n")[2] or body["output"] or "nothing printed")
