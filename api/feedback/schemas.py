"""Feedback on answers on the wire."""

from typing import Self

from pydantic import Field

from api.http.wire import Instant, Wire
from ingest.storage.answers.feedback_records import MAX_COMMENT_CHARS, FeedbackEntry, Rating, Verdict

_MAX_MARKED = 1_000


class FeedbackIn(Wire):
    """What you say of an answer, in place of what you said of it before.

    `sentences` are the ones that are wrong, by their numbers from 1 in the order of the answer's `sentences`;
    `citations` are those that do not fit, by their `number`.
    """

    rating: Rating = Field(examples=["down"])
    comment: str = Field("", max_length=MAX_COMMENT_CHARS, examples=["The year is that of the second edition."])
    sentences: list[int] = Field(default_factory=list, max_length=_MAX_MARKED, examples=[[2]])
    citations: list[int] = Field(default_factory=list, max_length=_MAX_MARKED, examples=[[1]])

    def to_verdict(self) -> Verdict:
        return Verdict(self.rating, self.comment, tuple(self.sentences), tuple(self.citations))


class FeedbackOut(Wire):
    """Feedback on an answer: who said what, and when. `author` is such as `user:ann`, or `key:` and an id.

    `mine` says that you are the author.
    """

    id: str
    answer: str = Field(validation_alias="answer_id")
    author: str
    rating: Rating
    comment: str
    sentences: list[int]
    citations: list[int]
    created_at: Instant
    updated_at: Instant
    mine: bool

    @classmethod
    def from_entry(cls, entry: FeedbackEntry, reader: str) -> Self:
        """Make it for a reader, such as `user:ann`."""
        return cls.from_records(entry, entry.verdict, mine=entry.author == reader)


class FeedbackWithAnswerOut(FeedbackOut):
    """Feedback with what it is about: the question, and how it was answered."""

    conversation: str | None = Field(validation_alias="conversation_id")
    question: str
    strategy: str
    model: str | None


class FeedbackOfAnswer(Wire):
    """What was said of an answer: by you, or for an admin by anybody."""

    feedback: list[FeedbackOut]


class FeedbackPage(Wire):
    """A page of feedback, newest first; `next_cursor` is null on the last one."""

    feedback: list[FeedbackWithAnswerOut]
    next_cursor: str | None
