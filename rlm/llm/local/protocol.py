"""Requests to the engine, its events, and their representation in the OpenAI chat protocol.

Options that our own client never uses (sampling, tools, stop strings, several choices) are rejected rather than
ignored.
"""

import json
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

from rlm.errors import ContextTooLongError, LanguageModelError, LanguageModelRefusedError

Role = Literal["system", "user", "assistant"]
FinishReason = Literal["stop", "length"]


@dataclass(frozen=True)
class ChatMessage:
    """One turn of a conversation. Control tokens in `content` are treated as plain text."""

    role: Role
    content: str


@dataclass(frozen=True)
class GenerationRequest:
    """A prompt and the options for continuing it.

    Decoding is greedy. If `max_tokens` is None, the answer is limited by the engine's default or the remaining context
    window. `json_schema` is JSON text that constrains decoding.
    """

    messages: Sequence[ChatMessage]
    max_tokens: int | None = None
    json_schema: str | None = None


@dataclass(frozen=True)
class TokenUsage:
    """Tokens read and written by one request."""

    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True)
class TextDelta:
    """The next piece of the answer, which contains only complete characters."""

    text: str


@dataclass(frozen=True)
class FinishedEvent:
    """The last event of an answer that ended normally."""

    reason: FinishReason
    usage: TokenUsage


@dataclass(frozen=True)
class FailedEvent:
    """The last event of a request that the engine could not complete."""

    error: LanguageModelError


@dataclass(frozen=True)
class EngineLimits:
    """Limits of the engine. One step computes `batch_tokens` tokens of prompts and answers.

    The cache must have room for `max_running` full windows, because the pipeline drops a running request when the cache
    is full.
    """

    context_tokens: int = 8192
    default_answer_tokens: int = 1024
    max_running: int = 4
    max_waiting: int = 16
    batch_tokens: int = 64
    cache_gigabytes: int = 1
    pause_seconds: float = 0.002


Event = TextDelta | FinishedEvent | FailedEvent
Emit = Callable[[Event], None]


class Ticket(Protocol):
    """A request that the engine has accepted and that can be cancelled."""

    def cancel(self) -> None:
        """Stop sending events, and free the slot as soon as it is safe to do so.

        Cancelling twice, or after the end of the request, has no effect.
        """


class Engine(Protocol):
    """The interface of the engine that the server uses.

    Events are sent in order from the engine's own thread. The last event is `Finished` or `FailedEvent`, unless the
    request was cancelled.
    """

    def submit(self, request: GenerationRequest, emit: Emit) -> Ticket:
        """Queue the request.

        Raises `ContextTooLongError` if the prompt and answer do not fit in the window, and
        `LanguageModelUnavailableError` if the queue is full or the engine is broken.
        """


STREAM_END = b"data: [DONE]\n\n"


class NamedSchema(BaseModel):
    """A JSON schema. The name that the client gave the schema is ignored."""

    schema_: dict[str, Any] = Field(alias="schema")


class JSONSchemaFormat(BaseModel):
    """A response format: JSON that conforms to a schema."""

    type: Literal["json_schema"]
    json_schema: NamedSchema


class StreamOptions(BaseModel):
    """Options of a stream. `include_usage` adds a final chunk that reports usage."""

    include_usage: bool = False


class ChatCompletionRequest(BaseModel):
    """The body of `POST /v1/chat/completions`."""

    model_config = ConfigDict(extra="forbid")

    model: str
    messages: Annotated[list[ChatMessage], Field(min_length=1)]
    stream: bool = False
    stream_options: StreamOptions | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    temperature: Annotated[float, Field(ge=0, le=0)] = 0
    response_format: JSONSchemaFormat | None = None

    def to_engine_request(self) -> GenerationRequest:
        """Convert the request to a `GenerationRequest`. Omitted values get the protocol's defaults."""
        return GenerationRequest(
            messages=tuple(self.messages),
            max_tokens=self.max_completion_tokens or self.max_tokens,
            json_schema=json.dumps(self.response_format.json_schema.schema_) if self.response_format else None,
        )

    @property
    def wants_usage(self) -> bool:
        """True if a stream must end with a chunk that reports usage."""
        return self.stream_options is not None and self.stream_options.include_usage


class CompletionWriter:
    """Formats one answer, whole or in chunks, under a single id."""

    def __init__(self, model: str) -> None:
        self._head = {"id": f"chatcmpl-{uuid.uuid4().hex}", "created": int(time.time()), "model": model}

    def build_completion(self, text: str, reason: FinishReason, usage: TokenUsage) -> dict[str, Any]:
        """Return the answer as one `chat.completion` object."""
        message = {"role": "assistant", "content": text}
        choice = {"index": 0, "message": message, "finish_reason": reason, "logprobs": None}
        return {**self._head, "object": "chat.completion", "choices": [choice], "usage": _build_usage_object(usage)}

    def build_delta_event(self, text: str, *, is_first: bool) -> bytes:
        """Return a piece of the answer as a stream event. The first event also contains the role."""
        return self._build_chunk_event({"role": "assistant", "content": text} if is_first else {"content": text}, None)

    def build_end_event(self, reason: FinishReason) -> bytes:
        """Return the stream event with the reason why the answer ended."""
        return self._build_chunk_event({}, reason)

    def build_usage_event(self, usage: TokenUsage) -> bytes:
        """Return the stream event that reports usage."""
        return format_server_sent_event(
            {**self._head, "object": "chat.completion.chunk", "choices": [], "usage": _build_usage_object(usage)}
        )

    def _build_chunk_event(self, delta: Mapping[str, str], reason: FinishReason | None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": reason, "logprobs": None}
        return format_server_sent_event({**self._head, "object": "chat.completion.chunk", "choices": [choice]})


def format_server_sent_event(payload: Mapping[str, Any]) -> bytes:
    """Format one server-sent event of a stream."""
    return b"data: " + json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"


def build_error_object(message: str, *, code: str, kind: str) -> dict[str, Any]:
    """Return an error in the format that OpenAI clients expect."""
    return {"error": {"message": message, "type": kind, "code": code, "param": None}}


def build_error_response(error: LanguageModelError) -> tuple[int, dict[str, Any]]:
    """Return the status and body for an engine error.

    The status is 503 if the client did not cause the error.
    """
    match error:
        case ContextTooLongError():
            return 400, build_error_object(error.detail, code="context_length_exceeded", kind="invalid_request_error")
        case LanguageModelRefusedError():
            return 400, build_error_object(str(error), code=error.code, kind="invalid_request_error")
        case _:
            return 503, build_error_object(str(error), code=error.code, kind="server_error")


def _build_usage_object(usage: TokenUsage) -> dict[str, int]:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    }
