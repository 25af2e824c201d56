"""Asks a model about many records.

Several records share a call. Long records are read in parts. After failures, the model is asked again.
"""

import json
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby, islice
from typing import Any

from rlm.errors import not_cancelled
from rlm.llm.budgets import Usage
from rlm.llm.port import BatchedSubCalls, SubFailure, SubReply
from rlm.llm.profiles import ModelProfile, estimate_tokens
from rlm.operators.tasks import NotesTask, Task, build_records_call
from rlm.untrusted import to_one_line

# Maximum number of calls in a batch. Progress is reported after each batch.
_MAX_CALLS = 64
_OVERHEAD_TOKENS = 8
# Factor by which a retry raises the output limit.
_MORE_ROOM = 4
_RETRYABLE_CODES = frozenset({"language_model_output", "context_too_long"})
# Maximum number of passes over one record. If the notes on the parts of a record are themselves too long, the notes are
# read in parts again.
_MAX_PASSES = 3
# Overlap of adjacent parts of a long record, as a fraction of a part. With an overlap, every sentence is complete in at
# least one part.
_OVERLAP = 0.05

# A function that returns the texts of the records with the given numbers, in the order of these numbers.
Texts = Callable[[Sequence[int]], Iterator[str]]


@dataclass(frozen=True)
class PackLimits:
    """The limits of one call: the number of records, and of tokens in their text. `output_tokens` limits the reply."""

    records: int = 10
    tokens: int = 2_000
    output_tokens: int = 1_024

    @classmethod
    def from_profile(cls, profile: ModelProfile) -> "PackLimits":
        """Return the limits for a model with this profile."""
        return cls(profile.batch_items, max(500, profile.slice_tokens), profile.max_output_tokens)

    @property
    def record_chars(self) -> int:
        """The maximum length of a text that is read in one part. Longer texts are read in parts."""
        return 3 * self.tokens


@dataclass(frozen=True)
class OperatorProgress:
    """Progress of an operator: the number of finished records, or of finished parts of long records."""

    step: str
    done: int
    total: int


@dataclass(frozen=True)
class Refusal:
    """The reason why a result is missing. If the whole call failed, `failure` is its failure."""

    code: str
    failure: SubFailure | None = None


@dataclass
class RecordResults:
    """Results and refusals keyed by record number, and the cost of obtaining them."""

    results: dict[int, object] = field(default_factory=dict)
    refused: dict[int, Refusal] = field(default_factory=dict)
    usage: Usage = field(default_factory=Usage)

    @property
    def failure(self) -> SubFailure | None:
        """The first failure of a whole call, or None if only individual results are missing."""
        return next((why.failure for why in self.refused.values() if why.failure is not None), None)

    def add_results(self, other: "RecordResults") -> None:
        """Add results of other records, or new results for the same records."""
        self.results |= other.results
        self.refused = {at: why for at, why in self.refused.items() if at not in other.results} | other.refused
        self.usage += other.usage


@dataclass(frozen=True)
class RecordReader:
    """Asks one model about records. If a record is too long for one call, it is read completely, in parts."""

    subcalls: BatchedSubCalls
    limits: PackLimits
    cancelled: Callable[[], bool] = not_cancelled

    def ask_about_records(
        self, task: Task, numbers: Sequence[int], texts: Texts
    ) -> Generator[OperatorProgress, None, RecordResults]:
        """Ask about the records with these `numbers`. Raises `RunCancelledError` if the run was cancelled."""
        notes = yield from self.shorten_texts(task, numbers, texts, self.limits.record_chars)

        def iter_short_texts(wanted: Sequence[int]) -> Iterator[str]:
            return _replace_with_notes(wanted, texts, notes.results)

        asked = RecordResults(refused=notes.refused, usage=notes.usage)
        left = [number for number in numbers if number not in notes.refused]
        asked.add_results((yield from self._ask_about_short_texts(task, left, iter_short_texts)))
        return asked

    def shorten_texts(
        self, task: Task, numbers: Sequence[int], texts: Texts, max_chars: int, max_passes: int = _MAX_PASSES - 1
    ) -> Generator[OperatorProgress, None, RecordResults]:
        """Read every text longer than `max_chars` in parts.

        The results are the notes taken on these texts for `task`, keyed by record number.
        """
        sizes = [(number, len(text)) for number, text in zip(numbers, texts(numbers), strict=True)]
        long = [(number, size) for number, size in sizes if size > max_chars]
        if not long:
            return RecordResults()
        part_chars = self.limits.record_chars
        parts = [(number, start) for number, size in long for start in _compute_part_starts(size, part_chars)]

        def iter_part_texts(wanted: Sequence[int]) -> Iterator[str]:
            for number, group in groupby(wanted, key=lambda at: parts[at][0]):
                (text,) = texts([number])
                yield from (text[parts[at][1] : parts[at][1] + part_chars] for at in group)

        read = yield from self._ask_about_short_texts(
            NotesTask(task.aim, task.purpose), range(len(parts)), iter_part_texts
        )
        notes = RecordResults(usage=read.usage)
        for number, group in groupby(range(len(parts)), key=lambda at: parts[at][0]):
            places = list(group)
            refused = next((read.refused[at] for at in places if at in read.refused), None)
            if refused is not None:
                notes.refused[number] = refused
            else:
                notes.results[number] = _join_part_notes([str(read.results[at]) for at in places])
        if max_passes:

            def iter_noted_texts(wanted: Sequence[int]) -> Iterator[str]:
                return (str(notes.results[number]) for number in wanted)

            again = self.shorten_texts(task, list(notes.results), iter_noted_texts, max_chars, max_passes - 1)
            notes.add_results((yield from again))
        return notes

    def _ask_about_short_texts(
        self, task: Task, numbers: Sequence[int], texts: Texts
    ) -> Generator[OperatorProgress, None, RecordResults]:
        """Ask about texts that each fit in one call.

        Records without a result are retried in packs of half the size and with a larger output limit. If the whole call
        fails again, its records are asked about one at a time, with the largest output limit.
        """
        limits, most = self.limits, self.limits.output_tokens
        asked = yield from self._ask_about_each_once(task, numbers, texts, limits, lambda tokens: tokens)
        again = [number for number, why in asked.refused.items() if why.code in _RETRYABLE_CODES]
        if again:
            smaller = replace(limits, records=max(1, limits.records // 2), tokens=max(200, limits.tokens // 2))
            asked.add_results(
                (
                    yield from self._ask_about_each_once(
                        task, again, texts, smaller, lambda it: min(_MORE_ROOM * it, most)
                    )
                )
            )
        alone = [at for at, why in asked.refused.items() if why.failure is not None and why.code in _RETRYABLE_CODES]
        if alone:
            single = replace(limits, records=1)
            asked.add_results((yield from self._ask_about_each_once(task, alone, texts, single, lambda _: most)))
        return asked

    def _ask_about_each_once(
        self,
        task: Task,
        numbers: Sequence[int],
        texts: Texts,
        limits: PackLimits,
        compute_max_tokens: Callable[[int], int],
    ) -> Generator[OperatorProgress, None, RecordResults]:
        """Ask about each record once. If the first calls produce no results at all, no more calls are made."""
        asked, done = RecordResults(), 0
        packs = _iter_record_packs(zip(numbers, texts(numbers), strict=True), limits)
        while together := list(islice(packs, _MAX_CALLS)):
            calls = [build_records_call(task, [line for _, line in pack]) for pack in together]
            calls = [
                replace(each, max_tokens=max(each.max_tokens, compute_max_tokens(each.max_tokens))) for each in calls
            ]
            for pack, reply in zip(together, self.subcalls.run(calls, cancelled=self.cancelled), strict=True):
                _collect_results(task, pack, reply, asked)
                done += len(pack)
            yield OperatorProgress(task.purpose, done, len(numbers))
            if not asked.results and done < len(numbers):
                asked.refused |= dict.fromkeys(numbers[done:], asked.refused[numbers[done - 1]])
                break
        return asked


def _iter_record_packs(records: Iterator[tuple[int, str]], limits: PackLimits) -> Iterator[list[tuple[int, str]]]:
    pack: list[tuple[int, str]] = []
    room = limits.tokens
    for number, text in records:
        line = to_one_line(text, limits.record_chars)
        tokens = estimate_tokens(line) + _OVERHEAD_TOKENS
        if pack and (len(pack) == limits.records or tokens > room):
            yield pack
            pack, room = [], limits.tokens
        pack.append((number, line))
        room -= tokens
    if pack:
        yield pack


def _collect_results(
    task: Task, pack: Sequence[tuple[int, str]], reply: SubReply | SubFailure, record_results: RecordResults
) -> None:
    record_results.usage += reply.paid_usage
    if isinstance(reply, SubFailure):
        record_results.refused |= dict.fromkeys((number for number, _ in pack), Refusal(reply.code, reply))
        return
    values = _parse_json_object(reply.text)
    for position, (number, _) in enumerate(pack, start=1):
        result = task.parse_result(values.get(str(position)))
        if result is None:
            record_results.refused[number] = Refusal("language_model_output")
        else:
            record_results.results[number] = result


def _parse_json_object(text: str) -> Mapping[str, Any]:
    """Return the JSON object in the reply.

    If the reply is cut off or is not an object, the result is empty, and the model is asked about the records again.
    """
    try:
        value = json.loads(text[text.index("{") : text.rindex("}") + 1])
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _compute_part_starts(text_chars: int, part_chars: int) -> range:
    """Return the start offsets of the parts into which a text of `text_chars` characters is split.

    The last part ends at the end of the text.
    """
    step = max(1, int(part_chars * (1 - _OVERLAP)))
    return range(0, max(1, text_chars - part_chars + step), step)


def _join_part_notes(notes: Sequence[str]) -> str:
    said = [f"Part {number}: {note.strip()}" for number, note in enumerate(notes, start=1) if note.strip()]
    body = "\n".join(said) or "Nothing in it bears on the task."
    return f"Notes on a long document that was read whole, in {len(notes)} parts.\n{body}"


def _replace_with_notes(record_numbers: Sequence[int], texts: Texts, notes: Mapping[int, object]) -> Iterator[str]:
    """Yield the text of each record, or the notes on the record if there are any.

    Texts replaced by notes are not loaded.
    """
    others = texts([number for number in record_numbers if number not in notes])
    return (str(notes[number]) if number in notes else next(others) for number in record_numbers)
