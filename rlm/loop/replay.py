"""Runs the cells of a run again with changed results of tools, to see if its answer was computed from them.

A program can name a tool and state its answer all the same: `424242 + 0 * count("x")["total"]`. No reading of code
tells that from a sum. So the cells run again, with other results: a sentence that was computed moves with them. It
moves with more than one part of them, or else it was read in one place, which takes a citation.
"""

import re
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import wraps
from typing import Any

from ingest.errors import LeadlineError
from rlm.cancelling import not_cancelled
from rlm.checking.markers import sentence_spans
from rlm.errors import RunCancelledError
from rlm.loop.changed_results import Change, Kind, change_result, copy_texts, fit
from rlm.loop.literals import numbers_in
from rlm.sandbox.port import Sandbox, Tool, ToolError

# Results are kept up to this many values, a text counting one for each 64 characters: some 100 MB.
_MOST_VALUES, _TEXT_CHARS = 1_000_000, 64
# Replays of one answer take no longer than this; sentences that have not moved by then are not called computed.
_MOST_SECONDS = 30.0
_HANDING_IN = frozenset({"submit", "draft"})
_COUNTING = "count"
# Tools whose results are records, passages or pairs, and not a value for each record that they are given.
_RETURNING_RECORDS = frozenset({"search", "grep", "outline", "records", "count", "pairs"})
_DIGITS = re.compile(r"\d")


_UNCHANGED, _EMPTY = Change(Kind.NONE), Change(Kind.EMPTY)
_OF_GROUPS = (Kind.COPIED, Kind.FIRST, Kind.LAST, Kind.BLANK, Kind.RAISED, Kind.LOWERED)
# A sentence is computed if it moves with both changes of a pair. The second pair is tried if the first was not enough.
_PAIRS = (
    ((Change(Kind.COUNTS_RAISED),), (Change(Kind.COUNTS_TRIPLED),)),
    ((Change(Kind.LESS),), (Change(Kind.MORE),)),
    (tuple(Change(kind, 0) for kind in _OF_GROUPS), tuple(Change(kind, 1) for kind in _OF_GROUPS)),
)


class ToolRecord:
    """The cells of a session and the results of their tools, in the order of calls."""

    def __init__(self) -> None:
        self.cells: list[str] = []
        self.results: dict[str, list[object]] = {}
        self.tools: frozenset[str] = frozenset()
        self.is_complete = True
        self._values = 0

    def begin(self) -> None:
        """Forget the cells and results of a session whose variables are gone."""
        self.cells, self.results, self.is_complete, self._values = [], {}, True, 0

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
                self._add(name, error)
                raise
            self._add(name, result)
            return result

        return call

    def _add(self, name: str, result: object) -> None:
        if self.is_complete:
            self._values += _weigh(result)
            self.is_complete = self._values <= _MOST_VALUES
            self.results.setdefault(name, []).append(result)
        if not self.is_complete:
            self.results = {}


@dataclass
class Replayed:
    """What is known of an answer after its cells ran again.

    `moving` are its sentences that moved with the results; `problem` says why nothing is known, if so.
    """

    moving: frozenset[str] = frozenset()
    problem: str = ""


@dataclass
class Replays:
    """The answers of one run to changed results.

    `render` makes the text of a value that was handed in. `typed` are the numbers that stand in the code, and `asked`
    those of the question.
    """

    sandbox: Sandbox
    record: ToolRecord
    render: Callable[[object], str]
    typed: Collection[str] = frozenset()
    asked: Collection[str] = frozenset()
    cancelled: Callable[[], bool] = not_cancelled
    _answers: dict[Change, list[str] | None] = field(default_factory=dict)

    def check(self, value: object) -> Replayed:
        """Say which sentences of an answer move. Raises `RunCancelledError`."""
        if not self.record.is_complete:
            return Replayed(problem="what its code went through is too large to be gone through again")
        deadline = time.monotonic() + _MOST_SECONDS
        sentences = _sentences(self.render(value))
        if self._answer(_UNCHANGED) != sentences:
            return Replayed(problem="running its code again did not give the same answer")
        moving = set[str]()
        for one, other in self._pairs():
            if time.monotonic() > deadline or moving == set(sentences):
                break
            moving |= {each for each in sentences if each not in moving and self._moves(each, sentences, one, other)}
        return Replayed(frozenset(moving))

    def _pairs(self) -> Iterator[tuple[Sequence[Change], Sequence[Change]]]:
        """Yield pairs of changes, those of groups one kind after the other, each with all before it."""
        for one, other in _PAIRS:
            if one[0].kind is Kind.COUNTS_RAISED and _COUNTING not in self.record.results:
                continue
            for last in range(1, len(one) + 1):
                yield one[:last], other[:last]

    def _moves(self, sentence: str, sentences: list[str], one: Sequence[Change], other: Sequence[Change]) -> bool:
        place = sentences.index(sentence)
        first, second = (list(self._others(sentence, place, len(sentences), each)) for each in (one, other))
        if not first or not second:
            return False
        has_number = _DIGITS.search(sentence) is not None
        # A number that has one other value whatever is changed is a choice between numbers that the code states.
        if has_number and len({*first, *second}) < 2:
            return False
        return not self._is_offset(place, len(sentences)) and not self._is_typed(sentence, [*first, *second])

    def _others(self, sentence: str, place: int, count: int, changes: Sequence[Change]) -> Iterator[str]:
        """Yield what stands in place of a sentence after each of the changes with which it moves."""
        for change in changes:
            answer = self._answer(change)
            if answer is not None and sentence not in answer:
                yield answer[place] if len(answer) == count else "\n".join(answer)

    def _is_offset(self, place: int, count: int) -> bool:
        """True if the sentence gives a long number though tools return nothing at all."""
        answer = self._answer(_EMPTY) or []
        rest = answer[place : place + 1] if len(answer) == count else answer
        return any(len(number) > 2 and number not in self.asked for each in rest for number in numbers_in(each))

    def _is_typed(self, sentence: str, others: Sequence[str]) -> bool:
        """True if a long number of the sentence stands in the code, and in the sentence whatever is changed."""
        suspects = {number for number in numbers_in(sentence) if len(number) > 2} & {*self.typed} - {*self.asked}
        return any(all(number in numbers_in(each) for each in others) for number in suspects)

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

        tools = {name: _Repeating(name, self.record.results.get(name, []), change) for name in self.record.tools}
        session = None
        try:
            session = self.sandbox.open({**tools, **dict.fromkeys(_HANDING_IN, hand_in)})
            for code in self.record.cells:
                session.run(code, cancelled=self.cancelled)
        except RunCancelledError:
            raise
        except LeadlineError:
            return None
        finally:
            if session is not None:
                session.close()
        return _sentences(self.render(handed_in[-1])) if handed_in else None


class _Repeating:
    """A tool that returns what it returned before, call by call, with a change.

    Its last result stands for all later calls.
    """

    def __init__(self, name: str, results: Sequence[object], change: Change) -> None:
        self._name, self._change = name, change
        # Calls that read a text each are changed as a list of texts is.
        self._results = copy_texts(results, change)
        self._calls = 0

    def __call__(self, *arguments: object, **named: object) -> Any:  # noqa: ANN401  # as tools return
        call, self._calls = self._calls, self._calls + 1
        if not self._results:
            raise ToolError(f"{self._name} was not called before")
        result = self._results[min(call, len(self._results) - 1)]
        if isinstance(result, ToolError):
            raise result
        changed = change_result(self._name, result, call, self._change)
        asked = next(iter([*arguments, *named.values()]), None)
        if self._name in _RETURNING_RECORDS or not isinstance(asked, list | tuple) or not isinstance(changed, list):
            return changed
        return fit(changed, len(asked))


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
