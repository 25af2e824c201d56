"""Converts errors to RFC 9457 problems, using one table from exception classes to status codes."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from api.http.wire import QuotaOut, to_sendable
from ingest.parsing import errors as parsing
from ingest.sources import errors as sources
from ingest.storage import errors as ingest
from ingest.storage.errors import InputError, LeadlineError
from ingest.storage.quotas import records as quotas
from ingest.storage.remarks import convert_remark_to_json
from retrieval import errors as retrieval
from rlm import errors as rlm
from rlm.llm.profiles import ProfileFileError
from rlm.output_forms import OutputFormError
from rlm.requests import QuestionError

log = structlog.get_logger(__name__)

MEDIA_TYPE = "application/problem+json"
TUS_VERSION = "1.0.0"
# Status that nginx uses for a client that disconnected. This status appears only in the log.
CLIENT_CLOSED_REQUEST = 499
_RETRY_SECONDS = 5
# OpenAI's clients ignore a Retry-After above one minute and retry at once, which does not help.
_MAX_RETRY_SECONDS = 60.0

# HTTP status of each exception class. The first class in an exception's MRO that is listed here determines the status.
# A test checks that every exception class has an entry.
STATUS: Mapping[type[LeadlineError], int] = {
    ingest.InputError: 422,
    ingest.EmptyUploadError: 422,
    ingest.UploadTooLargeError: 413,
    ingest.BacklogFullError: 429,
    ingest.StorageFullError: 507,
    ingest.StorageReadOnlyError: 507,
    parsing.UnsupportedTypeError: 415,
    ingest.UploadError: 422,
    parsing.ParseError: 422,
    ingest.DocumentNotFoundError: 404,
    ingest.StoredFileNotFoundError: 404,
    ingest.TableNotFoundError: 404,
    ingest.PageNotFoundError: 404,
    ingest.DocumentStateError: 409,
    ingest.FilterError: 422,
    ingest.MetadataError: 422,
    ingest.UploadNotFoundError: 404,
    ingest.UploadOffsetError: 409,
    ingest.UploadTakenError: 423,
    ingest.BatchNotFoundError: 404,
    ingest.BatchStateError: 409,
    ingest.RunNotFoundError: 404,
    ingest.AnswerNotFoundError: 404,
    ingest.ConversationNotFoundError: 404,
    ingest.ConversationFullError: 409,
    ingest.FeedbackNotFoundError: 404,
    ingest.FeedbackInvalidError: 422,
    ingest.ShareNotFoundError: 404,
    ingest.SharingDisabledError: 403,
    ingest.TenantNotFoundError: 404,
    ingest.UserNotFoundError: 404,
    ingest.PersonUnknownError: 422,
    ingest.PersonAmbiguousError: 422,
    ingest.KeyNotFoundError: 404,
    ingest.KeyStateError: 409,
    ingest.CollectionNotFoundError: 404,
    ingest.CollectionNotEmptyError: 409,
    ingest.RoleMissingError: 403,
    ingest.NotUploaderError: 403,
    ingest.GrantNotFoundError: 404,
    ingest.LastGrantError: 409,
    ingest.WebhookNotFoundError: 404,
    ingest.WebhooksFullError: 409,
    ingest.DestinationRejectedError: 422,
    ingest.SourceNotFoundError: 404,
    ingest.SourceStateError: 409,
    ingest.SourcesFullError: 409,
    ingest.SourceCredentialsError: 503,
    ingest.NameTakenError: 409,
    ingest.NameInvalidError: 422,
    ingest.RunStateError: 409,
    ingest.KeyRevokedError: 409,
    ingest.RunsFullError: 429,
    quotas.QuotaExceededError: 429,
    ingest.IdempotencyKeyReusedError: 422,
    ingest.RequestInProgressError: 409,
    ingest.LogEntryTooLargeError: 500,
    ingest.VersionInUseError: 409,
    ingest.SourceGoneError: 409,
    ingest.PreconditionFailedError: 412,
    ingest.IncompleteVersionError: 500,
    ingest.TextLostError: 500,
    ingest.OriginalLostError: 500,
    ingest.ContentChangedError: 500,
    ingest.BlobNameError: 500,
    ingest.LeaseLostError: 409,
    ingest.GenerationStateError: 409,
    ingest.GenerationChangedError: 503,
    ingest.ValueRejectedError: 422,
    ingest.CatalogSchemaError: 503,
    ingest.InstallationMismatchError: 503,
    ingest.CatalogDamagedError: 503,
    ingest.CatalogAccessError: 503,
    ingest.CatalogUnavailableError: 503,
    ingest.DataFolderBusyError: 503,
    ingest.CatalogLimitError: 503,
    ingest.CatalogError: 500,
    ingest.BlobStoreError: 503,
    sources.SourceUnavailableError: 502,
    sources.SourceRefusedError: 422,
    sources.SourceOptionsError: 422,
    sources.SourceNotPermittedError: 422,
    sources.FolderNotPermittedError: 422,
    sources.LoaderNotPermittedError: 422,
    sources.FolderMissingError: 502,
    sources.ItemRefusedError: 422,
    sources.SourceError: 409,
    ingest.IngestError: 500,
    retrieval.QueryError: 422,
    retrieval.IndexUnavailableError: 503,
    retrieval.IndexLostError: 503,
    retrieval.IndexRefusedError: 500,
    retrieval.ChunksMissingError: 500,
    retrieval.IndexMismatchError: 503,
    retrieval.UnknownEncoderError: 503,
    retrieval.ModelFileError: 503,
    retrieval.EncoderError: 500,
    retrieval.RerankerUnavailableError: 503,
    retrieval.RerankerTimeoutError: 504,
    retrieval.RerankerOutputError: 502,
    retrieval.RerankerError: 503,
    retrieval.EncoderUnavailableError: 503,
    retrieval.RetrievalError: 500,
    QuestionError: 422,
    OutputFormError: 400,
    ProfileFileError: 503,
    rlm.ContextTooLongError: 422,
    rlm.LanguageModelUnavailableError: 503,
    rlm.LanguageModelTimeoutError: 504,
    rlm.LanguageModelOutputError: 502,
    rlm.LanguageModelError: 502,
    rlm.BudgetExhaustedError: 422,
    rlm.UnpricedModelError: 422,
    rlm.RunPausedError: 409,
    rlm.RunCancelledError: 409,
    rlm.RunTooLargeError: 422,
    rlm.DocumentGoneError: 409,
    rlm.DocumentUnreadableError: 500,
    rlm.UnknownHandleError: 404,
    rlm.CorpusError: 422,
    rlm.SqlError: 422,
    rlm.SqlRefusedError: 422,
    rlm.SqlLimitError: 422,
    rlm.SandboxUnavailableError: 503,
    rlm.SandboxError: 500,
    rlm.AnswerError: 500,
}


class ApiError(LeadlineError):
    """An error of the HTTP layer. Its class defines the HTTP status, because core errors do not depend on HTTP.

    `field_path` is the path of the request field that caused the error, if there is one.
    """

    status: int = 400

    def __init__(self, detail: str, *, hint: str | None = None, field_path: str | None = None) -> None:
        super().__init__(detail, hint=hint)
        self.at = field_path


class UnauthorizedError(ApiError):
    """The API key is missing or not valid."""

    code = "unauthorized"
    status = 401
    default_hint = "Send `Authorization: Bearer <key>`; create a key with `leadline keys create`."


class IdentityProviderUnavailableError(ApiError):
    """The identity provider is not responding, but its signing keys are needed to check a token."""

    code = "identity_provider_unavailable"
    status = 503
    default_hint = "Retry after the number of seconds in Retry-After. API keys still work."


class ProviderRefusedError(ApiError):
    """The identity provider refused a sign-in. `refusal_code` and `description` are its own, on one line each."""

    code = "identity_provider_refused"
    status = 401
    default_hint = "`leadline identity check` names settings that differ from those of the provider."

    def __init__(self, refusal_code: str, description: str) -> None:
        super().__init__(f"The identity provider refused the sign-in with {refusal_code}. {description}".strip())
        self.refusal_code = refusal_code
        self.description = description


class ScopeMissingError(ApiError):
    """The key or token is valid but lacks the scope that the request needs."""

    code = "scope_missing"
    status = 403
    default_hint = "Ask an admin of your tenant for a key with this scope."


class ForeignRequestError(ApiError):
    """A request with a session cookie was not sent by a page of that session."""

    code = "foreign_request"
    status = 403
    default_hint = "Reload the page and try again there. Programs should send an API key instead of a cookie."


class InsecureSignInError(ApiError):
    """A sign-in was rejected because the connection is not encrypted."""

    code = "https_required"
    status = 403
    default_hint = (
        "Open the portal on the server itself, as http://127.0.0.1 or through an SSH tunnel; or set "
        "up https and set LEADLINE_PUBLIC_URL to that address."
    )


class BadRequestError(ApiError):
    """The request is not valid."""

    code = "bad_request"


class PreconditionRequiredError(ApiError):
    """The request does not say which version of the object it is based on, so it could overwrite others' changes."""

    code = "precondition_required"
    status = 428
    default_hint = "Get the object and send its ETag in If-Match. `If-Match: *` changes it regardless of its version."


class AnswersFullError(ApiError):
    """This process is already generating its maximum number of answers for waiting clients."""

    code = "answers_full"
    status = 429
    retry_after_seconds = 10.0
    default_hint = (
        "Ask again later, or send `background`: a run then generates the answer, and you get its address immediately."
    )


class AnswerCancelledError(ApiError):
    """Somebody cancelled the answer, so it was not stored."""

    code = "answer_cancelled"
    status = 409
    default_hint = "Ask the question again."


class AnswerInterruptedError(ApiError):
    """The process that worked on the answer was stopped, and no other process takes the answer up."""

    code = "answer_interrupted"
    status = 503
    default_hint = "Ask the question again, about fewer documents if possible."


class BodyTooLargeError(ApiError):
    """The request body exceeds the limit for bodies that are not file uploads."""

    code = "body_too_large"
    status = 413
    default_hint = (
        "Send less data per request, or raise LEADLINE_MAX_BODY_BYTES. Upload long text as a document with POST "
        "/v1/documents."
    )


class HeadTooLargeError(ApiError):
    """The URL or the headers of the request are too large."""

    code = "head_too_large"
    status = 431
    default_hint = "Send a shorter URL, and fewer or shorter headers. Put long values in the body."

    def __init__(self, detail: str, *, status: int = 431) -> None:
        super().__init__(detail)
        self.status = status  # If the URL is too large, the status is 414.


class SlowRequestError(ApiError):
    """The request body arrived too slowly, or stopped arriving."""

    code = "request_timeout"
    status = 408
    default_hint = "Send the request again over a faster connection. Nothing was stored."


class TooManyRequestsError(ApiError):
    """The tenant has the maximum number of requests of this kind in progress, and no slot became free in time."""

    code = "too_many_requests"
    status = 429
    retry_after_seconds = 2.0
    default_hint = "Retry after the number of seconds in Retry-After, and send fewer requests at once."


class AddressLimitError(ApiError):
    """A network address sent too many requests without a key, or has too many of them open."""

    code = "address_limit"
    status = 429
    retry_after_seconds = 10.0
    default_hint = (
        "Retry after the number of seconds in Retry-After. Requests with a key do not count towards this limit."
    )


class StreamsFullError(ApiError):
    """Too many event streams are open, either for the tenant or in total."""

    code = "streams_full"
    status = 429
    retry_after_seconds = 10.0
    default_hint = "Close unused streams, or poll the object instead."


class ServiceBusyError(ApiError):
    """This process has reached its maximum number of open requests, or is shutting down."""

    code = "service_busy"
    status = 503
    retry_after_seconds = 2.0
    default_hint = "Retry after the number of seconds in Retry-After."


def get_status(error: LeadlineError) -> int:
    """Return the HTTP status of one of our own errors."""
    if isinstance(error, ApiError):
        return error.status
    return next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), 500)


def build_problem(error: LeadlineError) -> dict[str, Any]:
    """Build an error's problem, except for the fields that depend on the request.

    If the error's detail may contain hosts, users, addresses or files, the detail is only logged, and the client gets
    the error's public detail instead.
    """
    if error.public_detail:
        log.warning("request refused", code=error.code, detail=str(error))
    detail, hint = error.public_message
    body = _build_problem_fields(get_status(error), error.code, detail, hint)
    coded = {"coded_detail": convert_remark_to_json(detail), "coded_hint": convert_remark_to_json(hint)}
    body |= {name: remark for name, remark in coded.items() if remark}
    if error.at is not None:
        problem = error.problem if isinstance(error, InputError) else body["detail"]
        body["errors"] = [{"at": error.at, "problem": problem}]
    if isinstance(error, quotas.QuotaExceededError):
        body["quota"] = QuotaOut.from_status(error.standing).model_dump(mode="json")
    return body


class ProblemHandlers:
    """Error handlers that respond with problems.

    `offered_instead` takes a path. It returns a hint if the path belongs to another API, and otherwise an empty string.
    `speaks_openai` returns true for paths whose clients expect errors in OpenAI's format. `render_page` renders a
    problem as a page for browsers, and returns None for all other clients.
    """

    def __init__(
        self,
        find_alternative: Callable[[str], str],
        is_openai_path: Callable[[str], bool],
        render_page: Callable[[Request, Mapping[str, Any]], Response | None] = lambda request, problem: None,
    ) -> None:
        self._offered_instead = find_alternative
        self._speaks_openai = is_openai_path
        self._render_page = render_page

    def install(self, app: FastAPI) -> None:
        """Register handlers with the application, so that it responds to every error with a problem."""

        @app.exception_handler(LeadlineError)
        async def handle_leadline_error(request: Request, error: LeadlineError) -> Response:
            return self.build_error_response(request, error)

        @app.exception_handler(RequestValidationError)
        async def handle_validation_error(request: Request, error: RequestValidationError) -> Response:
            where = list_invalid_fields(error.errors())
            instead = self._offered_instead(request.url.path)
            hint = f"Correct the fields named in `errors`; /docs describes them. {instead}".strip()
            body = _build_problem_fields(422, "invalid_request", format_invalid_fields(where), hint)
            return self.build_problem_response(request, {**body, "errors": where})

        @app.exception_handler(HTTPException)
        async def handle_http_error(request: Request, error: HTTPException) -> Response:
            code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "http_error")
            detail, hint = f"{str(error.detail).rstrip('.')}.", ""
            if error.status_code in (404, 405):
                hint = self._offered_instead(request.url.path) or "See /docs for the paths of this service."
            return self.build_problem_response(
                request,
                _build_problem_fields(error.status_code, code, detail, hint),
                dict(error.headers or {}),
                # The path may be one of OpenAI's API, to which new ones are added all the time.
                is_for_openai=error.status_code == 404 and request.url.path.startswith("/v1/"),
            )

    def build_error_response(self, request: Request, error: LeadlineError) -> Response:
        """Return the response to one of our own errors."""
        headers = _build_retry_headers(error)
        metadata = getattr(request.app.state, "mcp_metadata", None)
        if isinstance(error, UnauthorizedError) and metadata and request.url.path == "/mcp":
            # This header tells MCP clients how to find the identity provider.
            headers["WWW-Authenticate"] += f' resource_metadata="{metadata}"'
        return self.build_problem_response(request, build_problem(error), headers)

    def build_problem_response(
        self,
        request: Request,
        body: dict[str, Any],
        headers: Mapping[str, str] | None = None,
        *,
        is_for_openai: bool = False,
    ) -> Response:
        """Return a response with a problem: a page for browsers, otherwise JSON.

        For clients of OpenAI's protocols, the `error` field contains the problem in OpenAI's format. `is_for_openai`
        adds this field on any path.
        """
        members = {**body, "instance": request.url.path, "request_id": request.scope.get("request_id", "")}
        headers = dict(headers or {})
        if (page := self._render_page(request, members)) is not None:
            page.headers.update(headers)
            return page
        if is_for_openai or self._speaks_openai(request.url.path):
            members["error"] = convert_to_openai_error(body)
            headers |= _build_openai_retry_headers(body, headers.get("Retry-After"))
        if request.url.path.startswith("/v1/uploads"):
            headers.setdefault("Tus-Resumable", TUS_VERSION)
        return JSONResponse(to_sendable(members), body["status"], headers, media_type=MEDIA_TYPE)


def build_internal_problem(request_id: str) -> dict[str, Any]:
    """Return the problem for an unexpected error. It has no details except the request id, which is also in the log."""
    return _build_problem_fields(
        500, "internal_error", "Internal error.", f"Report it, with the request id {request_id}."
    )


def convert_to_openai_error(body: Mapping[str, Any]) -> dict[str, Any]:
    """Convert a problem to the format of OpenAI's errors."""
    message = " ".join(part for part in (body["detail"] or body["title"], body.get("hint")) if part)
    kind = "invalid_request_error" if body["status"] < 500 else "server_error"
    at = next((each["at"] for each in body.get("errors", ())), None)
    param = None if at is None else re.sub(r"^(body|query|path)\.", "", at)
    return {"message": message, "type": kind, "param": param, "code": body["code"]}


def list_invalid_fields(errors: Iterable[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Convert validation errors to a list with the path of each invalid field and its problem in plain words."""
    found = []
    for each in errors:
        own = (each.get("ctx") or {}).get("error") if each["type"] in ("value_error", "assertion_error") else None
        found.append({"at": ".".join(str(part) for part in each["loc"]), "problem": str(own or each["msg"])})
    return found


def format_invalid_fields(invalid_fields: Sequence[Mapping[str, str]]) -> str:
    """Format validation errors as one sentence."""
    parts = (": ".join(part for part in (each["at"], each["problem"]) if part) for each in invalid_fields[:5])
    sentence = "; ".join(parts).rstrip(".")
    return sentence if sentence.endswith("?") else f"{sentence}."


def _build_retry_headers(error: LeadlineError) -> dict[str, str]:
    if isinstance(error, UnauthorizedError):
        return {"WWW-Authenticate": "Bearer"}
    if get_status(error) in (429, 503, 507):
        wait = getattr(error, "retry_after_seconds", None) or _RETRY_SECONDS
        return {"Retry-After": str(max(1, round(wait)))}
    return {}


def _build_openai_retry_headers(body: Mapping[str, Any], retry_after: str | None) -> dict[str, str]:
    """Return the header that tells OpenAI's clients whether to send a request again.

    Without this header, these clients send a request up to three times after every 408, 409, 429 and 5xx. After most of
    these errors, a repeated request fails again, and if a model had already replied, it is paid for again.
    """
    if body["status"] not in (408, 409, 429) and body["status"] < 500:
        return {}
    if body["code"] == ingest.RequestInProgressError.code:  # The repeated request gets the result of the first one.
        helps = True
    else:
        helps = body["status"] in (408, 429, 503) and float(retry_after or 0) <= _MAX_RETRY_SECONDS
    return {"x-should-retry": "true" if helps else "false"}


def _build_problem_fields(status: int, code: str, detail: str, hint: str) -> dict[str, Any]:
    title = code.replace("_", " ").capitalize()
    return {
        "type": f"/problems/{code}",
        "title": title,
        "status": status,
        "code": code,
        "detail": detail,
        "hint": hint,
    }
