"""Columns that a model judges row by row: what they cost, and their values."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date

from ingest.tables import ColumnType
from rlm.answers import Interval
from rlm.estimates import Estimate, judging
from rlm.llm.profiles import ModelProfile
from rlm.operators.cascade import CascadeLimits
from rlm.operators.judged import Classification, Extraction, JudgedBy
from rlm.operators.labels import YES
from rlm.operators.operators import Operators, Working
from rlm.operators.packing import PackLimits
from rlm.tables.opened import OpenedTable
from rlm.tables.plan import SemanticColumn, SemanticType

_VALUE = "value"
_TYPES = {
    SemanticType.BOOLEAN: ColumnType.BOOLEAN,
    SemanticType.LABEL: ColumnType.TEXT,
    SemanticType.TEXT: ColumnType.TEXT,
    SemanticType.NUMBER: ColumnType.NUMBER,
    SemanticType.DATE: ColumnType.DATE,
}


@dataclass(frozen=True)
class JudgedColumn:
    """A column with its values for the rows `numbers`, in that order; None where a row has no value."""

    column: SemanticColumn
    numbers: Sequence[int]
    values: Sequence[object]
    found: Classification | Extraction

    @property
    def judged_by(self) -> Sequence[JudgedBy]:
        """Who gave each value."""
        if isinstance(self.found, Classification):
            return self.found.judged_by
        return [JudgedBy.NOBODY if each is None else JudgedBy.MODEL for each in self.found.values]

    def added(self, rows: int) -> tuple[ColumnType, Sequence[object]]:
        """The type, and a value for every row of the table."""
        values: list[object] = [None] * rows
        for number, value in zip(self.numbers, self.values, strict=True):
            values[number - 1] = value
        return _TYPES[self.column.type], values

    def interval(self, counted: Sequence[int]) -> Interval | None:
        """The range of a count of these rows, as far as it hangs on this column; None where the count is exact."""
        if not isinstance(self.found, Classification):
            return None
        place = {number: at for at, number in enumerate(self.numbers)}
        missing = sum(label is None for label in self.found.labels)
        judged = [place[number] for number in counted if number in place]
        found = self.found.interval(judged, missing=missing)
        others = len(counted) - len(judged)
        return found and Interval(found.low + others, found.high + others)


def no_values(column: SemanticColumn, rows: int) -> tuple[ColumnType, Sequence[object]]:
    """The type, and no value for any row: enough to learn whether a query can be run."""
    return _TYPES[column.type], [None] * rows


def estimate(
    column: SemanticColumn,
    opened: OpenedTable,
    numbers: Sequence[int],
    profile: ModelProfile,
    cascade: CascadeLimits | None,
) -> Estimate:
    """What judging these rows will take."""
    if not numbers:
        return Estimate()
    tokens = opened.tokens(numbers)
    values = column.type not in (SemanticType.BOOLEAN, SemanticType.LABEL)
    return judging(len(numbers), tokens, profile, pack=PackLimits.of(profile), cascade=cascade, values=values)


def judge(
    column: SemanticColumn, opened: OpenedTable, numbers: Sequence[int], operators: Operators
) -> Working[JudgedColumn]:
    """Have these rows judged. Raises `RunCancelledError`."""
    handles = opened.handles(numbers)

    def texts(places: Sequence[int]) -> Iterator[str]:
        return opened.texts([numbers[place] for place in places])

    match column.type:
        case SemanticType.BOOLEAN:
            said = yield from operators.filter(handles, column.instruction, texts=texts)
            held = [None if label is None else label == YES for label in said.labels]
            return JudgedColumn(column, numbers, held, said)
        case SemanticType.LABEL:
            said = yield from operators.classify(handles, column.labels, instruction=column.instruction, texts=texts)
            return JudgedColumn(column, numbers, said.labels, said)
    wanted = {"type": "number" if column.type is SemanticType.NUMBER else "string"}
    instruction = column.instruction
    if column.type is SemanticType.DATE:
        instruction = f"{instruction} Write the date as YYYY-MM-DD."
    taken = yield from operators.extract(handles, instruction, {_VALUE: wanted}, texts=texts)
    values = [None if each is None else each[_VALUE] for each in taken.values]
    if column.type is SemanticType.DATE:
        values = list(map(_date, values))
    return JudgedColumn(column, numbers, values, taken)


def _date(value: object) -> date | None:
    try:
        return date.fromisoformat(str(value)[:10])
    except ValueError:
        return None
