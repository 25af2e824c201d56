"""Problems on the wire, and the statuses that routes list them under."""

from typing import Any

from pydantic import Field

from api.http.problems import MEDIA_TYPE
from api.http.wire import QuotaOut, Wire


class ProblemOut(Wire):
    """An error (RFC 9457). `code` is stable, `hint` says what to do next; `errors` of `invalid_request` name fields.

    `quota` of `quota_exceeded` says which one, what is left of it, and when it is renewed.
    """

    type: str
    title: str
    status: int
    code: str
    detail: str
    hint: str
    instance: str
    request_id: str
    errors: list[dict[str, str]] = Field(default_factory=list)
    quota: QuotaOut | None = None


_DESCRIPTIONS: dict[int | str, str] = {
    400: "A cursor or event id that nobody gave out, or two things that exclude each other.",
    401: "No API key, or one that is not valid.",
    404: "There is no such thing for this tenant.",
    409: "It is in a state in which this cannot be done.",
    422: "A field, or the question, cannot be used as it is; or it would cost more than was accepted.",
    429: "Too much waits already, or a quota is used up: come back after `Retry-After` seconds.",
    500: "Leadline failed; the log has the request id.",
    502: "The language model refused, or answered nonsense.",
    503: "Something it needs is away: come back after `Retry-After` seconds.",
    504: "The language model did not answer in time.",
}
# Problems of questions and runs, in OpenAPI's form; without 422, FastAPI describes one that is never sent.
PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"description": meant, "content": {MEDIA_TYPE: {"schema": ProblemOut.model_json_schema()}}}
    for status, meant in _DESCRIPTIONS.items()
}
