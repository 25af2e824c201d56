"""Asking a model about many small records: several a call, each failure taken apart and asked again once."""

import json
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, Protocol

from rlm.ahead import ahead
from rlm.cancelling import not_cancelled
from rlm.llm.port import SubCall, SubCalls, SubFailure, SubReply
from rlm.llm.tokens import estimated_tokens
from rlm.operators.prompts import one_line
from rlm.usage import Usage

# Calls that are handed over together; in between, progress is told and cancelling is noticed.
_CALLS_AT_ONCE = 32
_OVERHEAD_TOKENS = 8
# Times the tokens a record was allowed at first, once replies were too long for that.
_MORE_ROOM = 4
_MENDABLE = frozenset({"language_model_output", "context_too_long"})


# A record's text, or the parts of one of which some is to be seen of each.
Text = str | tuple[str, ...]


@dataclass(frozen=True)
class PackLimits:
    """How much goes into one call: records, and tokens of their text; a longer record is cut at its end.

    `output_tokens` is the most that a reply may have.
    """

    records: int = 10
    tokens: int = 2_000
    output_tokens: int = 1_024

    @property
    def record_chars(self) -> int:
        return 3 * self.tokens


@dataclass(frozen=True)
class Progress:
    """So many of an operator's records are done."""

    step: str
    done: int
    total: int


@dataclass(frozen=True)
class Refused:
    """A record without a result: the code of an error, and a sentence. `failure` is that of its call, if all of it
    failed."""

    code: str
    detail: str
    failure: SubFailure | None = None


class PackedTask(Protocol):
    """What is asked about each record of a pack."""

    @property
    def purpose(self) -> str: ...

    def call(self, records: Sequence[str]) -> SubCall: ...

    def read(self, values: Mapping[str, Any], position: int) -> object | None:
        """The result of the record at that place of the call, from 1, by the reply's JSON; None when it has none."""


@dataclass(frozen=True)
class _Packed:
    """A record as it stands in a call: its number, its line, and the share of it that is in that line."""

    number: int
    line: str
    share: float


@dataclass
class Asked:
    """Results by the number that the caller gave each record, and what they cost.

    `cut` has the shares that were shown of records whose results rest on their beginning alone.
    """

    results: dict[int, object]
    refused: dict[int, Refused]
    usage: Usage = field(default_factory=Usage)
    calls_from_cache: int = 0
    cut: dict[int, float] = field(default_factory=dict)


def ask_packed(
    subcalls: SubCalls,
    task: PackedTask,
    numbered: Sequence[int],
    texts: Callable[[Sequence[int]], Iterator[Text]],
    *,
    limits: PackLimits,
    lengthy: bool = False,
    cancelled: Callable[[], bool] = not_cancelled,
) -> Generator[Progress, None, Asked]:
    """Asks about the records `numbered`, whose texts are read pack by pack; yields how many are done.

    What came back without a result is asked again in packs of half the size. Where replies may be `lengthy`, nobody
    knows how long, these have more room for theirs, and what fails then is asked about alone, with all the room there
    is. Where the first calls bring no result at all, the others of their size are not made. Raises `RunCancelledError`.
    """
    asked = Asked({}, {})
    yield from _round(subcalls, task, numbered, texts, limits, cancelled, asked)
    again = [number for number, why in asked.refused.items() if why.code in _MENDABLE]
    if again:
        smaller = replace(limits, records=max(1, limits.records // 2), tokens=max(200, limits.tokens // 2))
        roomier = _Roomier(task, lambda tokens: min(_MORE_ROOM * tokens, limits.output_tokens)) if lengthy else task
        yield from _round(subcalls, roomier, again, texts, smaller, cancelled, asked)
        alone = [number for number in again if _failed_as_a_call(asked.refused.get(number))] if lengthy else []
        if alone:
            roomiest = _Roomier(task, lambda _: limits.output_tokens)
            yield from _round(subcalls, roomiest, alone, texts, replace(smaller, records=1), cancelled, asked)
    return asked


def _failed_as_a_call(why: Refused | None) -> bool:
    return why is not None and why.failure is not None and why.code in _MENDABLE


@dataclass(frozen=True)
class _Roomier:
    """A task whose replies have another room."""

    task: PackedTask
    room: Callable[[int], int]

    @property
    def purpose(self) -> str:
        return self.task.purpose

    def call(self, records: Sequence[str]) -> SubCall:
        call = self.task.call(records)
        return replace(call, max_tokens=max(call.max_tokens, self.room(call.max_tokens)))

    def read(self, values: Mapping[str, Any], position: int) -> object | None:
        return self.task.read(values, position)


def _round(
    subcalls: SubCalls,
    task: PackedTask,
    numbered: Sequence[int],
    texts: Callable[[Sequence[int]], Iterator[Text]],
    limits: PackLimits,
    cancelled: Callable[[], bool],
    asked: Asked,
) -> Generator[Progress, None, None]:
    packs = _packs(zip(numbered, texts(numbered), strict=True), limits)
    done = 0
    for together, calls in ahead(_batches(task, packs)):
        for pack, reply in zip(together, subcalls.run(calls, cancelled=cancelled), strict=True):
            _take(task, pack, reply, asked)
            done += len(pack)
        yield Progress(task.purpose, done, len(numbered))
        if not asked.results and done < len(numbered):
            asked.refused |= dict.fromkeys(numbered[done:], asked.refused[numbered[done - 1]])
            return


def _batches(task: PackedTask, packs: Iterator[list[_Packed]]) -> Iterator[tuple[list[list[_Packed]], list[SubCall]]]:
    while together := list(islice(packs, _CALLS_AT_ONCE)):
        yield together, [task.call([record.line for record in pack]) for pack in together]


def _packs(records: Iterator[tuple[int, Text]], limits: PackLimits) -> Iterator[list[_Packed]]:
    pack: list[_Packed] = []
    room = limits.tokens
    for number, text in records:
        line, share = _shown(text, limits.record_chars)
        tokens = estimated_tokens(line) + _OVERHEAD_TOKENS
        if pack and (len(pack) == limits.records or tokens > room):
            yield pack
            pack, room = [], limits.tokens
        pack.append(_Packed(number, line, share))
        room -= tokens
    if pack:
        yield pack


def _shown(text: Text, max_chars: int) -> tuple[str, float]:
    """The line of a record, and the share of the record that is in it; of several parts, each is cut at its end."""
    whole = one_line(text if isinstance(text, str) else " ".join(text))
    if len(whole) <= max_chars:
        return whole, 1.0
    line = whole[:max_chars] if isinstance(text, str) else _beginnings(text, max_chars)
    return line, len(line) / len(whole)


def _beginnings(parts: Sequence[str], max_chars: int) -> str:
    """As much of each part as of the others, and more of the longer ones where others do not need their room."""
    lines = [one_line(part) for part in parts]
    room = max_chars - (len(lines) - 1)
    lengths = dict.fromkeys(range(len(lines)), 0)
    for left, place in zip(range(len(lines), 0, -1), sorted(lengths, key=lambda at: len(lines[at])), strict=True):
        lengths[place] = min(len(lines[place]), room // left)
        room -= lengths[place]
    return " ".join(line[: lengths[place]] for place, line in enumerate(lines))


def _take(task: PackedTask, pack: Sequence[_Packed], reply: SubReply | SubFailure, asked: Asked) -> None:
    if isinstance(reply, SubFailure):
        asked.usage += reply.usage
        for record in pack:
            asked.refused[record.number] = Refused(reply.code, reply.detail, reply)
        return
    if reply.cached:
        asked.calls_from_cache += 1
    else:
        asked.usage += reply.usage
    values = numbered_values(reply.text)
    for position, record in enumerate(pack, start=1):
        result = task.read(values, position)
        if result is None:
            asked.refused[record.number] = Refused(
                "language_model_output", "The reply has no usable value for the record."
            )
            continue
        asked.results[record.number] = result
        asked.refused.pop(record.number, None)
        if record.share < 1:
            asked.cut[record.number] = record.share


def numbered_values(text: str) -> Mapping[str, Any]:
    """The reply's JSON object; what is cut off or no object has no members, and its records are asked again."""
    try:
        value = json.loads(text[text.index("{") : text.rindex("}") + 1])
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
