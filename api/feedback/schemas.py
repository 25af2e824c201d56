"""Feedback on answers on the wire."""

from datetime import datetime

from pydantic import Field

from api.http.wire import Wire, instant
from ingest.storage.answers.feedback_records import MAX_COMMENT_CHARS, FeedbackEntry, Rating, Verdict

_MOST = 1_000


class FeedbackIn(Wire):
    """What you say of an answer, in place of what you said of it before.

    `sentences` are the ones that are wrong, by their numbers from 1 in the order of the answer's `sentences`;
    `citations` are those that do not fit, by their `number`.
    """

    rating: Rating = Field(examples=["down"])
    comment: str = Field("", max_length=MAX_COMMENT_CHARS, examples=["The year is that of the second edition."])
    sentences: list[int] = Field(default_factory=list, max_length=_MOST, examples=[[2]])
    citations: list[int] = Field(default_factory=list, max_length=_MOST, examples=[[1]])

    def verdict(self) -> Verdict:
        return Verdict(self.rating, self.comment, tuple(self.sentences), tuple(self.citations))


class FeedbackOut(Wire):
    """Feedback on an answer: who said what, and when. `author` is such as `user:ann`, or `key:` and an id.

    `mine` says that you are the author.
    """

    id: str
    answer: str
    author: str
    rating: Rating
    comment: str
    sentences: list[int]
    citations: list[int]
    created_at: datetime
    updated_at: datetime
    mine: bool

    @classmethod
    def of(cls, entry: FeedbackEntry, reader: str) -> "FeedbackOut":
        """Make it for a reader, such as `user:ann`."""
        return cls(**_members(entry, reader))


class FeedbackWithAnswerOut(FeedbackOut):
    """Feedback with what it is about: the question, and how it was answered."""

    conversation: str | None
    question: str
    strategy: str
    model: str | None

    @classmethod
    def of(cls, entry: FeedbackEntry, reader: str) -> "FeedbackWithAnswerOut":
        about = {"question": entry.question, "strategy": entry.strategy, "model": entry.model}
        return cls(**_members(entry, reader), **about, conversation=entry.conversation_id)


class FeedbackOfAnswer(Wire):
    """What was said of an answer: by you, or for an admin by anybody."""

    feedback: list[FeedbackOut]


class FeedbackPage(Wire):
    """A page of feedback, newest first; `next_cursor` is null on the last one."""

    feedback: list[FeedbackWithAnswerOut]
    next_cursor: str | None


def _members(entry: FeedbackEntry, reader: str) -> dict[str, object]:
    said = entry.verdict
    return {
        "id": entry.id,
        "answer": entry.answer_id,
        "author": entry.author,
        "rating": said.rating,
        "comment": said.comment,
        "sentences": list(said.sentences),
        "citations": list(said.citations),
        "created_at": instant(entry.created_at),
        "updated_at": instant(entry.updated_at),
        "mine": entry.author == reader,
    }
