"""Conversations, and answers that are kept: what was asked, what was answered, and the records it rests on."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

# A caller's name for a new conversation, in place of an id.
NEW_CONVERSATION = "new"
# In place of the number of a table: rows that are the document itself, or its sections in reading order.
WHOLE_DOCUMENT, ITS_SECTIONS = -1, -2


@dataclass(frozen=True)
class RowRanges:
    """Rows, numbered from 1, of table `table` of one version, as ranges of numbers: the first and the last of each.

    `table` is `WHOLE_DOCUMENT` or `ITS_SECTIONS` for rows of no table of the file.
    """

    document_id: str
    version_id: str
    table: int
    ranges: tuple[tuple[int, int], ...]

    @property
    def part(self) -> tuple[str, str, int]:
        """The document, its version and the table."""
        return self.document_id, self.version_id, self.table

    def __len__(self) -> int:
        return sum(last - first + 1 for first, last in self.ranges)

    def iter_numbers(self) -> Iterator[int]:
        """Yield every row, in the order of the ranges."""
        for first, last in self.ranges:
            yield from range(first, last + 1)


@dataclass(frozen=True)
class CellRanges:
    """The rows behind row `row` (from 1) of a computed table, or behind its cell in `column` where they are fewer."""

    row: int
    column: int | None
    parts: tuple[RowRanges, ...]


@dataclass(frozen=True)
class StoredAnswer:
    """An answer as it is kept. `body` is its JSON, without the rows behind it; `owner` is who asked, if it is known.

    `turn` counts the answers of its conversation from 1; both are None for an answer that belongs to none.
    """

    id: str
    tenant_id: str
    conversation_id: str | None
    turn: int | None
    question: str
    body: Mapping[str, Any]
    rows_behind: tuple[RowRanges, ...]
    created_at: float
    owner: str | None = None
    cells_behind: tuple[CellRanges, ...] = ()


@dataclass(frozen=True)
class Conversation:
    """A conversation as it stands. `sequence` orders a tenant's conversations, `title` is its first question.

    `owner` is who began it, if that is known.

    `turns` counts the questions that were answered in it, those that were deleted since too.
    """

    id: str
    sequence: int
    tenant_id: str
    owner: str | None
    title: str
    turns: int
    created_at: float
    updated_at: float


@dataclass(frozen=True)
class Exchange:
    """A question of a conversation and the text of its answer."""

    question: str
    answer: str


def group_into_ranges(numbers: Iterable[int]) -> tuple[tuple[int, int], ...]:
    """Numbers in their order as ranges of consecutive ones: 1, 2, 3, 7 is `((1, 3), (7, 7))`."""
    ranges: list[tuple[int, int]] = []
    for number in numbers:
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1] = (ranges[-1][0], number)
        else:
            ranges.append((number, number))
    return tuple(ranges)
