"""Responses: the request, and the response object (Open Responses, OpenAPI of 2026-04-24).

A response is an answer, or the run that makes the answer in the background; its id has the prefix `resp_`. The search
behind an answer is the response's `file_search_call`. The id of a response shows whether the response includes the
search.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

from api.answers.schemas import AnswerOut
from api.http.problems import ApiError
from api.openai.annotations import (
    CitedFiles,
    build_call_id,
    build_response_annotations,
    build_safe_text,
)
from api.openai.asked import LenientModel, OptionsIn, TurnIn
from api.openai.conversation_ids import build_conversation_id, parse_conversation_id
from api.openai.inert import escape_markdown_in_json, neutralize_markdown
from api.openai.models import BASE
from api.openai.response_settings import SettingsIn, build_repeated_members
from api.openai.search_results import FoundTexts, build_search_call
from api.openai.stores.vector_stores import convert_filters
from ingest.storage.answers.records import NEW_CONVERSATION
from rlm.answers import OutputKind

_PREFIX = "resp_"
# Second prefix of the id of a response that includes the search. With this prefix, the response has the same output
# when it is retrieved later.
_SEARCH_PREFIX = "fs_"
RESULTS = "file_search_call.results"
MAX_RESULTS = 50


class ResponseNotFoundError(ApiError):
    """No answer or run has this id, or it belongs to another user."""

    code = "response_not_found"
    status = 404
    default_hint = "Responses are stored as long as answers, 30 days by default."


class FileSearchIn(LenientModel):
    """A tool: a function of the client, or `file_search`, whose vector stores are collections.

    `max_num_results` limits only the results that are shown. How much a model reads depends on its context window.
    """

    type: str
    vector_store_ids: list[str] = Field(default_factory=list, max_length=100)
    filters: dict[str, Any] | None = None
    max_num_results: int | None = Field(None, ge=1, le=50)
    name: str | None = None
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class ConversationReferenceIn(LenientModel):
    """A conversation, identified by its id."""

    id: str = Field(min_length=1, max_length=100)


class TextIn(LenientModel):
    """The text format that a request asks for."""

    format: dict[str, Any] | None = None


class ResponseIn(SettingsIn):
    """A request for a response. Of the fields that control how a model writes, only `max_output_tokens` has an effect.

    `previous_response_id` continues the conversation of an earlier response, and `conversation` continues the
    conversation with that id. If `store` is false, nothing is stored. `leadline` contains the options that this
    protocol lacks.
    """

    model: str = Field(BASE, max_length=300)
    input: str | list[TurnIn]
    stream: bool = False
    background: bool = False
    store: bool = True
    previous_response_id: str | None = Field(None, max_length=200)
    conversation: Annotated[str, Field(min_length=1, max_length=100)] | ConversationReferenceIn | None = None
    tools: list[FileSearchIn] = Field(default_factory=list, max_length=200)
    tool_choice: str | dict[str, Any] | None = None
    text: TextIn | None = None
    include: list[str] = Field(default_factory=list, max_length=20)
    leadline: OptionsIn | None = None

    @property
    def input_messages(self) -> list[TurnIn]:
        return [TurnIn(role="user", content=self.input)] if isinstance(self.input, str) else self.input

    @property
    def conversation_id(self) -> str | None:
        sent_id = self.sent_conversation_id
        return None if sent_id is None else parse_conversation_id(sent_id)

    @property
    def sent_conversation_id(self) -> str | None:
        named = self.conversation
        return named.id if isinstance(named, ConversationReferenceIn) else named

    @property
    def repeated(self) -> dict[str, Any]:
        """The members that every reply repeats, and the input, which are stored with the answer."""
        whole = self.model_dump(mode="json", exclude_unset=True, exclude={"input", "stream", "include", "leadline"})
        messages = [each.model_dump(mode="json", exclude_unset=True) for each in self.input_messages]
        return {**whole, "input": messages}

    @property
    def with_search(self) -> bool:
        """True if the client sends the `file_search` tool, so that the response includes the search."""
        return any(each.type == "file_search" for each in self.tools)


def merge_search_tools(tools: Sequence[FileSearchIn], options: OptionsIn | None) -> OptionsIn:
    """Return the options with the vector stores and filters of the `file_search` tools added.

    Raises `BadRequestError` if the filters are not valid.
    """
    options = options or OptionsIn()
    collections, filters = list(options.collections), [options.filters] if options.filters else []
    for tool in tools:
        if tool.type == "file_search":
            collections += tool.vector_store_ids
            filters += [convert_filters(tool.filters)] if tool.filters else []
    joined = filters[0] if len(filters) == 1 else {"$all": filters} if filters else {}
    return options.model_copy(update={"collections": list(dict.fromkeys(collections)), "filters": joined})


def build_response_id(identifier: str, *, with_search: bool) -> str:
    """Build the id of a response from the id of its answer or run."""
    return f"{_PREFIX}{_SEARCH_PREFIX if with_search else ''}{identifier}"


def parse_response_id(response_id: str) -> tuple[str, bool]:
    """Return the id of the response's answer or run, and whether the response includes the search."""
    rest = response_id.removeprefix(_PREFIX)
    return rest.removeprefix(_SEARCH_PREFIX), rest.startswith(_SEARCH_PREFIX)


def build_response_object(
    identifier: str,
    body: ResponseIn | Mapping[str, Any],
    status: str,
    output: Sequence[Mapping[str, Any]] = (),
    *,
    created_at: float | None = None,
    completed_at: float | None = None,
    answer: AnswerOut | None = None,
    error: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Build a response. `body` is its request, or the stored members of its request.

    `created_at` and `completed_at` are Unix timestamps, which default to the current time.
    """
    asked = body.repeated if isinstance(body, ResponseIn) else body
    return {
        **build_repeated_members(asked),
        "id": identifier,
        "object": "response",
        "created_at": int(created_at or time.time()),
        "completed_at": None if answer is None else int(completed_at or time.time()),
        "status": status,
        "conversation": _build_conversation(body, answer),
        "error": error,
        "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
        "output": list(output),
        "reasoning": None,
        "text": {"format": (asked.get("text") or {}).get("format") or {"type": "text"}},
        "tool_choice": asked.get("tool_choice") or "auto",
        "tools": [_build_tool(each) for each in asked.get("tools") or ()],
        "usage": _build_usage(answer) if answer else None,
        "leadline": answer.model_dump(mode="json") if answer else None,
    }


@dataclass(frozen=True)
class ResponseView:
    """Settings for presenting an answer: the base URL, and the number of search results to show, if any.

    Clients that send the `file_search` tool get the search and its files, as they would from OpenAI. Other clients get
    only the message with URLs, because Open Responses does not define a search. `find_texts` returns the files of an
    answer's documents and, if results are to be shown, the passages that a model read.
    """

    base_url: str
    with_search: bool
    results: int | None
    find_texts: Callable[[AnswerOut], FoundTexts]


def get_result_limit(body: ResponseIn) -> int | None:
    """Return the number of search results to include in the response, or None if the request does not ask for any."""
    limits = [each.max_num_results for each in body.tools if each.max_num_results is not None]
    return (max(limits) if limits else MAX_RESULTS) if RESULTS in body.include else None


def build_output_items(answer: AnswerOut, identifier: str, view: ResponseView) -> list[dict[str, Any]]:
    """Return the output items of an answer: the search, if the client sent the tool, and the message."""
    if not view.with_search:
        return [build_answer_item(identifier, answer, view.base_url, None)]
    found = view.find_texts(answer)
    search = build_search_call(identifier, answer.searched.queries, answer, view.results, found)
    return [search, build_answer_item(identifier, answer, view.base_url, found.files)]


def get_response_status(answer: AnswerOut) -> Literal["completed", "incomplete"]:
    return "completed" if answer.finished else "incomplete"


def _build_conversation(body: ResponseIn | Mapping[str, Any], answer: AnswerOut | None) -> dict[str, str] | None:
    """Return the conversation that stores the response or, if there is none, the one that the response continues."""
    named = body.conversation_id if isinstance(body, ResponseIn) and body.conversation_id != NEW_CONVERSATION else None
    found = (answer.conversation if answer else None) or named
    return None if found is None else {"id": build_conversation_id(found)}


def _build_tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    if tool["type"] == "function":
        return {name: tool.get(name) for name in ("type", "name", "description", "parameters", "strict")}
    return {
        "type": "file_search",
        "vector_store_ids": tool.get("vector_store_ids") or [],
        "filters": tool.get("filters"),
        "max_num_results": tool.get("max_num_results"),
        "ranking_options": None,
    }


def _build_usage(answer: AnswerOut) -> dict[str, Any]:
    read, written = answer.usage.prompt_tokens, answer.usage.completion_tokens
    return {
        "input_tokens": read,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": written,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": read + written,
    }


def build_answer_item(identifier: str, answer: AnswerOut, base_url: str, files: CitedFiles | None) -> dict[str, Any]:
    """Return the output item of an answer: a message, or a call of a function."""
    output, status = answer.output, "completed" if answer.finished else "incomplete"
    if output is not None and output.kind is OutputKind.CALL:
        return build_function_call(identifier, output.tool, escape_markdown_in_json(output.text), status)
    if output is not None and output.kind is OutputKind.REFUSAL:
        return build_message_item(identifier, status, [build_refusal_part(neutralize_markdown(output.text))])
    part = build_text_part(build_safe_text(answer), build_response_annotations(answer, base_url, files))
    return build_message_item(identifier, status, [part])


def build_function_call(identifier: str, name: str, arguments: str, status: str) -> dict[str, Any]:
    item = {"id": f"fc_{identifier}", "type": "function_call", "call_id": build_call_id(identifier), "status": status}
    return {**item, "name": name, "arguments": arguments}


def build_refusal_part(refusal: str) -> dict[str, Any]:
    return {"type": "refusal", "refusal": refusal}


def build_message_item(identifier: str, status: str, content: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    item = {"id": f"msg_{identifier}", "type": "message", "role": "assistant", "status": status}
    return {**item, "content": list(content)}


def build_text_part(text: str, annotations: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": list(annotations), "logprobs": []}
