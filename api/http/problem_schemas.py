"""Wire models for problems, and the problem responses that routes document."""

from typing import Any

from pydantic import Field

from api.http.problems import MEDIA_TYPE
from api.http.remark_schemas import RemarkOut
from api.http.wire import QuotaOut, Wire


class ProblemOut(Wire):
    """An error (RFC 9457). `code` is stable, and `hint` says what to do next.

    `errors` lists the invalid fields. For `quota_exceeded`, `quota` says which quota was exceeded, how much of it
    remains, and when it resets. `coded_detail` and `coded_hint` say the detail and the hint with a code, if they have
    one.
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
    coded_detail: RemarkOut | None = None
    coded_hint: RemarkOut | None = None


_DESCRIPTIONS: dict[int | str, str] = {
    400: "An unknown cursor or event id, or options that cannot be combined.",
    401: "The API key is missing or not valid.",
    404: "Not found in this tenant.",
    409: "Not possible in the current state.",
    422: "A field or the question is not valid, or the cost would exceed what was confirmed.",
    429: "Too many requests, or a quota is used up. Retry after `Retry-After` seconds.",
    500: "Internal error. The log has the request id.",
    502: "The language model rejected the request or returned an unusable response.",
    503: "A required component is unavailable. Retry after `Retry-After` seconds.",
    504: "The language model did not respond in time.",
}
# The problems of every route, as references: repeated in each operation, they would be most of the OpenAPI document.
# 422 is included because FastAPI would otherwise document its own error format, which this service never sends.
PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"$ref": f"#/components/responses/Problem{status}", "description": meant}
    for status, meant in _DESCRIPTIONS.items()
}


def build_problem_components() -> dict[str, dict[str, Any]]:
    """Return the components of the OpenAPI document to which `PROBLEMS` refers, by kind."""
    schema = ProblemOut.model_json_schema(mode="serialization", ref_template="#/components/schemas/{model}")
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemOut"}}}
    return {
        "schemas": {**schema.pop("$defs"), "ProblemOut": schema},
        "responses": {
            f"Problem{status}": {"description": meant, "content": content} for status, meant in _DESCRIPTIONS.items()
        },
    }
