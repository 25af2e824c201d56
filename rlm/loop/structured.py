"""Structured answers: any JSON value, checked and shown as Markdown."""

import json
import math
from collections.abc import Mapping, Sequence

from rlm.answers import Result, as_json
from rlm.sandbox.port import ToolError

MAX_ANSWER_CHARS = 60_000
_MAX_DEPTH = 20
_KINDS: tuple[tuple[type, str], ...] = ((bool, "label"), (int, "number"), (float, "number"), (list, "list"))


def as_result(value: object) -> Result:
    """The value as JSON, with its kind. Raises `ToolError` for what JSON cannot hold."""
    _require_json(value)
    plain = as_json(value)
    return Result(next((kind for type_, kind in _KINDS if isinstance(plain, type_)), "table"), plain)


def as_markdown(value: object) -> str:
    """A JSON value for people: a table for a list of flat objects, a list, or else JSON in a fence."""
    match value:
        case bool():
            return "Yes." if value else "No."
        case None | int() | float() | str():
            return _scalar(value)
        case list() if not value:
            return "None."
        case list() if all(isinstance(each, dict) and each and all(map(_is_scalar, each.values())) for each in value):
            return _table(value)
        case list() if all(map(_is_scalar, value)):
            return "\n".join(f"- {_scalar(each)}" for each in value)
        case dict() if value and all(map(_is_scalar, value.values())):
            return "\n".join(f"- **{_scalar(name)}**: {_scalar(each)}" for name, each in value.items())
        case _:
            return f"```json\n{json.dumps(value, ensure_ascii=False, indent=2)}\n```"


def _table(rows: Sequence[Mapping[str, object]]) -> str:
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = [[_cell(name) for name in names], ["---"] * len(names)]
    lines += [[_cell(row.get(name)) for name in names] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: object) -> str:
    return _scalar(value).replace("|", "\\|")


def _scalar(value: object) -> str:
    """On one line."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else " ".join(str(value).split())


def _is_scalar(value: object) -> bool:
    return value is None or isinstance(value, str | int | float)


def _require_json(value: object, depth: int = 0) -> None:
    if depth > _MAX_DEPTH:
        raise ToolError(f"the answer is nested more than {_MAX_DEPTH} levels deep")
    match value:
        case float() if not math.isfinite(value):
            raise ToolError(f"the answer has {value}, which is no number in JSON")
        case None | bool() | int() | float() | str():
            return
        case dict():
            for name, each in value.items():
                if isinstance(name, dict | list):
                    raise ToolError("names in the answer are texts or numbers")
                _require_json(each, depth + 1)
        case list() | tuple() | set() | frozenset():
            for each in value:
                _require_json(each, depth + 1)
        case _:
            raise ToolError("the answer is a text, or a JSON value: a number, True or False, a list, a dict")
