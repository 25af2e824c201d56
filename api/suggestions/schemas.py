"""Wire models for suggested questions."""

from typing import Any, Self

from pydantic import Field, model_validator

from api.http.wire import Wire
from ingest.storage.accounts.records import Principal
from ingest.storage.documents.filters import parse_conditions
from rlm.requests import AnswerScope


class SuggestionsIn(Wire):
    """A request for suggested questions.

    With `answer`, the id of a stored answer, the questions lead on from this answer, in the language of its question.
    Otherwise, they are first questions about the documents that you can read, or about those that `collections`,
    `documents` and `filters` select, as in a question. `language` is the language tag of first questions, such as `de`;
    by default, they are in the language of the documents.
    """

    answer: str | None = Field(None, min_length=1, max_length=100)
    collections: list[str] = Field(default_factory=list, max_length=100)
    documents: list[str] = Field(default_factory=list, max_length=1000)
    filters: dict[str, Any] = Field(default_factory=dict)
    language: str | None = Field(None, max_length=35, pattern=r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$", examples=["de"])

    @model_validator(mode="after")
    def _require_one_kind(self) -> Self:
        if self.answer is not None and (self.collections or self.documents or self.filters or self.language):
            raise ValueError("questions after an `answer` are about its documents, in its language: send only `answer`")
        return self

    def build_scope(self, caller: Principal) -> AnswerScope:
        """Return the scope of first questions, limited to documents that the caller may read.

        Raises `FilterError` if the filters are not valid.
        """
        parse_conditions(self.filters)
        named = tuple(self.collections), tuple(self.documents)
        return AnswerScope(caller.tenant_id, *named, self.filters, caller.readers)


class SuggestionsOut(Wire):
    """Suggested questions, the best first: at most four first ones, or at most three after an answer.

    There are none if suggestions are turned off, if the language model is small or unavailable, or if it knows none.
    """

    questions: list[str]
