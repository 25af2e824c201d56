"""Chat completions: the request, the response, and the chunks of a stream."""

import json
import time
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import Field

from api.answers.schemas import AnswerOut
from api.http.problems import convert_to_openai_error
from api.http.sse import DONE
from api.openai.annotations import build_call_id, build_safe_text, build_url_citations
from api.openai.asked import LenientModel, OptionsIn, TurnIn
from api.openai.inert import MarkdownNeutralizer, escape_markdown_in_json, neutralize_markdown
from api.openai.limits import ChatLimit, find_text_limit, limit_text
from ingest.storage.documents.records import generate_work_id
from rlm.answers import Answer, OutputKind
from rlm.events import Completed, Delta, Event


class StreamOptionsIn(LenientModel):
    include_usage: bool = False


class ChatIn(LenientModel):
    """A request for a chat completion. Of the fields that control how a model writes, only `max_completion_tokens` and
    its older name `max_tokens` have an effect: they limit the text.

    `response_format` and `tools` select the form of the answer: JSON, or a call of one of the client's functions.
    `leadline` contains the options that this protocol lacks.
    """

    model: str = Field(max_length=300)
    messages: list[TurnIn] = Field(max_length=2_000)
    stream: bool = False
    stream_options: StreamOptionsIn | None = None
    max_completion_tokens: ChatLimit | None = None
    max_tokens: ChatLimit | None = None
    n: int = Field(1, ge=1, le=1, description="Only one answer per question is supported.")
    tools: list[dict[str, Any]] = Field(default_factory=list, max_length=200)
    tool_choice: str | dict[str, Any] | None = None
    functions: list[Any] = Field(default_factory=list, max_length=200)
    function_call: str | dict[str, Any] | None = None
    response_format: dict[str, Any] | None = None
    leadline: OptionsIn | None = None

    @property
    def token_limit(self) -> int | None:
        return self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens


def build_completion(answer: AnswerOut, model: str, base_url: str, max_tokens: int | None = None) -> dict[str, Any]:
    """Return an answer as a chat completion. Its `leadline` field is the whole answer as in `GET /v1/answers/{id}`."""
    shown = limit_text(answer, max_tokens)
    message = {"role": "assistant", **_build_content(shown), "annotations": _build_annotations(shown, base_url)}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _get_finish_reason(shown)}
    return {
        **build_object_head(answer.id or generate_work_id(), "chat.completion", model),
        "choices": [choice],
        "usage": build_usage(answer),
        "leadline": answer.model_dump(mode="json"),
    }


def build_usage(answer: AnswerOut) -> dict[str, Any]:
    """Return the total token usage of an answer's model calls."""
    read, written = answer.usage.prompt_tokens, answer.usage.completion_tokens
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}


class ChatChunkFormatter:
    """Formats the events of an answer as chunks. The chunk after the text contains the text's annotations."""

    def __init__(
        self,
        save_answer: Callable[[Answer], AnswerOut],
        identifier: str,
        model: str,
        base_url: str,
        *,
        with_usage: bool,
        with_form: bool = False,
        max_tokens: int | None = None,
    ) -> None:
        """Create the formatter. With a requested form, nothing is written before the answer is in that form."""
        self._keep = save_answer
        self._head = build_object_head(identifier, "chat.completion.chunk", model)
        self._base_url = base_url
        self._with_usage = with_usage
        self._with_form = with_form
        self._max_tokens = max_tokens
        self._text = ""
        self._written = 0  # Length of the text that was sent.
        self._inert = MarkdownNeutralizer()
        self._started = False

    def format_event(self, event: Event) -> str:
        if isinstance(event, Delta):
            self._text += event.text
            return "" if self._with_form else self._format_content(self._inert.feed(event.text))
        if isinstance(event, Completed):
            return self._format_end(self._keep(event.answer))
        return ""

    def format_failure(self, problem: Mapping[str, Any]) -> str:
        return _format_data_line({"error": convert_to_openai_error(problem)}) + DONE

    def _format_content(self, text: str) -> str:
        if self._max_tokens is not None:
            text = text[: max(0, find_text_limit(self._text, self._max_tokens) - self._written)]
        self._written += len(text)
        if not text:
            return ""
        role = {} if self._started else {"role": "assistant"}
        self._started = True
        return self._format_chunk({**role, "content": text})

    def _format_form(self, answer: AnswerOut) -> str:
        given = {name: value for name, value in _build_content(answer).items() if value is not None}
        calls = [{"index": number, **each} for number, each in enumerate(given.pop("tool_calls", ()))]
        return self._format_chunk({"role": "assistant", **given, **({"tool_calls": calls} if calls else {})})

    def _format_end(self, answer: AnswerOut) -> str:
        shown = limit_text(answer, self._max_tokens)
        rest = self._format_form(shown) if self._with_form else self._format_content(self._inert.finish())
        annotations = self._format_chunk({"annotations": _build_annotations(shown, self._base_url)})
        last = self._format_chunk({}, _get_finish_reason(shown), leadline=answer.model_dump(mode="json"))
        used = (
            _format_data_line({**self._head, "choices": [], "usage": build_usage(answer)}) if self._with_usage else ""
        )
        return rest + annotations + last + used + DONE

    def _format_chunk(self, delta: dict[str, Any], finish_reason: str | None = None, **extra_fields: object) -> str:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return _format_data_line({**self._head, "choices": [choice], **extra_fields})


def _build_annotations(answer: AnswerOut, base_url: str) -> list[dict[str, Any]]:
    return [{"type": "url_citation", "url_citation": each} for each in build_url_citations(answer, base_url)]


def _build_content(answer: AnswerOut) -> dict[str, Any]:
    """Return the members of a message for the answer's form: its content, its refusal or its call of a tool."""
    output = answer.output
    if output is not None and output.kind is OutputKind.REFUSAL:
        return {"content": None, "refusal": neutralize_markdown(output.text)}
    if output is not None and output.kind is OutputKind.CALL:
        function = {"name": output.tool, "arguments": escape_markdown_in_json(output.text)}
        call = {"id": build_call_id(answer.id or generate_work_id()), "type": "function", "function": function}
        return {"content": None, "refusal": None, "tool_calls": [call]}
    return {"content": build_safe_text(answer), "refusal": None}


def _get_finish_reason(answer: AnswerOut) -> str:
    if answer.output is not None and answer.output.kind is OutputKind.CALL:
        return "tool_calls"
    return "stop" if answer.finished else "length"


def build_object_head(identifier: str, object_type: str, model: str) -> dict[str, Any]:
    """Return the members that all objects of chat completions begin with."""
    return {"id": f"chatcmpl-{identifier}", "object": object_type, "created": int(time.time()), "model": model}


def _format_data_line(body: Mapping[str, Any]) -> str:
    return f"data: {json.dumps(body, ensure_ascii=False)}\n\n".encode("utf-8", "replace").decode()
