"""Limits the text of an answer to the number of tokens that a client of OpenAI's protocols accepts."""

from bisect import bisect_right
from typing import Annotated

from pydantic import AfterValidator, Field

from api.answers.schemas import AnswerOut
from rlm.llm.profiles import estimate_tokens


def _require_at_least(minimum: int) -> AfterValidator:
    """Return a validator for limits. Some programs send -1 for no limit, which OpenAI and vLLM reject, too."""

    def require(limit: int) -> int:
        if limit < minimum:
            raise ValueError(f"The limit is {limit}. Send at least {minimum}, or leave it out for no limit.")
        return limit

    return AfterValidator(require)


ChatLimit = Annotated[int, Field(json_schema_extra={"minimum": 1}), _require_at_least(1)]
ResponseLimit = Annotated[int, Field(json_schema_extra={"minimum": 16}), _require_at_least(16)]


def limit_text(answer: AnswerOut, max_tokens: int | None) -> AnswerOut:
    """Return the answer with at most about this many tokens of its text. If text is missing, it is not finished.

    The model has already written the whole text, which stays in the stored answer: cutting its reply short instead
    would lose the citations of the text that is shown. An answer in a form is never cut: a part of JSON is not JSON.
    """
    if answer.output is not None:
        return answer
    length = len(answer.text) if max_tokens is None else find_text_limit(answer.text, max_tokens)
    if length == len(answer.text):
        return answer
    return answer.model_copy(update={"text": answer.text[:length], "finished": False})


def find_text_limit(text: str, max_tokens: int) -> int:
    """Return the length of the longest beginning of a text that has at most about `max_tokens` tokens."""
    return bisect_right(range(len(text) + 1), max_tokens, key=lambda length: estimate_tokens(text[:length])) - 1
