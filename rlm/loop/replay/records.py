"""Records what tools return to the cells of a run, and repeats it with changes when the cells run again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import wraps
from typing import Any

from rlm.loop.replay.changes import Change, change_result, copy_strings, fit_to_length
from rlm.sandbox.port import Tool, ToolError

# Maximum number of values in recorded results (about 100 MB), and number of characters of a string that count as one
# value.
_MOST_VALUES, _TEXT_CHARS = 1_000_000, 64
SUBMITTING_TOOLS = frozenset({"submit", "draft"})
# Tools whose results are records, passages or pairs. All other tools return a value for each record passed to them.
_RETURNING_RECORDS = frozenset({"search", "grep", "outline", "records", "count", "pairs"})


@dataclass
class ToolCalls:
    """The results of one tool, in the order of its calls.

    `by_arguments` maps arguments to the first call with these arguments. `by_record` maps each record to the first call
    whose result has a value for it, and the index of that value.
    """

    results: list[object] = field(default_factory=list)
    by_arguments: dict[int, int] = field(default_factory=dict)
    by_record: dict[int, tuple[int, int]] = field(default_factory=dict)

    def add_call(
        self, name: str, arguments: Sequence[object], keyword_arguments: Mapping[str, object], result: object
    ) -> None:
        call = len(self.results)
        self.results.append(result)
        self.by_arguments.setdefault(_compute_call_key(arguments, keyword_arguments), call)
        for place, each in enumerate(_list_records(name, arguments, keyword_arguments, result)):
            self.by_record.setdefault(hash(_convert_to_hashable(each)), (call, place))


class ToolRecord:
    """The cells of a session, and the results of the tools called by the cells."""

    def __init__(self) -> None:
        self.cells: list[str] = []
        self.calls: dict[str, ToolCalls] = {}
        self.tools: frozenset[str] = frozenset()
        self.is_complete = True
        self._values = 0

    def reset(self) -> None:
        """Clear the recorded cells and results, because the session's variables were lost."""
        self.cells, self.calls, self.is_complete, self._values = [], {}, True, 0

    def wrap_tools(self, tools: Mapping[str, Tool]) -> dict[str, Tool]:
        """Wrap the tools so that their results are recorded. Tools that submit an answer stay unwrapped."""
        self.tools = frozenset(tools) - SUBMITTING_TOOLS
        return {name: tool if name in SUBMITTING_TOOLS else self._wrap_tool(name, tool) for name, tool in tools.items()}

    def _wrap_tool(self, name: str, tool: Tool) -> Tool:
        @wraps(tool)
        def call_tool(*arguments: object, **keyword_arguments: object) -> object:
            try:
                result = tool(*arguments, **keyword_arguments)
            except ToolError as error:
                self._add_call(name, arguments, keyword_arguments, error)
                raise
            self._add_call(name, arguments, keyword_arguments, result)
            return result

        return call_tool

    def _add_call(
        self, name: str, arguments: Sequence[object], keyword_arguments: Mapping[str, object], result: object
    ) -> None:
        if not self.is_complete:
            return
        self._values += _count_values(result)
        self.is_complete = self._values <= _MOST_VALUES
        if self.is_complete:
            self.calls.setdefault(name, ToolCalls()).add_call(name, arguments, keyword_arguments, result)
        else:
            self.calls = {}


class RepeatedTool:
    """A tool that repeats its earlier result for the same arguments or the same records, with a change applied.

    For other arguments, it returns the results of the calls in order, and then repeats the last result.
    """

    def __init__(self, name: str, calls: ToolCalls, change: Change) -> None:
        self._name, self._calls, self._change = name, calls, change
        # If each call reads one string, the results of all calls are changed together, like a list of strings.
        self._results = copy_strings(calls.results, change)
        self._called = 0
        self._lists: dict[int, list[object]] = {}

    def __call__(self, *arguments: object, **keyword_arguments: object) -> Any:  # noqa: ANN401  # as tools return
        order, self._called = self._called, self._called + 1
        if not self._results:
            raise ToolError(f"{self._name} has not been called yet")
        result = self._get_changed_result(
            self._calls.by_arguments.get(
                _compute_call_key(arguments, keyword_arguments), min(order, len(self._results) - 1)
            )
        )
        records = _list_records(self._name, arguments, keyword_arguments, result)
        if not isinstance(result, list) or not records:
            return result
        return [
            self._get_record_result(each, default)
            for each, default in zip(records, fit_to_length(result, len(records)), strict=True)
        ]

    def _get_changed_result(self, call_index: int) -> Any:  # noqa: ANN401  # as tools return
        result = self._results[call_index]
        if isinstance(result, ToolError):
            raise result
        return change_result(self._name, result, call_index, len(self._results), self._change)

    def _get_record_result(self, record: object, default: object) -> object:
        call, place = self._calls.by_record.get(hash(_convert_to_hashable(record)), (None, 0))
        values = [] if call is None else self._get_changed_list(call)
        return values[place] if place < len(values) else default

    def _get_changed_list(self, call_index: int) -> list[object]:
        if call_index not in self._lists:
            self._lists[call_index] = self._get_changed_result(call_index)
        return self._lists[call_index]


def _list_records(
    name: str, arguments: Sequence[object], keyword_arguments: Mapping[str, object], result: object
) -> Sequence[object]:
    """Return the records passed to a tool if its result has a value for each of them."""
    given = next(iter([*arguments, *keyword_arguments.values()]), None)
    is_for_each = name not in _RETURNING_RECORDS and isinstance(result, list)
    return given if is_for_each and isinstance(given, list | tuple) else ()


def _compute_call_key(arguments: Sequence[object], keyword_arguments: Mapping[str, object]) -> int:
    """Return a key for a call's arguments. Only the position of a record is part of the key."""
    return hash((_convert_to_hashable(arguments), _convert_to_hashable(keyword_arguments)))


def _convert_to_hashable(value: object) -> object:
    match value:
        case Mapping() if {"document", "start", "end"} <= value.keys():
            return value["document"], value["start"], value["end"]
        case Mapping():
            return tuple((name, _convert_to_hashable(each)) for name, each in value.items())
        case list() | tuple():
            return tuple(map(_convert_to_hashable, value))
        case None | bool() | int() | float() | str():
            return value
    return repr(value)


def _count_values(value: object) -> int:
    """Return the number of values in a result."""
    match value:
        case str():
            return 1 + len(value) // _TEXT_CHARS
        case Mapping():
            return 1 + sum(map(_count_values, value.values()))
        case list() | tuple():
            return 1 + sum(map(_count_values, value))
    return 1
