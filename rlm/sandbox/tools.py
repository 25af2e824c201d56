"""Calls of tools that come out of a sandbox: checked, made, and their failures told without internals."""

import inspect
from collections.abc import Mapping
from typing import Any

import structlog

from ingest.errors import LeadlineError
from rlm.sandbox.port import Tool, ToolError

log = structlog.get_logger(__name__)
_PLAIN = (str, int, float, bool, bytes, type(None))
_MAX_DEPTH = 100


class ToolTable:
    """The tools of a session by name. What they raise becomes a built-in exception with a text for the model."""

    def __init__(self, tools: Mapping[str, Tool]) -> None:
        self._tools = dict(tools)
        self._signatures = {name: inspect.signature(tool) for name, tool in tools.items()}

    def names(self) -> tuple[str, ...]:
        return tuple(self._tools)

    def call(self, name: str, arguments: tuple[Any, ...], named: Mapping[str, Any]) -> Any | Exception:  # noqa: ANN401
        """What the tool returned, or the exception that the code is to see. Raises a tool's `LeadlineError`s alone."""
        tool = self._tools.get(name)
        if tool is None:
            return NameError(f"name '{name}' is not defined")
        try:
            self._signatures[name].bind(*arguments, **named)
        except TypeError as error:
            return TypeError(f"{name}() {error}; it is {name}{self._signatures[name]}")
        try:
            result = tool(*arguments, **named)
        except ToolError as error:
            return RuntimeError(f"{name}: {error}")
        except LeadlineError:
            raise
        except Exception:  # the code must not learn what the host says of itself
            log.exception("tool_failed", tool=name)
            return RuntimeError(f"{name} failed")
        if not is_plain(result):
            log.error("tool_returned_no_plain_value", tool=name)
            return RuntimeError(f"{name} failed")
        return _mended(result) if _has_half_a_character(result) else result


def _has_half_a_character(value: object) -> bool:
    """Whether a plain value has a surrogate without its other half, as JSON of a model may: no interpreter takes it."""
    match value:
        case str():
            return not value.isascii() and any("\ud800" <= char <= "\udfff" for char in value)
        case dict():
            return any(_has_half_a_character(key) or _has_half_a_character(each) for key, each in value.items())
        case list() | tuple() | set() | frozenset():
            return any(map(_has_half_a_character, value))
    return False


def _mended(value: Any) -> Any:  # noqa: ANN401
    match value:
        case str():
            return value.encode(errors="replace").decode()
        case dict():
            return {_mended(key): _mended(each) for key, each in value.items()}
        case list() | tuple() | set() | frozenset():
            return type(value)(map(_mended, value))
    return value


def is_plain(value: object, depth: int = 0) -> bool:
    """Whether a value is of built-in types all through, so that it means the same on both sides."""
    if type(value) in _PLAIN:
        return True
    if depth > _MAX_DEPTH:
        return False
    if type(value) is dict:
        return all(is_plain(key, depth + 1) and is_plain(each, depth + 1) for key, each in value.items())
    if type(value) in (list, tuple, set, frozenset):
        return all(is_plain(each, depth + 1) for each in value)  # type: ignore[attr-defined]
    return False
