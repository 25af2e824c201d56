"""Runs the cells of a run again with changed results of tools, to see if its answer was computed from them.

A program can name a tool and state its answer all the same: `424242 + 0 * count("x")["total"]`. No reading of code
tells that from a sum. So the cells run again, with other results: a sentence that was computed moves with them. It
moves with more than one part of them, or else it was read in one place, which takes a citation.
"""

import re
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import wraps
from typing import Any

from ingest.storage.errors import LeadlineError
from rlm.checking.markers import sentence_spans
from rlm.errors import RunCancelledError, not_cancelled
from rlm.loop.changed_results import Change, Kind, change_result, copy_texts, fit
from rlm.loop.literals import numbers_in
from rlm.sandbox.port import Sandbox, Tool, ToolError

# Results are kept up to this many values, a text counting one for each 64 characters: some 100 MB.
_MOST_VALUES, _TEXT_CHARS = 1_000_000, 64
# All replays of one answer end after this time; sentences that have not moved by then are not called computed.
_MOST_SECONDS = 30.0
_HANDING_IN = frozenset({"submit", "draft"})
# Tools whose results are records, passages or pairs, and not a value for each record that they are given.
_RETURNING_RECORDS = frozenset({"search", "grep", "outline", "records", "count", "pairs"})
# A number of so many digits is long enough to be a claim.
_LONG = 3
_VALUE = re.compile(r"[1-9]")
_ITEM = re.compile(r"[-*|]|\d+[.)]\s")

_UNCHANGED, _EMPTY = Change(Kind.NONE), Change(Kind.EMPTY)
_OF_GROUPS = (
    *(Kind.COPIED, Kind.FIRST, Kind.QUARTER, Kind.MIDDLE, Kind.THREE_QUARTERS, Kind.LAST),
    *(Kind.BLANK, Kind.RAISED, Kind.LOWERED, Kind.RENAMED),
)


@dataclass
class _Calls:
    """The results of one tool, in the order of its calls.

    `by_arguments` has the first call with each set of arguments, and `by_record` the first call and the place in its
    list of each record for which a list has a value.
    """

    results: list[object] = field(default_factory=list)
    by_arguments: dict[int, int] = field(default_factory=dict)
    by_record: dict[int, tuple[int, int]] = field(default_factory=dict)

    def add(self, name: str, arguments: Sequence[object], named: Mapping[str, object], result: object) -> None:
        call = len(self.results)
        self.results.append(result)
        self.by_arguments.setdefault(_key(arguments, named), call)
        for place, each in enumerate(_records(name, arguments, named, result)):
            self.by_record.setdefault(hash(_hashable(each)), (call, place))


class ToolRecord:
    """The cells of a session and the results of their tools."""

    def __init__(self) -> None:
        self.cells: list[str] = []
        self.calls: dict[str, _Calls] = {}
        self.tools: frozenset[str] = frozenset()
        self.is_complete = True
        self._values = 0

    def begin(self) -> None:
        """Forget the cells and results of a session whose variables are gone."""
        self.cells, self.calls, self.is_complete, self._values = [], {}, True, 0

    def recording(self, tools: Mapping[str, Tool]) -> dict[str, Tool]:
        """Return the tools, whose results are noted but for those of tools that hand in an answer."""
        self.tools = frozenset(tools) - _HANDING_IN
        return {name: tool if name in _HANDING_IN else self._recorded(name, tool) for name, tool in tools.items()}

    def _recorded(self, name: str, tool: Tool) -> Tool:
        @wraps(tool)
        def call(*arguments: object, **named: object) -> object:
            try:
                result = tool(*arguments, **named)
            except ToolError as error:
                self._add(name, arguments, named, error)
                raise
            self._add(name, arguments, named, result)
            return result

        return call

    def _add(self, name: str, arguments: Sequence[object], named: Mapping[str, object], result: object) -> None:
        if not self.is_complete:
            return
        self._values += _weigh(result)
        self.is_complete = self._values <= _MOST_VALUES
        if self.is_complete:
            self.calls.setdefault(name, _Calls()).add(name, arguments, named, result)
        else:
            self.calls = {}


@dataclass
class Replayed:
    """The result of running the cells of an answer again.

    `moving` are the sentences that moved with the results; `problem` says why the cells could not be compared, if so.
    """

    moving: frozenset[str] = frozenset()
    problem: str = ""


@dataclass
class Replays:
    """The answers of one run to changed results.

    `render` makes the text of a value that was handed in, and `asked` are the numbers of the question.
    """

    sandbox: Sandbox
    record: ToolRecord
    render: Callable[[object], str]
    asked: Collection[str] = frozenset()
    cancelled: Callable[[], bool] = not_cancelled
    _answers: dict[Change, list[str] | None] = field(default_factory=dict)
    _deadline: float = float("inf")

    def check(self, value: object) -> Replayed:
        """Say which sentences of an answer move. Raises `RunCancelledError`."""
        if not self.record.is_complete:
            return Replayed(problem="what its code went through is too large to be gone through again")
        self._deadline = time.monotonic() + _MOST_SECONDS
        sentences = _sentences(self.render(value))
        if self._answer(_UNCHANGED) != sentences:
            if self._is_late():
                return Replayed(problem=f"running its code again takes more than {_MOST_SECONDS:.0f} seconds")
            return Replayed(problem="running its code again did not give the same answer")
        self._answer(_EMPTY)
        moving = set[str]()
        for sides in _sides():
            if self._is_late() or moving == set(sentences):
                break
            for change in (side[-1] for side in sides):
                self._answer(change)
            moving |= {each for each in sentences if each not in moving and self._moves(each, sentences, sides)}
        return Replayed(frozenset(moving))

    def _moves(self, sentence: str, sentences: list[str], sides: Sequence[Sequence[Change]]) -> bool:
        """True if a sentence moves with a change on either side; an item of a list, if other items do on the other."""
        first, second = (list(self._others(sentence, sentences, side)) for side in sides)
        is_item = _ITEM.match(sentence) is not None and all(any(map(self._differs, side)) for side in sides)
        if not (first and second) and not (is_item and (first or second)):
            return False
        others = list(self._others(sentence, sentences, [each for each in self._answers if each != _EMPTY]))
        emptied = self._others(sentence, sentences, [_EMPTY])
        # A number that has one other value whatever is changed is a choice between numbers that the code states.
        if _VALUE.search(sentence) and len({*others, *emptied}) < 2 and not is_item:
            return False
        return not self._stays_with_nothing(sentence, sentences) and not self._states_a_number(sentence, others)

    def _differs(self, change: Change) -> bool:
        return self._answer(change) not in (None, self._answer(_UNCHANGED))

    def _others(self, sentence: str, sentences: list[str], changes: Sequence[Change]) -> Iterator[str]:
        """Yield what stands in place of a sentence after each of the changes with which it moves."""
        place = sentences.index(sentence)
        for change in changes:
            answer = self._answer(change)
            if answer is not None and sentence not in answer:
                yield answer[place] if len(answer) == len(sentences) else "\n".join(answer)

    def _stays_with_nothing(self, sentence: str, sentences: list[str]) -> bool:
        """True if a sentence gives its number, or a long one, though tools return nothing at all."""
        answer = self._answer(_EMPTY) or []
        if sentence in answer and _VALUE.search(sentence):
            return True
        place = sentences.index(sentence)
        rest = answer[place : place + 1] if len(answer) == len(sentences) else answer
        return any(number.strip("0") for each in rest for number in self._long_numbers(each))

    def _states_a_number(self, sentence: str, others: Sequence[str]) -> bool:
        """True if a long number stands in a sentence, as often as now, whatever is changed."""
        counts = Counter(numbers_in(sentence))
        changed = [Counter(numbers_in(each)) for each in others]
        return any(all(each[number] >= counts[number] for each in changed) for number in self._long_numbers(sentence))

    def _long_numbers(self, text: str) -> set[str]:
        return {number for number in numbers_in(text) if len(number) >= _LONG} - {*self.asked}

    def _is_late(self) -> bool:
        return time.monotonic() > self._deadline

    def _answer(self, change: Change) -> list[str] | None:
        """Return the sentences of the answer after a change; None if no answer comes of it."""
        if change not in self._answers:
            self._answers[change] = self._run(change)
        return self._answers[change]

    def _run(self, change: Change) -> list[str] | None:
        handed_in: list[object] = []

        def hand_in(answer: object, *_: object, **__: object) -> str:
            handed_in.append(answer)
            return "kept"

        tools = {name: _Repeating(name, self.record.calls.get(name, _Calls()), change) for name in self.record.tools}
        session = None
        try:
            session = self.sandbox.open({**tools, **dict.fromkeys(_HANDING_IN, hand_in)})
            for code in self.record.cells:
                session.run(code, cancelled=lambda: self.cancelled() or self._is_late())
        except RunCancelledError:
            if self.cancelled():
                raise
            return None
        except LeadlineError:
            return None
        finally:
            if session is not None:
                session.close()
        try:
            return _sentences(self.render(handed_in[-1])) if handed_in else None
        except ToolError:  # nothing, or what JSON cannot hold, was handed in
            return None


class _Repeating:
    """A tool that returns what it returned for the same arguments, or the same records, before, with a change.

    Other arguments get the results of calls in their order, the last one again and again.
    """

    def __init__(self, name: str, calls: _Calls, change: Change) -> None:
        self._name, self._calls, self._change = name, calls, change
        # Calls that read a text each are changed as a list of texts is.
        self._results = copy_texts(calls.results, change)
        self._called = 0
        self._lists: dict[int, list[object]] = {}

    def __call__(self, *arguments: object, **named: object) -> Any:  # noqa: ANN401  # as tools return
        order, self._called = self._called, self._called + 1
        if not self._results:
            raise ToolError(f"{self._name} was not called before")
        result = self._changed(self._calls.by_arguments.get(_key(arguments, named), min(order, len(self._results) - 1)))
        records = _records(self._name, arguments, named, result)
        if not isinstance(result, list) or not records:
            return result
        return [
            self._of_record(each, default) for each, default in zip(records, fit(result, len(records)), strict=True)
        ]

    def _changed(self, call: int) -> Any:  # noqa: ANN401  # as tools return
        result = self._results[call]
        if isinstance(result, ToolError):
            raise result
        return change_result(self._name, result, call, self._change)

    def _of_record(self, record: object, default: object) -> object:
        call, place = self._calls.by_record.get(hash(_hashable(record)), (None, 0))
        values = [] if call is None else self._changed_list(call)
        return values[place] if place < len(values) else default

    def _changed_list(self, call: int) -> list[object]:
        if call not in self._lists:
            self._lists[call] = self._changed(call)
        return self._lists[call]


def _records(name: str, arguments: Sequence[object], named: Mapping[str, object], result: object) -> Sequence[object]:
    """Return the records that a tool was given if its result has a value for each."""
    given = next(iter([*arguments, *named.values()]), None)
    is_for_each = name not in _RETURNING_RECORDS and isinstance(result, list)
    return given if is_for_each and isinstance(given, list | tuple) else ()


def _sides() -> Iterator[tuple[Sequence[Change], Sequence[Change]]]:
    """Yield two sides of changes that touch different records, each longer than the one before; then two others.

    A sentence is computed if it moves on both sides.
    """
    yield (Change(Kind.LESS),), (Change(Kind.MORE),)
    for count in range(1, len(_OF_GROUPS) + 1):
        yield (
            tuple(Change(kind, 0) for kind in _OF_GROUPS[:count]),
            tuple(Change(kind, 1) for kind in _OF_GROUPS[:count]),
        )


def _key(arguments: Sequence[object], named: Mapping[str, object]) -> int:
    """Return a number for the arguments of a call; of a record, only its place counts."""
    return hash((_hashable(arguments), _hashable(named)))


def _hashable(value: object) -> object:
    match value:
        case Mapping() if {"document", "start", "end"} <= value.keys():
            return value["document"], value["start"], value["end"]
        case Mapping():
            return tuple((name, _hashable(each)) for name, each in value.items())
        case list() | tuple():
            return tuple(map(_hashable, value))
        case None | bool() | int() | float() | str():
            return value
    return repr(value)


def _sentences(text: str) -> list[str]:
    return [text[start:end] for start, end in sentence_spans(text)]


def _weigh(value: object) -> int:
    """Return how many values a result holds."""
    match value:
        case str():
            return 1 + len(value) // _TEXT_CHARS
        case Mapping():
            return 1 + sum(map(_weigh, value.values()))
        case list() | tuple():
            return 1 + sum(map(_weigh, value))
    return 1
