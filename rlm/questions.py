"""What a question must be before anything is spent on it."""

from typing import ClassVar

from rlm.errors import AnswerError

# About 1,000 tokens: an eighth of the smallest window served, so that passages keep the rest; searching allows more.
MAX_QUESTION_CHARS = 4_000


class QuestionError(AnswerError):
    """The question cannot be answered as it is; nothing was searched or read."""

    code: ClassVar[str] = "question_invalid"


class EmptyQuestionError(QuestionError):
    """The question has no letter and no digit."""

    code = "question_empty"
    default_hint = "Ask with at least one word."


class QuestionTooLongError(QuestionError):
    """The question is longer than `MAX_QUESTION_CHARS`."""

    code = "question_too_long"
    default_hint = "Shorten the question, or upload the long text as a document and ask about it."


def check_question(question: str) -> str:
    """The question without white space around it, and without what no database takes.

    Raises `EmptyQuestionError` or `QuestionTooLongError`.
    """
    if len(question) > MAX_QUESTION_CHARS:
        raise QuestionTooLongError(
            f"The question has {len(question):,} characters, and the limit is {MAX_QUESTION_CHARS:,}."
        )
    if not any(char.isalnum() for char in question):
        raise EmptyQuestionError("The question is empty.")
    return question.replace("\0", " ").strip()
