"""Conversations, and the records behind an answer, on the wire."""

from collections.abc import Collection
from typing import Any, Self

from api.answers.schemas import AnswerOut
from api.feedback.schemas import FeedbackOut
from api.http.wire import Instant, Wire
from ingest.storage.answers.records import Conversation, StoredAnswer


class RowOut(Wire):
    """A record behind a computed answer: its `row` number in the table, from 1, its span, text and values by column.

    `place` is where a reader finds it, such as "sheet Costs, row 40"; it is empty where the format has no places.
    `table` is null where the record is a document, or one of its sections, numbered in reading order: span and text are
    then its beginning, and the values its title and name, or its title and heading. Numbers with decimals are strings,
    so that they are exact. Of a version that is `gone`, because its document was deleted or replaced, there is neither
    text nor values.
    """

    document_id: str
    version_id: str
    table: int | None
    row: int
    start: int | None
    end: int | None
    text: str
    values: dict[str, Any]
    place: str = ""
    gone: bool = False


class RowPage(Wire):
    """A page of the records behind an answer, `total` in all; `next_cursor` is null on the last one."""

    rows: list[RowOut]
    total: int
    next_cursor: str | None


class ConversationOut(Wire):
    """A conversation; its title is its first question, and `answered` counts the questions that were answered in it."""

    id: str
    title: str
    answered: int
    created_at: Instant
    updated_at: Instant

    @classmethod
    def from_conversation(cls, conversation: Conversation) -> Self:
        return cls(
            id=conversation.id,
            title=conversation.title,
            answered=conversation.turns,
            created_at=conversation.created_at,
            updated_at=conversation.updated_at,
        )


class ConversationPage(Wire):
    """A page of conversations, newest first; `next_cursor` is null on the last one."""

    conversations: list[ConversationOut]
    next_cursor: str | None


class TurnOut(Wire):
    """A question as it was asked, and its answer; `feedback` is what you said of it, null if nothing."""

    number: int
    question: str
    answer: AnswerOut
    feedback: FeedbackOut | None = None
    created_at: Instant

    @classmethod
    def from_kept_answer(cls, kept: StoredAnswer, deleted: Collection[str]) -> Self:
        """Make it from a kept turn; `deleted` are the ids of documents that are no longer shown."""
        return cls.from_records(kept, number=kept.turn or 0, answer=AnswerOut.from_kept_answer(kept, deleted))


class ConversationWithTurnsOut(ConversationOut):
    """A conversation with a page of its turns, oldest first; `next_cursor` is null on the last one."""

    turns: list[TurnOut]
    next_cursor: str | None
