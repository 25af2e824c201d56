"""Converts the service's errors into messages for models and programs that use MCP."""

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import structlog
from mcp.shared.exceptions import MCPError
from mcp_types import INTERNAL_ERROR, INVALID_PARAMS
from pydantic import ValidationError

from api.http.problems import build_problem, format_invalid_fields, list_invalid_fields
from ingest.storage.errors import (
    CollectionNotFoundError,
    ConversationNotFoundError,
    DocumentNotFoundError,
    LeadlineError,
    RunNotFoundError,
)

log = structlog.get_logger(__name__)

_Result = TypeVar("_Result")
_HINTS: Mapping[type, str] = {
    DocumentNotFoundError: "Call `list` to list the documents.",
    CollectionNotFoundError: "Call `list` to list the collections.",
    RunNotFoundError: "Call `run` with an id returned by `ask`.",
    ConversationNotFoundError: "Call `ask` with `conversation` set to `new` to start one; the answer has its id.",
}
_SENTENCE = re.compile(r"(?<=[.;])\s+")
_ROUTE = re.compile(r"\b(GET|POST|PUT|PATCH|DELETE) (/v1/|…)")


def format_failure(error: LeadlineError) -> str:
    """Return what happened and what to do, in one paragraph that ends with the error's code."""
    body = build_problem(error)
    parts = body["detail"] or body["title"], _select_hint(error, body["hint"]), f"({body['code']})"
    return " ".join(part for part in parts if part)


def format_invalid_arguments(error: ValidationError) -> str:
    return f"{format_invalid_fields(list_invalid_fields(error.errors()))} Correct the named arguments."


async def raise_protocol_errors(work: Callable[[], Awaitable[_Result]], **about: str) -> _Result:
    """Return the result of `work`. Each failure becomes an error of the protocol, whose data has `about` and its code.

    Resources, prompts and completions use this. Tools return their failures as results, which models can read.
    """
    try:
        return await work()
    except MCPError:
        raise
    except ValidationError as error:
        raise MCPError(INVALID_PARAMS, format_invalid_arguments(error), about) from error
    except LeadlineError as error:
        body: dict[str, Any] = build_problem(error)
        code = INVALID_PARAMS if body["status"] < 500 else INTERNAL_ERROR
        raise MCPError(code, format_failure(error), {**about, "code": body["code"]}) from error
    # This is the outermost handler of a request. An unexpected error is logged in full, and not told to the client.
    except Exception as error:
        log.exception("request over MCP failed", **about)
        raise MCPError(INTERNAL_ERROR, "This request failed with an internal error. Report it.", about) from error


def _select_hint(error: LeadlineError, hint: str) -> str:
    """Return a hint for the model. Sentences with REST routes are dropped, because the model can only call tools."""
    known = next((_HINTS[kind] for kind in type(error).__mro__ if kind in _HINTS), None)
    return known or " ".join(each for each in _SENTENCE.split(hint) if not _ROUTE.search(each))
