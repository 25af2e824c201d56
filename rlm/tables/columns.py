"""Judged columns: a model gives each row of a table a value, by the row's text or by passages of its document.

Columns that are judged together share each reading of a row.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

from ingest.storage.tables.types import ColumnType
from rlm.answers import Interval
from rlm.corpus.corpus import Corpus
from rlm.corpus.handles import Handle
from rlm.llm.budgets import Usage
from rlm.operators.judged import Classification, CountUncertainty, Extraction, JudgementSource, compute_coverage
from rlm.operators.operators import Operators, RecordTask, Working
from rlm.operators.packing import Texts
from rlm.operators.tasks import NOT_FOUND, YES, ClassifyTask, ExtractTask, FilterTask, build_label_set
from rlm.tables.opened import OpenedTable
from rlm.tables.plan import SemanticColumn, SemanticType
from rlm.tables.searched import DocumentPassages, Reading

_VALUE = "value"
COLUMN_TYPES = {
    SemanticType.BOOLEAN: ColumnType.BOOLEAN,
    SemanticType.LABEL: ColumnType.TEXT,
    SemanticType.TEXT: ColumnType.TEXT,
    SemanticType.NUMBER: ColumnType.NUMBER,
    SemanticType.DATE: ColumnType.DATE,
}


@dataclass(frozen=True)
class JudgedColumn:
    """A column with its values for the rows `numbers`, in the order of `numbers`. A value is None if it is missing.

    `passages` has the spans that were read of each row that was not read whole. `not_found` are those of these rows
    whose value was not in the spans.
    """

    column: SemanticColumn
    numbers: Sequence[int]
    values: Sequence[object]
    found: Classification | Extraction
    passages: Mapping[int, Sequence[Handle]] = field(default_factory=dict)
    not_found: frozenset[int] = frozenset()

    def build_added(self, rows: int) -> tuple[ColumnType, Sequence[object]]:
        """Return the column's type, and a value for every row of the table."""
        values: list[object] = [None] * rows
        for number, value in zip(self.numbers, self.values, strict=True):
            values[number - 1] = value
        return COLUMN_TYPES[self.column.type], values

    def iter_words(self) -> Iterator[tuple[int, str]]:
        """Yield each row that the model read, with the words that support the row's value.

        If there are no such words, they are empty.
        """
        quotes = self.found.quotes or [""] * len(self.numbers)
        for number, by, quote in zip(self.numbers, self.found.judged_by, quotes, strict=True):
            if by is JudgementSource.MODEL:
                yield number, quote

    def compute_interval(self, counted: Sequence[int]) -> Interval | None:
        """Return the range of a count of these rows, as far as it depends on this column.

        Returns None if the count is exact. Rows whose value was not found in what was read do not widen the range.
        """
        if not isinstance(self.found, Classification):
            return None
        place = {number: at for at, number in enumerate(self.numbers)}
        missing = sum(label is None for label in self.found.labels) - len(self.not_found)
        judged = [place[number] for number in counted if number in place]
        found = self.found.compute_interval(judged, missing_count=missing)
        others = len(counted) - len(judged)
        return found and Interval(found.low + others, found.high + others)


def judge_columns(
    columns: Sequence[SemanticColumn],
    opened: OpenedTable,
    numbers: Sequence[int],
    operators: Operators,
    *,
    quoting: bool = False,
) -> Working[list[JudgedColumn]]:
    """Judge rows for columns. With `quoting`, the model also copies the words that support each value."""

    def iter_row_texts(places: Sequence[int]) -> Iterator[str]:
        return opened.iter_texts([numbers[place] for place in places])

    handles = opened.list_handles(numbers)
    return (yield from _judge_texts(columns, numbers, handles, iter_row_texts, operators, quoting=quoting))


def judge_document_columns(
    columns: Sequence[SemanticColumn],
    opened: OpenedTable,
    numbers: Sequence[int],
    operators: Operators,
    corpus: Corpus,
    passages: DocumentPassages,
    question: str,
    *,
    quoting: bool = False,
) -> Working[list[JudgedColumn]]:
    """Judge documents for columns. Of long documents, the model reads the start and passages that match the columns.

    If a value is not in the best passages, the model reads further ones for it, and then the whole document unless it
    is long. Otherwise, the value is missing and the row is in `not_found`: passages alone never prove that a document
    does not say something.
    """
    if not numbers:
        return (yield from judge_columns(columns, opened, numbers, operators, quoting=quoting))
    size, queries = passages.size, {column: f"{column.instruction} {question}" for column in columns}
    tokens = {number: corpus.documents[number - 1].tokens for number in numbers}
    long = [number for number in numbers if tokens[number] > size.first_tokens]
    readings: dict[SemanticColumn, list[JudgedColumn]] = {column: [] for column in columns}
    if long:
        yield from passages.search(long, list(queries.values()))
    # The columns for which each document is still to be read.
    left = dict.fromkeys(long, tuple(columns))
    for select in (passages.read_first, passages.read_more):
        for own, group in _group_by_columns(left):
            reading = select(group, [queries[column] for column in own])
            if reading.numbers:
                found = yield from _judge_reading(own, opened, reading, operators, passages, quoting=quoting)
                for column, each in zip(own, found, strict=True):
                    readings[column].append(each)
                for number in reading.numbers:
                    missing = zip(own, found, strict=True)
                    left[number] = tuple(column for column, each in missing if number in each.not_found)
    left = {number: own for number, own in left.items() if tokens[number] < size.max_whole_tokens}
    left |= dict.fromkeys([number for number in numbers if tokens[number] <= size.first_tokens], tuple(columns))
    for own, group in _group_by_columns(left):
        found = yield from judge_columns(own, opened, sorted(group), operators, quoting=quoting)
        for column, each in zip(own, found, strict=True):
            readings[column].append(each)
    handles = opened.list_handles(numbers)
    return [_merge_readings(column, handles, numbers, own, corpus) for column, own in readings.items()]


def _group_by_columns(
    left: Mapping[int, tuple[SemanticColumn, ...]],
) -> list[tuple[tuple[SemanticColumn, ...], list[int]]]:
    """Group documents by the columns for which they are to be read. Documents without such columns are omitted."""
    groups: dict[tuple[SemanticColumn, ...], list[int]] = defaultdict(list)
    for number, own in left.items():
        groups[own].append(number)
    return [(own, numbers) for own, numbers in groups.items() if own]


def _judge_reading(
    columns: Sequence[SemanticColumn],
    opened: OpenedTable,
    reading: Reading,
    operators: Operators,
    passages: DocumentPassages,
    *,
    quoting: bool,
) -> Working[list[JudgedColumn]]:
    def iter_passages(places: Sequence[int]) -> Iterator[str]:
        return passages.iter_texts(reading, places)

    handles = opened.list_handles(reading.numbers)
    judged = yield from _judge_texts(
        columns, reading.numbers, handles, iter_passages, operators, quoting=quoting, partial=True
    )
    spans = dict(zip(reading.numbers, reading.spans, strict=True))
    return [replace(each, passages=spans, not_found=_list_not_found(each)) for each in judged]


def _list_not_found(judged: JudgedColumn) -> frozenset[int]:
    answered = zip(judged.numbers, judged.values, judged.found.judged_by, strict=True)
    return frozenset(number for number, value, by in answered if by is JudgementSource.MODEL and value is None)


def _judge_texts(
    columns: Sequence[SemanticColumn],
    numbers: Sequence[int],
    handles: Sequence[Handle],
    texts: Texts,
    operators: Operators,
    *,
    quoting: bool,
    partial: bool = False,
) -> Working[list[JudgedColumn]]:
    asking: dict[str, Any] = {"texts": texts, "with_quotes": quoting, "partial": partial}
    reports: dict[str, Classification | Extraction]
    if len(columns) == 1:
        (column,) = columns
        reports = {column.name: (yield from operators.judge(handles, _build_task(column), **asking))}
    else:
        tasks = {column.name: _build_task(column) for column in columns}
        reports = yield from operators.judge_together(handles, tasks, **asking)
    return [
        JudgedColumn(column, numbers, _list_values(column, reports[column.name]), reports[column.name])
        for column in columns
    ]


def _build_task(column: SemanticColumn) -> RecordTask:
    match column.type:
        case SemanticType.BOOLEAN:
            return FilterTask(column.instruction)
        case SemanticType.LABEL:
            return ClassifyTask(build_label_set(column.labels), column.instruction)
        case SemanticType.DATE:
            return ExtractTask(f"{column.instruction} Write the date as YYYY-MM-DD.", {_VALUE: {"type": "string"}})
        case SemanticType.NUMBER:
            return ExtractTask(column.instruction, {_VALUE: {"type": "number"}})
        case SemanticType.TEXT:
            return ExtractTask(column.instruction, {_VALUE: {"type": "string"}})


def _list_values(column: SemanticColumn, found: Classification | Extraction) -> list[object]:
    """Return the values of a column. Labels that say that nothing was found, and empty texts, are None."""
    if isinstance(found, Classification):
        # guard: not-found-is-not-no
        labels = [None if label == NOT_FOUND else label for label in found.labels]
        is_boolean = column.type is SemanticType.BOOLEAN
        return [label == YES if is_boolean and label is not None else label for label in labels]
    values = [None if each is None or each[_VALUE] == "" else each[_VALUE] for each in found.values]
    return list(map(_parse_date, values)) if column.type is SemanticType.DATE else values


def _parse_date(value: object) -> date | None:
    try:
        return date.fromisoformat(str(value)[:10])
    except ValueError:
        return None


def _merge_readings(
    column: SemanticColumn,
    handles: Sequence[Handle],
    numbers: Sequence[int],
    readings: Sequence[JudgedColumn],
    corpus: Corpus,
) -> JudgedColumn:
    """Merge the readings of a column. The last reading of a row gives its value.

    A row counts as read for the passages of all its readings, unless it was read whole.
    """
    last: dict[int, tuple[JudgedColumn, int]] = {}
    spans: dict[int, list[Handle]] = {}
    for reading in readings:
        for place, number in enumerate(reading.numbers):
            last[number] = (reading, place)
            spans[number] = [*spans.get(number, ()), *reading.passages[number]] if number in reading.passages else []
    chosen = [last[number] for number in numbers]
    passages = {number: own for number, own in spans.items() if own}
    not_found = frozenset(number for number in numbers if number in last[number][0].not_found)
    merged = _merge_reports(handles, chosen, readings, corpus)
    # A token that was read in several passages counts once: passages of one document do not overlap.
    read = sum(corpus.estimate_tokens(each) for number in passages for each in spans[number])
    whole = sum(reading.found.coverage.tokens_read for reading in readings if not reading.passages)
    coverage = replace(merged.coverage, tokens_read=read + whole, units_not_found=len(not_found))
    values = [reading.values[place] for reading, place in chosen]
    return JudgedColumn(column, numbers, values, replace(merged, coverage=coverage), passages, not_found)


def _merge_reports(
    handles: Sequence[Handle],
    chosen: Sequence[tuple[JudgedColumn, int]],
    readings: Sequence[JudgedColumn],
    corpus: Corpus,
) -> Classification | Extraction:
    judged_by = [reading.found.judged_by[place] for reading, place in chosen]
    refused = Counter[str]()
    usage = Usage()
    for reading in readings:
        refused.update(reading.found.refused)
        usage += reading.found.usage
    report: dict[str, Any] = {
        "records": handles,
        "judged_by": judged_by,
        "coverage": compute_coverage(corpus, handles, judged_by, refused),
        "usage": usage,
        "refused": dict(refused),
        "failure": next((each.found.failure for each in readings if each.found.failure is not None), None),
        "quotes": [reading.found.quotes[place] if reading.found.quotes else "" for reading, place in chosen],
    }
    # Only rows that are read whole are ever labelled by a classifier, and they are judged together.
    doubts = [each.found.doubt for each in readings if isinstance(each.found, Classification) and not each.passages]
    if isinstance(readings[0].found, Classification):
        labels = [_get_label(reading, place) for reading, place in chosen]
        return Classification(labels=labels, doubt=doubts[0] if doubts else CountUncertainty(), **report)
    values = [reading.found.values[place] for reading, place in chosen if isinstance(reading.found, Extraction)]
    return Extraction(values=values, **report)


def _get_label(reading: JudgedColumn, place: int) -> str | None:
    """Return the label of a row, or None if it has none or the label says that the value was not found."""
    if not isinstance(reading.found, Classification) or reading.numbers[place] in reading.not_found:
        return None
    return reading.found.labels[place]
