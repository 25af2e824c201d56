"""The evidence of a table answer: its first source rows as numbered passages, and the markers that cite them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from retrieval.search.requests import Passage
from rlm.answers import OfferedQuote
from rlm.tables.opened import OpenedTable, TextRows
from rlm.tables.plan import TablePlan
from rlm.tables.render import MAX_SHOWN_ROWS
from rlm.tables.sql import SqlResult
from rlm.tables.working import PlanRun, RowReading

# Maximum number of cited rows. `rows_behind` lists all rows behind an answer, without this maximum.
_MAX_CITED = 50
# Maximum number of records for which a sentence or result row has all markers. The second number applies to documents
# that a model read. If there are more records, only the first few markers are shown.
_MOST_MARKERS, _MOST_MARKERS_READ = 5, 20
_FEW_MARKERS = 3


@dataclass(frozen=True)
class Evidence:
    """Numbered passages, the quotations that support judged values, and the number of rows behind the answer.

    `numbers` maps each row of a table to its passages. `read` contains the tables whose rows a model read completely.
    `table` is the table whose records the rows of the result refer to, or empty if there is no such table.
    """

    passages: Mapping[int, Passage]
    quotes: tuple[OfferedQuote, ...]
    numbers: Mapping[tuple[str, int], Sequence[int]]
    read: frozenset[str]
    rows: int
    table: str = ""

    @property
    def markers(self) -> str:
        """The markers of all rows in one string, or only the first few markers if there are many."""
        shown = self.rows if self.rows <= _get_marker_limit(bool(self.read)) else _FEW_MARKERS
        return "".join(f"[{number}]" for own in islice(self.numbers.values(), shown) for number in own)

    def list_row_markers(self, result: SqlResult) -> Sequence[str]:
        """Return the markers for the first rows of a result.

        Each row has the markers of all its records, or the first few of them. The result is empty unless every row has
        markers.
        """
        markers = [
            [self.numbers.get((self.table, number), ()) for number in row]
            for row in _iter_cited_rows(result, self.table, is_read=self.table in self.read)
        ]
        if not all(row and all(row) for row in markers):
            return ()
        return ["".join(f"[{number}]" for own in row for number in own) for row in markers]

    def count_cited_rows(self, text: str) -> int:
        """Return how many of the rows behind the answer the text cites."""
        return sum(any(f"[{number}]" in text for number in own) for own in self.numbers.values())


def build_evidence(
    plan: TablePlan, result: SqlResult, source_rows: Mapping[str, Sequence[int]], run: PlanRun
) -> Evidence:
    """Build the evidence, with citations of the first rows behind an answer.

    If a model read a row, or passages of it, the citations are for the words that support the row's values. Records of
    the result's first rows come before other records.
    """
    passages: list[Passage] = []
    quotes: list[OfferedQuote] = []
    numbers: dict[tuple[str, int], list[int]] = {}
    read: set[str] = set()
    for name, rows in source_rows.items():
        opened, readings = run.get_table(name), run.get_readings(plan, name)
        if readings:
            read.add(name)
        front = [number for row in _iter_cited_rows(result, name, is_read=bool(readings)) for number in row]
        shown = list(islice(_move_to_front(front, rows), max(0, _MAX_CITED - len(passages))))
        unread = [row for row in shown if row not in readings]
        plain = dict(zip(unread, opened.build_passages(unread), strict=True))
        for row in shown:
            cited = [(plain[row], [])] if row in plain else _cite_reading(opened, row, readings[row])
            numbers[name, row] = list(range(len(passages) + 1, len(passages) + 1 + len(cited)))
            for passage, said in cited:
                passages.append(passage)
                quotes += [OfferedQuote(len(passages), each) for each in said]
    numbered = dict(enumerate(passages, start=1))
    named = result.records.table.casefold() if result.records else ""
    table = next((name for name in source_rows if name.casefold() == named), "")
    return Evidence(numbered, tuple(quotes), numbers, frozenset(read), sum(map(len, source_rows.values())), table)


def _cite_reading(opened: OpenedTable, row: int, reading: RowReading) -> list[tuple[Passage, list[str]]]:
    """Return the citations for a row that a model read, each with its quotations."""
    assert isinstance(opened, TextRows), "only documents and sections are read"
    if reading.passages is None:
        return [opened.build_quoted_passage(row, reading.words)]
    return opened.build_searched_passages(reading.passages, reading.words, is_found=reading.is_found)


def _iter_cited_rows(result: SqlResult, table: str, *, is_read: bool) -> Iterator[list[int]]:
    """Yield, for each of the first rows of a result, the records of a table to cite."""
    found = result.records
    if found is None or found.table.casefold() != table.casefold():
        return
    for row in found.rows[:MAX_SHOWN_ROWS]:
        few = sum(last - first + 1 for first, last in row[None]) <= _get_marker_limit(is_read)
        numbers = (number for first, last in row[None] for number in range(first, last + 1))
        yield list(numbers if few else islice(numbers, _FEW_MARKERS))


def _move_to_front(first_rows: Sequence[int], rows: Sequence[int]) -> Iterator[int]:
    """Yield each row once, starting with the rows in `first_rows`."""
    first = set(first_rows).intersection(rows)
    yield from dict.fromkeys(number for number in first_rows if number in first)
    yield from (number for number in rows if number not in first)


def _get_marker_limit(is_read: bool) -> int:
    return _MOST_MARKERS_READ if is_read else _MOST_MARKERS
