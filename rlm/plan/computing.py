"""Computes a plan's answer from its rows, and puts it into words, in the form that was asked for."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice

from rlm.answers import Interval, Result
from rlm.corpus.handles import Handle
from rlm.operators.aggregate import Key, Ranked, Unit, compare, count, groups_that, numbers, pairs_that, ranked, sizes
from rlm.operators.judged import Classification
from rlm.operators.table import Condition, Op, Row, keep
from rlm.plan.certainty import corrected, given, overlap, rests_on
from rlm.plan.executor import Executed
from rlm.plan.plan import (
    MATCHES,
    Aggregation,
    Compare,
    Count,
    CountGroups,
    Listing,
    Measure,
    Pairs,
    Plan,
    Rank,
    RecordPairs,
)

MAX_EXAMPLES = 5
MAX_PAIRS = 2_000_000
_LISTED = 50
_MORE = {"more": "more common than", "less": "less common than", "same": "same frequency as"}


@dataclass(frozen=True)
class Computed:
    """An answer: its value for programs, the value in words (None where there is none), a sentence about it, and the
    records that show it best."""

    result: Result
    said: str | None
    sentence: str
    examples: tuple[Handle, ...] = field(default=())


def compute(plan: Plan, done: Executed) -> Computed:
    """Exact over the rows; what rests on labels that a classifier gave has an interval, or says how far they hold."""
    computed = _computed(plan.answer, done)
    rests = rests_on(plan, done) if computed.result.interval is None else ""
    return replace(computed, sentence=f"{computed.sentence} {rests}") if rests else computed


def _computed(answer: Aggregation, done: Executed) -> Computed:
    rows = done.rows
    match answer:
        case Count(where):
            return _count(where, done)
        case Rank():
            return _rank(answer, done)
        case Compare():
            return _compare(answer, done)
        case CountGroups():
            return _groups(answer, rows)
        case Pairs():
            return _pairs(answer, rows)
        case RecordPairs():
            return _record_pairs(answer, done)
        case Listing():
            return _listing(answer, done)
        case Measure():
            return _measure(answer, rows)


def _count(where: Sequence[Condition], done: Executed) -> Computed:
    met = list(keep(done.rows, where))
    number, interval = corrected(where, len(met), done)
    result = Result("count", number, interval, _table(done))
    sentence = f"{number:,} of {len(done.rows) + done.dropped:,} records{_meeting(where)}{given(interval)}."
    return Computed(result, str(number), sentence, _examples(met))


def _rank(answer: Rank, done: Executed) -> Computed:
    rows = done.rows
    counted = sizes(keep(rows, answer.where), answer.key)
    one = partial(_of_one, counted=counted, parts=_parts(answer, done), answer=answer, done=done)
    counts = counted
    if answer.key.column in done.classifications:  # of other groups each has the same share of the mistakes
        counts = Counter({name: max(1, one(name)[0]) for name in counted})
    found = ranked(counts, answer.rank, least=answer.least)
    table = dict(counts.most_common(_LISTED))
    if found is None:
        return Computed(Result("rank", None, None, table), None, f"There are only {len(counts)} groups.")
    names = [_name(name, answer.key) for name in found.names]
    number, interval = one(found.names[0])
    size = f"{_records(number)}{_meeting(answer.where)}{given(interval)}"
    sentence = f"{_place(answer)}: {' and '.join(names[:10])} with {size}."
    if len(names) > 1:
        sentence += f" {len(names)} are tied."
    if interval is not None:
        others = sorted(counts.keys() - set(found.names), key=lambda name: (abs(counts[name] - found.count), name))
        near = [name for name in others[:_LISTED] if overlap(interval, one(name)[1])]
        may_be = " or ".join(_name(name, answer.key) for name in near[:10])
        sentence += f" Within that error it may also be {may_be}." if near else ""
    value = found.names[0] if len(names) == 1 else list(found.names)
    return Computed(Result("rank", value, interval, table), names[0], sentence, _of_group(rows, answer, found))


def _of_one(
    name: str, *, counted: Mapping[str, int], parts: Mapping[str, float], answer: Rank, done: Executed
) -> tuple[int, Interval | None]:
    """One group's likeliest count, and its interval."""
    mine = (Condition(answer.key.column, Op.IS, (name,)),) if answer.key.column in done.classifications else ()
    return corrected((*answer.where, *mine), counted[name], done, part=parts.get(name))


def _parts(answer: Rank, done: Executed) -> dict[str, float]:
    """The share of all records that is in each group, whatever their labels; none of groups by label."""
    if answer.key.column in done.classifications or not _labelled(answer.where, done):
        return {}
    others = [each for each in answer.where if each.column not in done.classifications]
    return {name: size / len(done.rows) for name, size in sizes(keep(done.rows, others), answer.key).items()}


def _place(answer: Rank) -> str:
    order = {1: "", 2: "second ", 3: "third ", 4: "fourth ", 5: "fifth "}.get(answer.rank, f"{answer.rank}th ")
    return f"The {answer.key.column} with the {order}{'fewest' if answer.least else 'most'} records"


def _of_group(rows: Sequence[Row], answer: Rank, found: Ranked) -> tuple[Handle, ...]:
    return _examples([row for row in keep(rows, answer.where) if answer.key.of(row) == found.names[0]])


def _compare(answer: Compare, done: Executed) -> Computed:
    within = list(keep(done.rows, answer.where))
    counted = count(within, answer.one), count(within, answer.other)
    one, first = corrected((*answer.where, *answer.one), counted[0], done)
    other, second = corrected((*answer.where, *answer.other), counted[1], done)
    # Two parts of one label have the same share of its mistakes, but for rounding.
    verdict = compare(*counted) if _labelled(answer.one, done) == _labelled(answer.other, done) else compare(one, other)
    table = {answer.names[0]: one, answer.names[1]: other}
    sentence = f"{answer.names[0]}: {_records(one)}{given(first)}; {answer.names[1]}: {_records(other)}{given(second)}."
    if overlap(first, second):
        sentence += " Within that error it may be the other way round."
    result = Result("comparison", verdict, None, table)
    return Computed(result, _MORE[verdict], sentence, _examples(keep(within, answer.one)))


def _labelled(where: Sequence[Condition], done: Executed) -> list[Condition]:
    return [condition for condition in where if condition.column in done.classifications]


def _groups(answer: CountGroups, rows: Sequence[Row]) -> Computed:
    found = groups_that(keep(rows, answer.where), answer.key, answer.required)
    listed = ", ".join(_name(name, answer.key) for name in found[:12])
    sentence = f"{len(found):,} of the groups by {_unit(answer.key)} are such{f': {listed}' if listed else ''}."
    if not answer.first:
        return Computed(Result("count", len(found)), str(len(found)), sentence)
    if not found:
        return Computed(Result("group", None), None, "There is none.")
    return Computed(Result("group", found[0]), _name(found[0], answer.key), sentence)


def _pairs(answer: Pairs, rows: Sequence[Row]) -> Computed:
    number, pairs = pairs_that(keep(rows, answer.where), answer.key, answer.one, answer.other)
    found = list(islice(pairs, MAX_PAIRS))
    lines = "\n".join(f"({low}, {high})" for low, high in found)
    sentence = f"{number:,} pairs by {_unit(answer.key)}."
    if number > len(found):
        sentence += f" Only the first {len(found):,} are listed: ask about fewer records for the others."
    return Computed(Result("pairs", [list(pair) for pair in found]), lines or "No pairs.", sentence)


def _record_pairs(answer: RecordPairs, done: Executed) -> Computed:
    """Quotes the records of the first pairs, and names pairs by the numbers of these quotations."""
    met = {id(row) for row in keep(done.rows, answer.where)}
    found = [pair for pair in done.pairs if all(id(done.rows[place]) in met for place in pair)]
    shown = found[: _LISTED // 2]
    quoted = list(dict.fromkeys(place for pair in shown for place in pair))
    lines = "\n".join(f"({quoted.index(one) + 1}, {quoted.index(other) + 1})" for one, other in shown)
    sentence = f"{len(found):,} pairs of records{_meeting(answer.where)} are such, by the numbers of their quotations."
    if len(found) > len(shown):
        sentence += f" Only the first {len(shown)} are quoted."
    examples = tuple(done.rows[place].handle for place in quoted)
    if answer.count:
        return Computed(Result("count", len(found)), str(len(found)), sentence, examples)
    value = [[_span(done.rows[place].handle) for place in pair] for pair in found]
    return Computed(Result("record_pairs", value), lines or None, sentence, examples)


def _span(handle: Handle) -> dict[str, object]:
    return {"document_id": handle.document_id, "start": handle.start, "end": handle.end}


def _listing(answer: Listing, done: Executed) -> Computed:
    met = list(keep(done.rows, answer.where))
    if answer.column is None:
        number, interval = corrected(answer.where, len(met), done)
        sentence = f"{number:,} of {len(done.rows) + done.dropped:,} records{_meeting(answer.where)}{given(interval)}."
        if len(met) > _LISTED:
            sentence += f" The first {_LISTED} are quoted."
        result = Result("records", number, interval)
        return Computed(result, sentence if met else None, sentence, _examples(met, _LISTED))
    values = sizes(met, Key(answer.column))
    listed = ", ".join(f"{name} ({times})" for name, times in values.most_common(_LISTED))
    sentence = f"{len(values):,} different values in {_records(len(met))}{_meeting(answer.where)}."
    result = Result("values", list(values), None, dict(values.most_common(_LISTED)))
    return Computed(result, listed or None, sentence, _examples(met))


def _measure(answer: Measure, rows: Sequence[Row]) -> Computed:
    met = list(keep(rows, answer.where))
    found = numbers(met, answer.column)
    if not found:
        return Computed(Result(answer.what, None), None, f"No record has a number for {answer.column}.")
    value = {"sum": sum(found), "average": sum(found) / len(found), "minimum": min(found), "maximum": max(found)}
    said = _number(value[answer.what])
    sentence = f"The {answer.what} of {answer.column} over {_records(len(found))}{_meeting(answer.where)}."
    written = sum(Key(answer.column).of(row) is not None for row in met)
    if written > len(found):
        sentence += f" What {_records(written - len(found))} of them have there is no number and is left out."
    return Computed(Result(answer.what, value[answer.what]), said, sentence, _examples(met))


def _table(done: Executed) -> dict[str, int]:
    """Counts by label, where records were sorted."""
    found: Classification | None = next(iter(done.classifications.values()), None)
    return dict(found.counts().most_common()) if found else {}


def _examples(rows: Iterable[Row], most: int = MAX_EXAMPLES) -> tuple[Handle, ...]:
    return tuple(row.handle for row in islice(rows, most))


def _meeting(where: Sequence[Condition]) -> str:
    """In words; that a model said yes is what was asked for."""
    asked = " as asked for" if any(condition.column == MATCHES for condition in where) else ""
    others = [str(condition) for condition in where if condition.column != MATCHES]
    return f"{asked} with {' and '.join(others)}" if others else asked


def _records(number: int) -> str:
    return f"{number:,} record{'' if number == 1 else 's'}"


def _number(value: float) -> str:
    """With every digit before the point, two after it, and six significant ones in all where it has as many."""
    if abs(value) < 1:
        return f"{value:.6g}"
    decimals = max(2, 6 - len(str(abs(int(value)))))
    return f"{value:,.{decimals}f}".rstrip("0").rstrip(".")


def _unit(key: Key) -> str:
    return key.column if key.unit is Unit.VALUE else key.unit.value


def _name(name: str, key: Key) -> str:
    """Days and months as questions write them: 10/14/2022 and 10/2022."""
    if key.unit is Unit.DAY:
        return f"{name[5:7]}/{name[8:]}/{name[:4]}"
    return f"{name[5:]}/{name[:4]}" if key.unit is Unit.MONTH else name
