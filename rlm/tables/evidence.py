"""The evidence of a table answer: the first rows behind it as numbered passages, and the markers that name them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from retrieval.passages import Passage
from rlm.answers import OfferedQuote
from rlm.tables.opened import TextRows
from rlm.tables.plan import Plan
from rlm.tables.render import MOST_SHOWN_ROWS
from rlm.tables.sql import SqlResult
from rlm.tables.working import PlanRun

# The number of rows behind an answer that are cited, and of documents that a model read; `rows_behind` gives all.
_MOST_CITED, _MOST_CITED_READ = 20, 50
# A sentence carries the markers of its rows if there are no more than these.
_MOST_MARKERS, _MOST_MARKERS_READ = 5, 20


@dataclass(frozen=True)
class Evidence:
    """Passages by number, the words of them that judged values rest on, and the rows behind the answer that they are.

    `numbers` is the passage of each row by table, and `read` the tables whose rows a model read whole.
    """

    passages: Mapping[int, Passage]
    quotes: tuple[OfferedQuote, ...]
    numbers: Mapping[tuple[str, int], int]
    read: frozenset[str]
    rows: int

    @property
    def markers(self) -> str:
        """Return the markers of all rows for one sentence; none if they are many."""
        few = self.rows <= (_MOST_MARKERS_READ if self.read else _MOST_MARKERS)
        return "".join(f"[{number}]" for number in self.passages) if few else ""

    def row_markers(self, result: SqlResult) -> Sequence[str]:
        """Return the markers of the first rows of a result over what a model read; none unless each has some."""
        found = result.records
        name = None if found is None else next((each for each in self.read if _same(each, found.table)), None)
        if found is None or name is None:
            return ()
        markers = [
            [self.numbers.get((name, number)) for first, last in row[None] for number in range(first, last + 1)]
            for row in found.rows[:MOST_SHOWN_ROWS]
        ]
        if not all(row and len(row) <= _MOST_MARKERS and None not in row for row in markers):
            return ()
        return ["".join(f"[{number}]" for number in row) for row in markers]


def evidence_of(plan: Plan, behind: Mapping[str, Sequence[int]], run: PlanRun) -> Evidence:
    """Cite the first rows behind an answer; those that a model read whole for the words that their values rest on."""
    passages: list[Passage] = []
    quotes: list[OfferedQuote] = []
    numbers: dict[tuple[str, int], int] = {}
    read: set[str] = set()
    for name, rows in behind.items():
        opened, words = run.opened(name), run.read_whole(plan, name)
        if words:
            read.add(name)
        shown = rows[: max(0, (_MOST_CITED_READ if words else _MOST_CITED) - len(passages))]
        unread = [row for row in shown if row not in words]
        plain = dict(zip(unread, opened.passages(unread), strict=True))
        for row in shown:
            said: list[str] = []
            if row in words and isinstance(opened, TextRows):
                passage, said = opened.read_passage(row, words[row])
            else:
                passage = plain[row]
            passages.append(passage)
            numbers[name, row] = len(passages)
            quotes += [OfferedQuote(len(passages), each) for each in said]
    numbered = dict(enumerate(passages, start=1))
    return Evidence(numbered, tuple(quotes), numbers, frozenset(read), sum(map(len, behind.values())))


def _same(one: str, other: str) -> bool:
    return one.casefold() == other.casefold()
