"""Records of conversations and stored answers, and of the table rows that an answer is based on."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

# Value to pass instead of a conversation's id to start a new conversation.
NEW_CONVERSATION = "new"
# Values to use instead of a table number if the only row is the whole document, or if the rows are the document's
# sections in reading order.
WHOLE_DOCUMENT, ITS_SECTIONS = -1, -2


@dataclass(frozen=True)
class RowRanges:
    """Rows of one table of one version, as ranges of row numbers.

    Each range is a pair: its first and last row number, counted from 1. `table` is `WHOLE_DOCUMENT` or `ITS_SECTIONS`
    for rows that are not in a table of the file.
    """

    document_id: str
    version_id: str
    table: int
    ranges: tuple[tuple[int, int], ...]

    @property
    def table_key(self) -> tuple[str, str, int]:
        """The document id, the version id and the table number."""
        return self.document_id, self.version_id, self.table

    def __len__(self) -> int:
        return sum(last - first + 1 for first, last in self.ranges)

    def iter_numbers(self) -> Iterator[int]:
        """Yield every row number, in the order of the ranges."""
        for first, last in self.ranges:
            yield from range(first, last + 1)


@dataclass(frozen=True)
class CellRanges:
    """The source rows of one row or cell of a computed table.

    `row` is counted from 1. `column` is set if the cell in this column is based on fewer rows than the whole row.
    """

    row: int
    column: int | None
    parts: tuple[RowRanges, ...]


@dataclass(frozen=True)
class StoredAnswer:
    """A stored answer.

    `body` is the answer's JSON without the rows that it is based on. `owner` is the owner who asked, if known. `turn`
    is the answer's position in its conversation, counted from 1. `turn` and `conversation_id` are both None for an
    answer outside a conversation.
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
class ConversationItem:
    """A message that a program added to a conversation. It follows the answer with the number `turn`, or begins the
    conversation if `turn` is 0. `body` is its JSON, which has a `role` and a `content` if it is a message.
    """

    id: str
    turn: int
    body: Mapping[str, Any]


@dataclass(frozen=True)
class Conversation:
    """The state of a conversation.

    `sequence` orders a tenant's conversations. `title` is the first question until somebody renames the conversation.
    `owner` is the owner who started it, if known. `turns` is the number of answered questions, including questions
    deleted since. `metadata` and `items` are from programs.
    """

    id: str
    sequence: int
    tenant_id: str
    owner: str | None
    title: str
    turns: int
    created_at: float
    updated_at: float
    metadata: Mapping[str, str] = field(default_factory=dict)
    items: Sequence[ConversationItem] = ()

    @classmethod
    def from_row(cls, row: Mapping[Any, Any]) -> Self:
        """Build a conversation from the columns of its row."""
        return cls(**{**row, "items": tuple(ConversationItem(**each) for each in row["items"])})


@dataclass(frozen=True)
class FoundConversation:
    """A conversation that contains all words of a search, with the text around one of them.

    `excerpt` is empty if the title contains all words.
    """

    conversation: Conversation
    excerpt: str


@dataclass(frozen=True)
class FoundConversations:
    """The conversations found, newest first.

    `searched_to` is the `sequence` of the last conversation that was searched, or None if none is left to search.
    """

    found: list[FoundConversation]
    searched_to: int | None


@dataclass(frozen=True)
class Exchange:
    """A question in a conversation and the text of its answer, with its number."""

    question: str
    answer: str
    turn: int


def group_into_ranges(numbers: Iterable[int]) -> tuple[tuple[int, int], ...]:
    """Group ascending numbers into ranges of consecutive numbers: 1, 2, 3, 7 becomes `((1, 3), (7, 7))`."""
    ranges: list[tuple[int, int]] = []
    for number in numbers:
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1] = (ranges[-1][0], number)
        else:
            ranges.append((number, number))
    return tuple(ranges)
