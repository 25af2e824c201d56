"""How far a count may be off, where labels that it rests on were given by a classifier or are missing."""

from collections.abc import Sequence

from rlm.answers import Interval
from rlm.operators.table import Condition, Op, keep
from rlm.plan.executor import Executed
from rlm.plan.plan import Plan, columns_named

_STATED = frozenset({Op.IS, Op.IS_NOT, Op.IN})


def corrected(
    where: Sequence[Condition], counted: int, done: Executed, *, part: float | None = None
) -> tuple[int, Interval | None]:
    """The count of rows that meet `where` with the classifier's mistakes taken into account, and its interval.

    Of a part of the records with a label, the part's share; `part` is the share of all records that are in it, where
    the caller knows it. Without an interval the count is as it was: it is exact,
    or labels of two kinds come together in it, and their mistakes cannot be told apart; see `rests_on`.
    """
    labelled = [condition for condition in where if condition.column in done.classifications]
    if len(labelled) != 1 or labelled[0].op not in _STATED:
        return counted, None
    found, negated = done.classifications[labelled[0].column], labelled[0].op is Op.IS_NOT
    whole = found.counted(labelled[0].values, negated=negated)
    estimate, interval = found.estimate(*labelled[0].values, negated=negated)
    if interval is None:
        return counted, None
    if counted == whole:
        return estimate, interval
    share = counted / whole if whole else 0.0
    if part is None:
        others = [condition for condition in where if condition not in labelled]
        part = sum(1 for _ in keep(done.rows, others)) / max(1, len(done.rows))
    # Single mistakes scatter: a part of the records has more of an error for its size, and also where none was found.
    wide = max(share, part) ** 0.5
    low = max(0.0, estimate * share - (estimate - interval.low) * wide)
    high = estimate * share + (interval.high - estimate) * wide
    return round(estimate * share), Interval(round(low, 1), round(high, 1))


def given(interval: Interval | None) -> str:
    """An interval in brackets, after a number."""
    return f" ({interval.low:g} to {interval.high:g} at 95 %)" if interval else ""


def overlap(one: Interval | None, other: Interval | None) -> bool:
    """Whether two counts may be the other way round; exact ones may not."""
    return one is not None and other is not None and one.low <= other.high and other.low <= one.high


def rests_on(plan: Plan, done: Executed) -> str:
    """What is not certain of an answer whose numbers have no interval; empty where a classifier gave no label."""
    named = columns_named(plan)
    sentences = (found.rests_on for column, found in done.classifications.items() if column in named)
    return " ".join(filter(None, sentences))
