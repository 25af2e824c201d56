"""Runs the cells of a run again with changed results of tools, to check whether its answer was computed from them.

A program can call a tool and still hard-code its answer: `424242 + 0 * count("x")["total"]`. Reading the code is not
enough to distinguish this from a sum. Therefore, the cells are run again with different results, and a sentence that
was computed changes accordingly. Each of its numbers must change with more than one part of the results. A number that
was read in a single place needs a citation instead.
"""

import re
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import wraps
from textwrap import shorten
from typing import Any

from ingest.storage.errors import LeadlineError
from rlm.checking.markers import list_sentence_spans, remove_markers
from rlm.errors import RunCancelledError, not_cancelled
from rlm.loop.changed_results import Change, ChangeKind, change_result, copy_strings, fit_to_length
from rlm.loop.literals import NUMBER, extract_digits, extract_number_contexts, extract_numbers, raise_bounds
from rlm.sandbox.port import Sandbox, Tool, ToolError

# Maximum number of values in recorded results (about 100 MB), and number of characters of a string that count as one
# value.
_MOST_VALUES, _TEXT_CHARS = 1_000_000, 64
# Time limit for all replays of one answer. If a sentence has not changed by then, it is not reported as computed.
_MAX_SECONDS = 30.0
_TIMEOUT_REASON = f"running its code again took more than {_MAX_SECONDS:.0f} seconds"
_SUBMITTING_TOOLS = frozenset({"submit", "draft"})
# Tools whose results are records, passages or pairs. All other tools return a value for each record passed to them.
_RETURNING_RECORDS = frozenset({"search", "grep", "outline", "records", "count", "pairs"})
# Minimum number of digits with which a number is always treated as a claim, wherever it occurs.
_MIN_LONG_DIGITS = 3
_VALUE = re.compile(r"[1-9]")
_ITEM = re.compile(r"[-*|]|\d+[.)]\s")
# Maximum number of reported doubts about an answer, and maximum length of a sentence quoted in a doubt, in characters.
_MOST_REASONS, _MOST_CHARS = 3, 80

# Number of pairs of sides, from the start, that change the number of records. Each later pair includes all changes of
# the pair before it.
_COUNT_PAIRS = 2
_UNCHANGED, _EMPTY = Change(ChangeKind.NONE), Change(ChangeKind.EMPTY)
_GROUP_CHANGES = (
    *(
        ChangeKind.COPIED,
        ChangeKind.FIRST,
        ChangeKind.QUARTER,
        ChangeKind.MIDDLE,
        ChangeKind.THREE_QUARTERS,
        ChangeKind.LAST,
    ),
    *(
        ChangeKind.BLANK,
        ChangeKind.RAISED,
        ChangeKind.LOWERED,
        ChangeKind.RENAMED,
        ChangeKind.LATER,
        ChangeKind.EARLIER,
    ),
)
# Changes that affect all numbers at once. For each quarter of the records, two more changes clear or overwrite all
# records outside the quarter.
_CHANGES_OF_ALL = tuple(map(Change, (ChangeKind.RAISED, ChangeKind.LOWERED, ChangeKind.LATER, ChangeKind.EARLIER)))
_QUARTER_CHANGES = tuple(
    tuple(Change(kind, spared=quarter) for kind in (ChangeKind.BLANK, ChangeKind.COPIED)) for quarter in range(4)
)


@dataclass
class _ToolCalls:
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
        self.calls: dict[str, _ToolCalls] = {}
        self.tools: frozenset[str] = frozenset()
        self.is_complete = True
        self._values = 0

    def reset(self) -> None:
        """Clear the recorded cells and results, because the session's variables were lost."""
        self.cells, self.calls, self.is_complete, self._values = [], {}, True, 0

    def wrap_tools(self, tools: Mapping[str, Tool]) -> dict[str, Tool]:
        """Wrap the tools so that their results are recorded. Tools that submit an answer stay unwrapped."""
        self.tools = frozenset(tools) - _SUBMITTING_TOOLS
        return {
            name: tool if name in _SUBMITTING_TOOLS else self._wrap_tool(name, tool) for name, tool in tools.items()
        }

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
            self.calls.setdefault(name, _ToolCalls()).add_call(name, arguments, keyword_arguments, result)
        else:
            self.calls = {}


@dataclass
class ReplayResult:
    """The result of running the cells of an answer again.

    `moving` contains the sentences that changed with the results. `doubts` gives the reasons why other sentences do not
    count as computed. If the cells could not be compared, `problem` gives the reason.
    """

    moving: frozenset[str] = frozenset()
    problem: str = ""
    doubts: Mapping[str, str] = field(default_factory=dict)

    @property
    def numbers_in_doubt(self) -> Mapping[str, str]:
        """The doubts about sentences that contain a number. Headings and table rules never change."""
        return {each: why for each, why in self.doubts.items() if _VALUE.search(remove_markers(each))}

    @property
    def reason(self) -> str:
        """The reason why no sentence changed."""
        return self.problem or "; ".join(list(dict.fromkeys(self.doubts.values()))[:_MOST_REASONS])


@dataclass(frozen=True)
class _Claim:
    """A number in a sentence that must change. If `index` is None, the claim is the sentence itself.

    `index` is the number's index among the numbers of the sentence.
    """

    sentence: str
    numbers: tuple[str, ...]
    name: str
    index: int | None = None

    @property
    def number(self) -> str:
        return "" if self.index is None else self.numbers[self.index]

    @property
    def has_value(self) -> bool:
        return _VALUE.search(self.sentence if self.index is None else self.number) is not None

    @property
    def is_item(self) -> bool:
        return self.index is None and _ITEM.match(self.sentence) is not None


_Side = Sequence[Change]


@dataclass
class ReplayChecker:
    """Compares the answers of one run after its tool results have been changed.

    `render` returns the text of a submitted value, and `asked` contains the numbers in the question.
    """

    sandbox: Sandbox
    record: ToolRecord
    render: Callable[[object], str]
    asked: Collection[str] = frozenset()
    cancelled: Callable[[], bool] = not_cancelled
    _answers: dict[Change, list[str] | None] = field(default_factory=dict)
    _deadline: float = float("inf")

    def check_answer(self, value: object) -> ReplayResult:
        """Find the sentences of an answer that change with the results of tools.

        Raises `RunCancelledError` if the run was cancelled.
        """
        if not self.record.is_complete:
            return ReplayResult(problem="its code read too much to be run again")
        self._deadline = time.monotonic() + _MAX_SECONDS
        sentences = _split_sentences(self.render(value))
        if self._find_changed_answer(_UNCHANGED) != sentences:
            if self._is_time_over():
                return ReplayResult(problem=_TIMEOUT_REASON)
            return ReplayResult(problem="running its code again did not give the same answer")
        self._find_changed_answer(_EMPTY)
        open_ = {each: self._list_claims(each) for each in sentences}
        sides = list[tuple[_Side, _Side]]()
        for pair in _iter_side_pairs():
            if self._is_time_over() or not any(open_.values()):
                break
            for change in (side[-1] for side in pair):
                self._find_changed_answer(change)
            sides = [*sides[:_COUNT_PAIRS], pair]
            open_ = {
                each: [claim for claim in claims if self._describe_doubt(claim, sides)]
                for each, claims in open_.items()
            }
        doubts = self._list_doubts(open_, sides)
        problem = _TIMEOUT_REASON if doubts and self._is_time_over() else ""
        return ReplayResult(frozenset({*sentences} - {*doubts}), problem, doubts)

    def _list_doubts(
        self, claims_by_sentence: Mapping[str, Sequence[_Claim]], sides: Sequence[tuple[_Side, _Side]]
    ) -> dict[str, str]:
        """Return the doubts about each sentence. Claims that did not change with any pair are checked a second time."""
        doubts = dict[str, str]()
        if any(claims_by_sentence.values()):
            for change in _CHANGES_OF_ALL:
                self._find_changed_answer(change)
        # Describe the doubts first. The second check runs the cells again, and a doubt states how many times the cells
        # were run before that check.
        first = {
            sentence: [(self._describe_doubt(claim, sides), claim) for claim in claims]
            for sentence, claims in claims_by_sentence.items()
        }
        for sentence, claims in first.items():
            names = dict[str, list[str]]()
            for doubt, claim in claims:
                if doubt and not (self._is_changed_by_all_records(claim) or self._has_dependent_text(claim)):
                    names.setdefault(doubt, []).append(claim.name)
            if names:
                doubts[sentence] = "; ".join(
                    f"{' and '.join(dict.fromkeys(each))} {why}" for why, each in names.items()
                )
        return doubts

    def _list_claims(self, sentence: str) -> list[_Claim]:
        """Return the numbers in a sentence that must change.

        For a list item, or a sentence without numbers, this is the sentence itself.
        """
        found = list(NUMBER.finditer(sentence))
        numbers = tuple(extract_digits(each[0]) for each in found)
        whole = _Claim(sentence, numbers, f'"{shorten(sentence, _MOST_CHARS)}"')
        if _ITEM.match(sentence):
            return [whole]
        words = self._find_literal_positions(sentence)
        claims = [
            _Claim(sentence, numbers, each[0], index)
            for index, each in enumerate(found)
            if numbers[index] not in self.asked and numbers[index].strip("0")
            if len(numbers[index]) >= _MIN_LONG_DIGITS
            or not (each.start() in words or _is_part_of_name_or_marker(sentence, each))
        ]
        return claims or [whole]

    def _find_literal_positions(self, sentence: str) -> set[int]:
        """Return the positions in a sentence covered by a string literal from the code that contains a number."""
        texts = {text for code in self.record.cells for text in extract_number_contexts(code) if text in sentence}
        return {
            place
            for text in texts
            for found in re.finditer(re.escape(text), sentence)
            for place in range(found.start(), found.end())
        }

    def _describe_doubt(self, claim: _Claim, sides: Sequence[tuple[_Side, _Side]]) -> str:
        """Return why a number or sentence does not count as computed, or an empty string if it does."""
        if doubt := self._describe_movement_doubt(claim, sides):
            return doubt
        others = list(self._iter_replacements(claim, self._answers))
        # If a number takes only one other value for all changes, the code chooses between two hard-coded numbers.
        if claim.has_value and len({*others}) < 2 and not claim.is_item:
            return "took only one other value, no matter how the text it read was changed"
        if self._is_unchanged_without_results(claim):
            return "was present even when nothing was read"
        if claim.index is None and (number := self._find_constant_number(claim)):
            return f"has {number}, which stayed the same no matter how the text it read was changed"
        return ""

    def _describe_movement_doubt(self, claim: _Claim, sides: Sequence[tuple[_Side, _Side]]) -> str:
        """Return why a claim does not change with either side of a pair, or an empty string if it does.

        An item may change on only one side if other items change on the other side.
        """
        has_moved = False
        for pair in sides:
            moved = [any(self._find_replacement(claim, change) is not None for change in side) for side in pair]
            is_item = claim.is_item and all(any(map(self._has_changed_answer, side)) for side in pair)
            if all(moved) or (is_item and any(moved)):
                return ""
            has_moved |= any(moved)
        failed = sum(answer is None for answer in self._answers.values())
        lost = f" ({failed} of {len(self._answers)} runs ended without an answer)" if failed else ""
        if has_moved:
            return f"changed with one half of the text it read, but never with the other half alone{lost}"
        return f"stayed the same no matter how the text it read was changed{lost}"

    def _is_changed_by_all_records(self, claim: _Claim) -> bool:
        """Return whether each quarter of the records alone gives the number, and changing all records changes it."""
        stated = {number for code in self.record.cells for number in extract_numbers(code)}
        if claim.index is None or claim.number in stated or self._is_time_over():
            return False
        moved = {other for change in _CHANGES_OF_ALL if (other := self._find_replacement(claim, change)) is not None}
        return (
            len(moved) > 1
            and not self._is_unchanged_without_results(claim)
            and all(self._is_unchanged_after(claim, changes) for changes in _QUARTER_CHANGES)
        )

    def _is_unchanged_after(self, claim: _Claim, changes: Sequence[Change]) -> bool:
        """Return whether at least one change leads to an answer, and all such answers contain the claim's number."""
        answered = [change for change in changes if self._find_changed_answer(change) is not None]
        return bool(answered) and not any(self._find_replacement(claim, change) for change in answered)

    def _has_dependent_text(self, claim: _Claim) -> bool:
        """Return whether the rest of the sentence changes with a number, which then is a bound or an operand.

        The number is changed where the code names it or compares with it. A long number is also changed where it was
        read.
        """
        if claim.index is None or self._is_time_over():
            return False
        answer = self._find_changed_answer(Change(ChangeKind.RAISED, number=claim.number))
        place = self._list_sentences().index(claim.sentence)
        if answer is None or len(answer) != len(self._list_sentences()):
            return False
        numbers = extract_numbers(answer[place])
        return len(numbers) == len(claim.numbers) and any(
            new != old for new, old in zip(numbers, claim.numbers, strict=True) if old != claim.number
        )

    def _list_sentences(self) -> list[str]:
        return self._find_changed_answer(_UNCHANGED) or []

    def _has_changed_answer(self, change: Change) -> bool:
        return self._find_changed_answer(change) not in (None, self._find_changed_answer(_UNCHANGED))

    def _iter_replacements(self, claim: _Claim, changes: Iterable[Change]) -> Iterator[str]:
        """Yield the replacement of a number or sentence for each change that affects it."""
        for change in changes:
            if not change.number and (other := self._find_replacement(claim, change)) is not None:
                yield other

    def _find_replacement(self, claim: _Claim, change: Change) -> str | None:
        """Return the value that replaces a number or sentence after a change.

        Returns None if the number or sentence stays the same, or if there is no answer. If the sentences or their
        numbers cannot be aligned, a number has changed if it occurs less often.
        """
        answer, sentences = self._find_changed_answer(change), self._list_sentences()
        if answer is None or claim.sentence in answer:
            return None
        is_aligned = len(answer) == len(sentences)
        text = answer[sentences.index(claim.sentence)] if is_aligned else "\n".join(answer)
        if claim.index is None:
            return text
        numbers = extract_numbers(text)
        if is_aligned and len(numbers) == len(claim.numbers):
            return numbers[claim.index] if numbers[claim.index] != claim.number else None
        return " ".join(numbers) if numbers.count(claim.number) < claim.numbers.count(claim.number) else None

    def _is_unchanged_without_results(self, claim: _Claim) -> bool:
        """Return whether a sentence keeps its number, or a long number, when the tools return nothing."""
        answer, sentences = self._find_changed_answer(_EMPTY) or [], self._list_sentences()
        if claim.has_value and claim.sentence in answer:
            return True
        place = sentences.index(claim.sentence)
        rest = answer[place : place + 1] if len(answer) == len(sentences) else answer
        if claim.index is None:
            return any(number.strip("0") for each in rest for number in self._extract_long_numbers(each))
        numbers = [number for each in rest for number in extract_numbers(each)]
        if len(numbers) == len(claim.numbers):
            numbers = [numbers[claim.index]]
        is_long = {*numbers} & self._extract_long_numbers(" ".join(numbers)) - ({*claim.numbers} - {claim.number})
        return claim.number in numbers or any(number.strip("0") for number in is_long)

    def _find_constant_number(self, claim: _Claim) -> str:
        """Return a long number that occurs equally often in a sentence for all changes, or an empty string."""
        counts = Counter(claim.numbers)
        changed = [
            Counter(extract_numbers(each))
            for each in self._iter_replacements(claim, [each for each in self._answers if each != _EMPTY])
        ]
        stated = (
            number
            for number in self._extract_long_numbers(claim.sentence)
            if all(each[number] >= counts[number] for each in changed)
        )
        return min(stated, default="")

    def _extract_long_numbers(self, text: str) -> set[str]:
        return {number for number in extract_numbers(text) if len(number) >= _MIN_LONG_DIGITS} - {*self.asked}

    def _is_time_over(self) -> bool:
        return time.monotonic() > self._deadline

    def _find_changed_answer(self, change: Change) -> list[str] | None:
        """Return the sentences of the answer after a change, or None if no answer was submitted."""
        if change not in self._answers:
            self._answers[change] = self._run_cells(change)
        return self._answers[change]

    def _run_cells(self, change: Change) -> list[str] | None:
        handed_in: list[object] = []

        def store_answer(answer: object, *_: object, **__: object) -> str:
            handed_in.append(answer)
            return "kept"

        tools = {
            name: _RepeatedTool(name, self.record.calls.get(name, _ToolCalls()), change) for name in self.record.tools
        }
        session = None
        try:
            session = self.sandbox.open({**tools, **dict.fromkeys(_SUBMITTING_TOOLS, store_answer)})
            for cell in self.record.cells:
                code = raise_bounds(cell, change.number) if change.number else cell
                session.run(code, cancelled=lambda: self.cancelled() or self._is_time_over())
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
            return _split_sentences(self.render(handed_in[-1])) if handed_in else None
        except ToolError:  # The submitted value is empty, or cannot be represented in JSON.
            return None


class _RepeatedTool:
    """A tool that repeats its earlier result for the same arguments or the same records, with a change applied.

    For other arguments, it returns the results of the calls in order, and then repeats the last result.
    """

    def __init__(self, name: str, calls: _ToolCalls, change: Change) -> None:
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


def _iter_side_pairs() -> Iterator[tuple[Sequence[Change], Sequence[Change]]]:
    """Yield pairs of sides. A side is a list of changes, and the sides of a pair affect different records.

    The lists grow from pair to pair. A sentence is computed if it changes on both sides of a pair.
    """
    yield (Change(ChangeKind.LESS),), (Change(ChangeKind.MORE),)
    yield (Change(ChangeKind.LESS), Change(ChangeKind.FEWER)), (Change(ChangeKind.MORE),)
    for count in range(1, len(_GROUP_CHANGES) + 1):
        yield (
            tuple(Change(kind, 0) for kind in _GROUP_CHANGES[:count]),
            tuple(Change(kind, 1) for kind in _GROUP_CHANGES[:count]),
        )


def _is_part_of_name_or_marker(sentence: str, match: re.Match[str]) -> bool:
    """Return whether a number is part of a name, as in "Q1", or of a marker, as in "[1]"."""
    before = sentence[max(match.start() - 1, 0) : match.start()]
    return before.isalpha() or before == "["


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


def _split_sentences(text: str) -> list[str]:
    return [text[start:end] for start, end in list_sentence_spans(text)]


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
