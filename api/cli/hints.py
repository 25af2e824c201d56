"""Next steps in the words of the command line, for errors whose own hints name routes of the API."""

from collections.abc import Mapping
from typing import Any

from api.client import NoAnswerError, ServiceError
from ingest.storage.errors import LeadlineError

_HINTS: Mapping[str, str] = {
    "answer_not_found": "List your conversations with `leadline conversations list`.",
    "batch_not_found": "List the batches with `leadline batch list`.",
    "batch_state": "Start a new batch with `leadline ingest`.",
    "collection_not_found": "List the collections with `leadline collections list`.",
    "conversation_not_found": "List the conversations with `leadline conversations list`, or start one with "
    "`leadline chat`.",
    "document_not_found": "List the documents with `leadline documents list`.",
    "key_not_found": "List the keys with `leadline keys list`.",
    "person_unknown": "Check the name, or write the id as `user:ID`. `leadline users list` lists the users with keys.",
    "quota_exceeded": "Wait until it resets, or have an operator raise it with `leadline quotas set`. "
    "`leadline quotas show` lists the limits and what is left.",
    "run_not_found": "List the runs with `leadline runs list`.",
    "source_not_found": "List the sources with `leadline sources list`.",
    "unauthorized": "Set LEADLINE_API_KEY to a key of this service. Create one with `leadline keys create` on the "
    "machine of the service.",
    "user_not_found": "List the users with `leadline users list`.",
}

_RETRY = "To retry it, run `leadline ingest` with the same file again."
_SAME_FILE = "The same file would fail again."


def get_command_line_hint(error: LeadlineError) -> str:
    """Return what to do next about an error, as a user of the command line would do it."""
    code = error.problem if isinstance(error, ServiceError) else error.code
    hint = _HINTS.get(code, error.hint)
    if isinstance(error, ServiceError) and error.retry_after_seconds:
        hint = hint.replace("the number of seconds in Retry-After", f"{error.retry_after_seconds:.0f} seconds")
    if isinstance(error, NoAnswerError):
        return hint
    request = error.request_id if isinstance(error, ServiceError) and error.status >= 500 else ""
    return f"{hint} The request id is {request}.".strip() if request else hint


def describe_failure(failure: Mapping[str, Any]) -> str:
    """Return why a file was refused or its document failed, and what to do next on the command line."""
    said = f"{failure['detail']} {failure['hint']}".strip()
    # Refused files, and services of an earlier release, do not say it.
    retryable = failure.get("retryable")
    if retryable is None:
        return said
    return f"{said} {_RETRY if retryable else _SAME_FILE}"
