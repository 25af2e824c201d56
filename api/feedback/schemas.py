"""Wire models for feedback on answers."""

from typing import Self

from pydantic import Field

from api.http.wire import Instant, Wire
from ingest.storage.answers.feedback_records import MAX_COMMENT_CHARS, FeedbackEntry, Rating, Verdict

_MAX_MARKED = 1_000


class FeedbackIn(Wire):
    """Your feedback on an answer. It replaces any feedback that you gave before.

    `sentences` lists wrong sentences by their position in the answer's `sentences`, counted from 1. `citations` lists
    the `number`s of citations that do not support the text.
    """

    rating: Rating = Field(examples=["down"])
    comment: str = Field("", max_length=MAX_COMMENT_CHARS, examples=["The year is that of the second edition."])
    sentences: list[int] = Field(default_factory=list, max_length=_MAX_MARKED, examples=[[2]])
    citations: list[int] = Field(default_factory=list, max_length=_MAX_MARKED, examples=[[1]])

    def to_verdict(self) -> Verdict:
        return Verdict(self.rating, self.comment, tuple(self.sentences), tuple(self.citations))


class FeedbackOut(Wire):
    """Feedback on an answer. `author` is `user:NAME` or `key:ID`.

    `mine` is true if you are the author.
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
        """Build the model as shown to a reader, such as `user:ann`."""
        return cls.from_records(entry, entry.verdict, mine=entry.author == reader)


class FeedbackWithAnswerOut(FeedbackOut):
    """Feedback, with the question and a description of how the question was answered."""

    conversation: str | None = Field(validation_alias="conversation_id")
    question: str
    strategy: str
    model: str | None


class FeedbackOfAnswer(Wire):
    """Your feedback on an answer; for admins, the feedback of all users."""

    feedback: list[FeedbackOut]


class FeedbackPage(Wire):
    """A page of feedback, newest first; `next_cursor` is null on the last page."""

    feedback: list[FeedbackWithAnswerOut]
    next_cursor: str | None
