"""Wire models for conversations, and for the records behind an answer."""

from collections.abc import Collection
from typing import Any, Self

from pydantic import Field, field_validator

from api.answers.pending_schemas import PendingAnswerOut
from api.answers.schemas import AnswerOut
from api.feedback.schemas import FeedbackOut
from api.http.wire import Instant, Wire
from ingest.storage.answers.pending_records import PendingState
from ingest.storage.answers.records import Conversation, FoundConversation, StoredAnswer


class RowOut(Wire):
    """A record behind a computed answer: its `row` number in the table (from 1), span, text, and values by column.

    `file_row` is the number of the row in the file or sheet, which also has a header; it is null if the format has no
    rows.
    `place` describes its position in words, such as "sheet Costs, row 40"; it is empty if the format has no positions.
    If the record is a whole document or a section, `table` is null, and sections are numbered in reading order. The
    span and text of such a record cover only its beginning, and its values are its title and its name or heading.
    Decimal numbers are sent as strings, so that they stay exact. `gone` means that the document was deleted or
    replaced; text and values are then empty.
    """

    document_id: str
    version_id: str
    table: int | None
    row: int
    file_row: int | None = None
    start: int | None
    end: int | None
    text: str
    values: dict[str, Any]
    place: str = ""
    gone: bool = False


class RowPage(Wire):
    """A page of the records behind an answer. `total` counts all records; `next_cursor` is null on the last page."""

    rows: list[RowOut]
    total: int
    next_cursor: str | None


class ConversationIn(Wire):
    """The new title of a conversation. Line breaks and repeated spaces become single spaces."""

    title: str = Field(min_length=1, max_length=200)

    @field_validator("title")
    @classmethod
    def _require_text(cls, title: str) -> str:
        if not title.strip():
            raise ValueError("the title must contain a character other than white space")
        return title


class ConversationOut(Wire):
    """A conversation. `answered` counts the questions that were answered. `running` is set in the list of
    conversations while a question is being answered, and `unanswered` if the last question failed.

    Its title is its first question, until you rename it. `excerpt` is set in the results of a search: the text around
    one of the words, from a question or an answer. It is empty if the title contains all words.

    `by` is the user or key that started it, such as `user:ann` or `key:ID`. It is null for conversations of early
    releases.
    """

    id: str
    title: str
    answered: int
    created_at: Instant
    updated_at: Instant
    excerpt: str | None = None
    running: bool = False
    unanswered: bool = False
    by: str | None = None

    @classmethod
    def from_conversation(cls, conversation: Conversation) -> Self:
        return cls(
            id=conversation.id,
            title=conversation.title,
            answered=conversation.turns,
            created_at=conversation.created_at,
            updated_at=conversation.updated_at,
            by=conversation.owner,
        )

    def with_last_state(self, state: PendingState | None) -> Self:
        """Return the conversation with the state of its last question, which is None if the question is answered."""
        failed = state in (PendingState.FAILED, PendingState.INTERRUPTED)
        return self.model_copy(update={"running": state is PendingState.RUNNING, "unanswered": failed})

    @classmethod
    def from_found_conversation(cls, found: FoundConversation) -> Self:
        return cls.from_conversation(found.conversation).model_copy(update={"excerpt": found.excerpt})


class ConversationPage(Wire):
    """A page of conversations, newest first; `next_cursor` is null on the last page.

    A page of a search may contain fewer conversations than `limit`, even none, before the last page.
    """

    conversations: list[ConversationOut]
    next_cursor: str | None


class TurnScopeOut(Wire):
    """The collections and documents that a question was limited to. If both are empty, it was about all documents."""

    collections: list[str] = Field(default_factory=list)
    documents: list[str] = Field(default_factory=list)


class TurnOut(Wire):
    """A question and its answer. `feedback` is your feedback on the answer, or null if you gave none.

    `scope` is null in shared conversations, and for answers of earlier releases, which did not store it.
    """

    number: int
    question: str
    answer: AnswerOut
    feedback: FeedbackOut | None = None
    scope: TurnScopeOut | None = None
    created_at: Instant

    @classmethod
    def from_stored_answer(cls, stored_answer: StoredAnswer, deleted_documents: Collection[str]) -> Self:
        """Build the turn from a stored answer. `deleted_documents` lists the documents that must not be shown."""
        return cls.from_records(
            stored_answer,
            number=stored_answer.turn or 0,
            answer=AnswerOut.from_stored_answer(stored_answer, deleted_documents),
            scope=stored_answer.body.get("scope"),
        )


class ConversationWithTurnsOut(ConversationOut):
    """A conversation with a page of its turns, oldest first; `next_cursor` is null on the last page.

    `pending` are the questions without an answer, oldest first, at most 100: their answers are in progress, or ended
    without a result.
    """

    turns: list[TurnOut]
    pending: list[PendingAnswerOut] = Field(default_factory=list)
    next_cursor: str | None
