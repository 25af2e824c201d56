"""Responses: the request, and the whole response (Open Responses, OpenAPI of 2026-04-24).

A response is an answer of ours under the id `resp_` and the answer's own, or the run that makes it in the background.
The search behind an answer is its `file_search_call`; ids say whether a response shows it.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import Field

from api.answers.schemas import AnswerOut
from api.http.problems import ApiError
from api.openai.annotations import CitedFiles, build_extension, build_response_annotations, build_safe_text, get_file
from api.openai.asked import Lenient, OptionsIn, TurnIn
from api.openai.stores.vector_stores import convert_filters
from ingest.storage.answers.records import NEW_CONVERSATION

_PREFIX = "resp_"
# After the prefix, in ids of responses that show the search: whoever reads one later sees what was sent.
_SEARCH_PREFIX = "fs_"
RESULTS = "file_search_call.results"
MAX_RESULTS = 50


class ResponseNotFoundError(ApiError):
    """There is neither an answer nor a run of this id, or it is another's."""

    code = "response_not_found"
    status = 404
    default_hint = "Responses are kept as long as answers, for 30 days if the service is not set otherwise."


class FileSearchIn(Lenient):
    """A tool. Of all kinds `file_search` alone is followed: its stores are collections.

    `max_num_results` bounds the results that are shown; how much a model reads is a matter of its window.
    """

    type: str
    vector_store_ids: list[str] = Field(default_factory=list, max_length=100)
    filters: dict[str, Any] | None = None
    max_num_results: int | None = Field(None, ge=1, le=50)


class ConversationIn(Lenient):
    """A conversation by its id."""

    id: str = Field(min_length=1, max_length=100)


class TextIn(Lenient):
    """How the text is wanted."""

    format: dict[str, Any] | None = None


class ResponseIn(Lenient):
    """A request for a response. Members that say how a model writes (`temperature`, `instructions`) change nothing.

    `previous_response_id` goes on with the conversation of an earlier response, and `conversation` with the one of that
    id. With `store` false nothing of it is kept. `leadline` holds the options of a question that this protocol has no
    place for.
    """

    model: str = Field(max_length=300)
    input: str | list[TurnIn]
    stream: bool = False
    background: bool = False
    store: bool = True
    previous_response_id: str | None = Field(None, max_length=200)
    conversation: Annotated[str, Field(min_length=1, max_length=100)] | ConversationIn | None = None
    instructions: str | list[dict[str, Any]] | None = None
    metadata: dict[str, str] | None = Field(None, max_length=16)
    tools: list[FileSearchIn] = Field(default_factory=list, max_length=200)
    tool_choice: str | dict[str, Any] | None = None
    text: TextIn | None = None
    include: list[str] = Field(default_factory=list, max_length=20)
    leadline: OptionsIn | None = None

    @property
    def turns(self) -> list[TurnIn]:
        return [TurnIn(role="user", content=self.input)] if isinstance(self.input, str) else self.input

    @property
    def conversation_id(self) -> str | None:
        named = self.conversation
        return named.id if isinstance(named, ConversationIn) else named

    @property
    def with_search(self) -> bool:
        """True if the search is to be shown, which is for whoever sends the tool."""
        return any(each.type == "file_search" for each in self.tools)


def merge_search_tools(tools: Sequence[FileSearchIn], options: OptionsIn | None) -> OptionsIn:
    """Return the options with the stores and filters of `file_search`. Raises `BadRequestError`."""
    options = options or OptionsIn()
    collections, filters = list(options.collections), [options.filters] if options.filters else []
    for tool in tools:
        if tool.type == "file_search":
            collections += tool.vector_store_ids
            filters += [convert_filters(tool.filters)] if tool.filters else []
    joined = filters[0] if len(filters) == 1 else {"$all": filters} if filters else {}
    return options.model_copy(update={"collections": list(dict.fromkeys(collections)), "filters": joined})


def build_response_id(identifier: str, *, with_search: bool) -> str:
    """Return the id of a response, of the id of its answer or run."""
    return f"{_PREFIX}{_SEARCH_PREFIX if with_search else ''}{identifier}"


def parse_response_id(response_id: str) -> tuple[str, bool]:
    """Return the id of the answer or run behind a response, and True if the response shows the search."""
    rest = response_id.removeprefix(_PREFIX)
    return rest.removeprefix(_SEARCH_PREFIX), rest.startswith(_SEARCH_PREFIX)


def build_response_object(
    identifier: str,
    body: ResponseIn | Mapping[str, Any],
    status: str,
    output: Sequence[Mapping[str, Any]] = (),
    *,
    created: float | None = None,
    completed: float | None = None,
    answer: AnswerOut | None = None,
    error: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return a response under its id; of `created` and `completed`, times of Unix, each is now if not given.

    Members of the request that change nothing are given back as their defaults.
    """
    asked = body.model_dump(mode="json") if isinstance(body, ResponseIn) else dict(body)
    return {
        "id": identifier,
        "object": "response",
        "created_at": int(created or time.time()),
        "completed_at": None if answer is None else int(completed or time.time()),
        "status": status,
        "background": bool(asked.get("background")),
        "conversation": _build_conversation(body, answer),
        "error": error,
        "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
        "instructions": asked.get("instructions"),
        "max_output_tokens": None,
        "max_tool_calls": None,
        "metadata": asked.get("metadata") or {},
        "model": asked.get("model") or "leadline",
        "output": list(output),
        "parallel_tool_calls": True,
        "previous_response_id": asked.get("previous_response_id"),
        "prompt_cache_key": None,
        "reasoning": None,
        "safety_identifier": None,
        "service_tier": "default",
        "store": bool(asked.get("store", True)),
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [_build_tool(each) for each in asked.get("tools") or () if each.get("type") == "file_search"],
        "top_logprobs": 0,
        "top_p": 1.0,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "truncation": "disabled",
        "usage": _build_usage(answer) if answer else None,
        "leadline": answer.model_dump(mode="json") if answer else None,
    }


@dataclass(frozen=True)
class ResponseView:
    """How the answers of one request are shown: under which address, and with how many results of the search, if any.

    The search and files are shown to whoever sent the tool `file_search`, as OpenAI does; to others the message with
    addresses, which is all that Open Responses knows. `files_of` finds the files of documents, by the documents' ids.
    """

    base_url: str
    with_search: bool
    results: int | None
    files_of: Callable[[AnswerOut], CitedFiles]


def get_result_limit(body: ResponseIn) -> int | None:
    """Return how many results of the search a request wants to see; None for none."""
    limits = [each.max_num_results for each in body.tools if each.max_num_results is not None]
    return (max(limits) if limits else MAX_RESULTS) if RESULTS in body.include else None


def build_output(answer: AnswerOut, identifier: str, shown: ResponseView) -> list[dict[str, Any]]:
    """Return the items of an answer: the search, where there was one, and the message."""
    if not shown.with_search:
        return [build_message(identifier, answer, shown.base_url, None)]
    files = shown.files_of(answer)
    search = [build_search_call(identifier, answer.searched.queries, answer, shown.results, files)]
    return [*(search if answer.searched.read else []), build_message(identifier, answer, shown.base_url, files)]


def get_response_status(answer: AnswerOut) -> Literal["completed", "incomplete"]:
    return "completed" if answer.finished else "incomplete"


def _build_conversation(body: ResponseIn | Mapping[str, Any], answer: AnswerOut | None) -> dict[str, str] | None:
    """Return the conversation that a response is in, or goes on with if it is not kept there."""
    named = body.conversation_id if isinstance(body, ResponseIn) and body.conversation_id != NEW_CONVERSATION else None
    found = (answer.conversation if answer else None) or named
    return None if found is None else {"id": found}


def _build_tool(given: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "file_search",
        "vector_store_ids": given.get("vector_store_ids") or [],
        "filters": given.get("filters"),
        "max_num_results": given.get("max_num_results"),
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


def build_search_call(
    identifier: str,
    queries: Sequence[str],
    answer: AnswerOut | None = None,
    most: int | None = None,
    files: CitedFiles = MappingProxyType({}),
    status: str = "completed",
) -> dict[str, Any]:
    """Return the search of an answer; with `most`, as many passages that the answer cites."""
    results = None
    if most is not None and answer is not None:
        cited = [each for each in answer.citations if not each.deleted][:most]
        results = [
            {
                "file_id": get_file(files, each).id,
                "filename": get_file(files, each).name,
                "text": each.quote,
                "attributes": dict(get_file(files, each).attributes),
                "leadline": build_extension(each),
            }
            for each in cited
        ]
    return {
        "id": f"fs_{identifier}",
        "type": "file_search_call",
        "status": status,
        "queries": list(queries),
        "results": results,
    }


def build_message(identifier: str, answer: AnswerOut, base_url: str, files: CitedFiles | None) -> dict[str, Any]:
    part = build_text_part(build_safe_text(answer), build_response_annotations(answer, base_url, files))
    return build_message_item(identifier, "completed" if answer.finished else "incomplete", [part])


def build_message_item(identifier: str, status: str, content: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    item = {"id": f"msg_{identifier}", "type": "message", "role": "assistant", "status": status}
    return {**item, "content": list(content)}


def build_text_part(text: str, annotations: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": list(annotations), "logprobs": []}
