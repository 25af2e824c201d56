"""A plan: cut the corpus into records, keep some, judge them, compute one thing.

Plans are values: they can be written by rules, filled in by a model under a JSON schema, shown to people, and run.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from rlm.corpus.records import Splitting
from rlm.operators.aggregate import Always, Amount, Key, Required, Than, Unit
from rlm.operators.labels import LabelSet
from rlm.operators.table import LABEL, Condition

MATCHES = "matches"


@dataclass(frozen=True)
class Classify:
    """Give every record one of the labels, in the column `column`."""

    labels: LabelSet
    column: str = LABEL


@dataclass(frozen=True)
class Filter:
    """Answer a yes/no question about every record, in the column `column`; `subject` is what it asks for, "a leak"."""

    criterion: str
    column: str = MATCHES
    subject: str = ""


@dataclass(frozen=True)
class Extract:
    """Take values out of every record, each in a column of its own name; `properties` are JSON schemas."""

    instruction: str
    properties: Mapping[str, Mapping[str, object]]


@dataclass(frozen=True)
class JudgePairs:
    """Answer a yes/no question about every pair of records, or of those with the same value, where a key is named."""

    criterion: str
    key: Key | None = None


Step = Classify | Filter | Extract | JudgePairs


@dataclass(frozen=True)
class Count:
    """How many records meet the conditions."""

    where: tuple[Condition, ...] = ()


@dataclass(frozen=True)
class Rank:
    """Which group has the most records that meet the conditions, or the fewest of those that have any."""

    key: Key
    where: tuple[Condition, ...] = ()
    rank: int = 1
    least: bool = False


@dataclass(frozen=True)
class Compare:
    """Whether more records meet the conditions of one side than of the other; sides have names for the answer."""

    one: tuple[Condition, ...]
    other: tuple[Condition, ...]
    names: tuple[str, str]
    where: tuple[Condition, ...] = ()


@dataclass(frozen=True)
class CountGroups:
    """How many groups are as required; with `first`, which is the first of them."""

    key: Key
    required: Required
    where: tuple[Condition, ...] = ()
    first: bool = False


@dataclass(frozen=True)
class Pairs:
    """Which pairs of different groups are as required: both as `one`, or one of them as `other`."""

    key: Key
    one: Required
    other: Required | None = None
    where: tuple[Condition, ...] = ()


@dataclass(frozen=True)
class RecordPairs:
    """Which pairs of records that meet the conditions were answered with yes, or how many; with one `JudgePairs`."""

    where: tuple[Condition, ...] = ()
    count: bool = False


@dataclass(frozen=True)
class Listing:
    """Which records meet the conditions; or, with a column, its different values."""

    where: tuple[Condition, ...] = ()
    column: str | None = None


@dataclass(frozen=True)
class Measure:
    """The `sum`, `average`, `minimum` or `maximum` of a column's numbers."""

    column: str
    what: str
    where: tuple[Condition, ...] = ()


Aggregation = Count | Rank | Compare | CountGroups | Pairs | RecordPairs | Listing | Measure


@dataclass(frozen=True)
class Plan:
    """`by` says who wrote it: `rules` or the model's name. `text_column` is the part of a record that is judged, or
    None for all of it. Records that do not meet `where` are not judged: those conditions are on written fields alone.
    """

    splitting: Splitting
    answer: Aggregation
    steps: tuple[Step, ...] = ()
    where: tuple[Condition, ...] = ()
    text_column: str | None = None
    by: str = "rules"
    notes: tuple[str, ...] = field(default=())


def columns_named(plan: Plan) -> frozenset[str]:
    """The columns that a plan's conditions and its answer look at, written in the records or made by its steps."""
    answer = plan.answer
    columns = {condition.column for condition in (*plan.where, *answer.where)}
    columns |= {step.key.column for step in plan.steps if isinstance(step, JudgePairs) and step.key is not None}
    match answer:
        case Rank(key) | CountGroups(key) | Pairs(key):
            columns.add(key.column)
        case Listing(_, str(column)) | Measure(column):
            columns.add(column)
        case Compare(one, other):
            columns |= {condition.column for condition in (*one, *other)}
    match answer:
        case CountGroups(_, required):
            columns |= _columns_required(required)
        case Pairs(_, first, second):
            columns |= _columns_required(first) | _columns_required(second)
    return frozenset(columns)


def _columns_required(required: Required | None) -> set[str]:
    found: set[str] = set()
    for each in (*required.any_of, *required.all_of) if required else ():
        match each:
            case Amount(conditions, _, _, others, every_other):
                found |= {condition.column for condition in (*conditions, *(others or ()))}
                found |= {every_other} if every_other is not None else set()
            case Always(conditions, must):
                found |= {condition.column for condition in (*conditions, *must)}
    return found


__all__ = [
    "MATCHES",
    "Aggregation",
    "Classify",
    "Compare",
    "Condition",
    "Count",
    "CountGroups",
    "Extract",
    "Filter",
    "JudgePairs",
    "Key",
    "Listing",
    "Measure",
    "Pairs",
    "Plan",
    "Rank",
    "RecordPairs",
    "Required",
    "Step",
    "Than",
    "Unit",
    "columns_named",
]
