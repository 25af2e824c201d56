"""Runs the cells of a run again with changed results of tools, to check whether its answer was computed from them.

A program can call a tool and still hard-code its answer: `424242 + 0 * count("x")["total"]`. Reading the code is not
enough to distinguish this from a sum. Therefore, the cells are run again with different results, and a sentence that
was computed changes accordingly. Each of its numbers must change with more than one part of the results. A number that
was read in a single place needs a citation instead.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce

from ingest.storage.remarks import Remark
from rlm.checking.markers import remove_markers
from rlm.errors import not_cancelled
from rlm.loop.literals import extract_numbers
from rlm.loop.replay.answers import EMPTY, UNCHANGED, ChangedAnswers, split_sentences
from rlm.loop.replay.changes import Change, ChangeKind
from rlm.loop.replay.claims import MIN_LONG_DIGITS, Claim, has_value, list_claims
from rlm.loop.replay.records import ToolRecord
from rlm.sandbox.port import Sandbox

# Time limit for all replays of one answer. If a sentence has not changed by then, it is not reported as computed.
_MAX_SECONDS = 30.0
_TIMEOUT_REASON = Remark("doubt_too_slow", seconds=round(_MAX_SECONDS))
# Maximum number of reported doubts about an answer.
_MOST_REASONS = 3
# Number of pairs of sides, from the start, that change the number of records. Each later pair includes all changes of
# the pair before it.
_COUNT_PAIRS = 2
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
        return {each: why for each, why in self.doubts.items() if has_value(remove_markers(each))}

    @property
    def reason(self) -> str:
        """The reason why no sentence changed."""
        return self.problem or _join_doubts(list(dict.fromkeys(self.doubts.values()))[:_MOST_REASONS])


def _join_doubts(doubts: Sequence[str]) -> str:
    return reduce(lambda first, following: Remark("doubts", first=first, next=following), doubts) if doubts else ""


def _join_names(names: Sequence[str]) -> str:
    return reduce(lambda first, following: Remark("doubt_names", first=first, next=following), names)


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
    _answers: ChangedAnswers = field(init=False)

    def check_answer(self, value: object) -> ReplayResult:
        """Find the sentences of an answer that change with the results of tools.

        Raises `RunCancelledError` if the run was cancelled.
        """
        if not self.record.is_complete:
            return ReplayResult(problem=Remark("doubt_too_much"))
        self._answers = ChangedAnswers(
            self.sandbox, self.record, self.render, max_seconds=_MAX_SECONDS, cancelled=self.cancelled
        )
        sentences = split_sentences(self.render(value))
        if self._answers.find_answer(UNCHANGED) != sentences:
            if self._answers.is_time_over():
                return ReplayResult(problem=_TIMEOUT_REASON)
            return ReplayResult(problem=Remark("doubt_other_answer"))
        self._answers.find_answer(EMPTY)
        open_ = {each: list_claims(each, self.record.cells, self.asked) for each in sentences}
        sides = list[tuple[_Side, _Side]]()
        for pair in _iter_side_pairs():
            if self._answers.is_time_over() or not any(open_.values()):
                break
            for change in (side[-1] for side in pair):
                self._answers.find_answer(change)
            sides = [*sides[:_COUNT_PAIRS], pair]
            open_ = {
                each: [claim for claim in claims if self._describe_doubt(claim, sides)]
                for each, claims in open_.items()
            }
        doubts = self._list_doubts(open_, sides)
        problem = _TIMEOUT_REASON if doubts and self._answers.is_time_over() else ""
        return ReplayResult(frozenset({*sentences} - {*doubts}), problem, doubts)

    def _list_doubts(
        self, claims_by_sentence: Mapping[str, Sequence[Claim]], sides: Sequence[tuple[_Side, _Side]]
    ) -> dict[str, str]:
        """Return the doubts about each sentence. Claims that did not change with any pair are checked a second time."""
        doubts = dict[str, str]()
        if any(claims_by_sentence.values()):
            for change in _CHANGES_OF_ALL:
                self._answers.find_answer(change)
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
                doubts[sentence] = _join_doubts(
                    [
                        Remark("doubt", names=_join_names(list(dict.fromkeys(each))), why=why)
                        for why, each in names.items()
                    ]
                )
        return doubts

    def _describe_doubt(self, claim: Claim, sides: Sequence[tuple[_Side, _Side]]) -> str:
        """Return why a number or sentence does not count as computed, or an empty string if it does."""
        if doubt := self._describe_movement_doubt(claim, sides):
            return doubt
        others = list(self._iter_replacements(claim, self._answers.found))
        # If a number takes only one other value for all changes, the code chooses between two hard-coded numbers.
        if claim.has_value and len({*others}) < 2 and not claim.is_item:
            return Remark("doubt_one_other")
        if self._is_unchanged_without_results(claim):
            return Remark("doubt_unread")
        if claim.index is None and (number := self._find_constant_number(claim)):
            return Remark("doubt_number", number=number)
        return ""

    def _describe_movement_doubt(self, claim: Claim, sides: Sequence[tuple[_Side, _Side]]) -> str:
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
        failed = sum(answer is None for answer in self._answers.found.values())
        lost = Remark("doubt_lost", failed=failed, runs=len(self._answers.found)) if failed else ""
        if has_moved:
            return Remark("doubt_half", lost=lost)
        return Remark("doubt_same", lost=lost)

    def _is_changed_by_all_records(self, claim: Claim) -> bool:
        """Return whether each quarter of the records alone gives the number, and changing all records changes it."""
        stated = {number for code in self.record.cells for number in extract_numbers(code)}
        if claim.index is None or claim.number in stated or self._answers.is_time_over():
            return False
        moved = {other for change in _CHANGES_OF_ALL if (other := self._find_replacement(claim, change)) is not None}
        return (
            len(moved) > 1
            and not self._is_unchanged_without_results(claim)
            and all(self._is_unchanged_after(claim, changes) for changes in _QUARTER_CHANGES)
        )

    def _is_unchanged_after(self, claim: Claim, changes: Sequence[Change]) -> bool:
        """Return whether at least one change leads to an answer, and all such answers contain the claim's number."""
        answered = [change for change in changes if self._answers.find_answer(change) is not None]
        return bool(answered) and not any(self._find_replacement(claim, change) for change in answered)

    def _has_dependent_text(self, claim: Claim) -> bool:
        """Return whether the rest of the sentence changes with a number, which then is a bound or an operand.

        The number is changed where the code names it or compares with it. A long number is also changed where it was
        read.
        """
        if claim.index is None or self._answers.is_time_over():
            return False
        answer = self._answers.find_answer(Change(ChangeKind.RAISED, number=claim.number))
        place = self._answers.sentences.index(claim.sentence)
        if answer is None or len(answer) != len(self._answers.sentences):
            return False
        numbers = extract_numbers(answer[place])
        return len(numbers) == len(claim.numbers) and any(
            new != old for new, old in zip(numbers, claim.numbers, strict=True) if old != claim.number
        )

    def _has_changed_answer(self, change: Change) -> bool:
        return self._answers.find_answer(change) not in (None, self._answers.find_answer(UNCHANGED))

    def _iter_replacements(self, claim: Claim, changes: Iterable[Change]) -> Iterator[str]:
        """Yield the replacement of a number or sentence for each change that affects it."""
        for change in changes:
            if not change.number and (other := self._find_replacement(claim, change)) is not None:
                yield other

    def _find_replacement(self, claim: Claim, change: Change) -> str | None:
        """Return the value that replaces a number or sentence after a change.

        Returns None if the number or sentence stays the same, or if there is no answer. If the sentences or their
        numbers cannot be aligned, a number has changed if it occurs less often.
        """
        answer, sentences = self._answers.find_answer(change), self._answers.sentences
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

    def _is_unchanged_without_results(self, claim: Claim) -> bool:
        """Return whether a sentence keeps its number, or a long number, when the tools return nothing."""
        answer, sentences = self._answers.find_answer(EMPTY) or [], self._answers.sentences
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

    def _find_constant_number(self, claim: Claim) -> str:
        """Return a long number that occurs equally often in a sentence for all changes, or an empty string."""
        counts = Counter(claim.numbers)
        changed = [
            Counter(extract_numbers(each))
            for each in self._iter_replacements(claim, [each for each in self._answers.found if each != EMPTY])
        ]
        stated = (
            number
            for number in self._extract_long_numbers(claim.sentence)
            if all(each[number] >= counts[number] for each in changed)
        )
        return min(stated, default="")

    def _extract_long_numbers(self, text: str) -> set[str]:
        return {number for number in extract_numbers(text) if len(number) >= MIN_LONG_DIGITS} - {*self.asked}


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
