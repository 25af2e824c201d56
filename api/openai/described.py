"""The replies of OpenAI's protocols, as the OpenAPI document describes them.

The service builds these replies as JSON, because the protocols' members grow; a test compares real replies with these
models. Members that are not listed are allowed.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from api.answers.schemas import AnswerOut
from api.http import sse


class Described(BaseModel):
    """A reply of OpenAI's protocol, which may have more members than are listed."""

    model_config = ConfigDict(extra="allow")


class ChatMessageOut(Described):
    """The answer. `annotations` say what each marker such as `[1]` cites."""

    role: Literal["assistant"]
    content: str | None
    refusal: str | None
    annotations: list[dict[str, Any]]


class ChatChoiceOut(Described):
    """The only choice of a chat completion."""

    index: int
    message: ChatMessageOut
    finish_reason: str


class ChatUsageOut(Described):
    """The tokens of all model calls that the answer needed."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class ChatCompletionOut(Described):
    """A chat completion. `leadline` is the whole answer with its checked sentences.

    `usage` and `leadline` are missing if a chat program asks for the title or another label of a conversation.
    """

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[ChatChoiceOut]
    usage: ChatUsageOut | None = None
    leadline: AnswerOut | None = None


class ResponseUsageOut(Described):
    """The tokens of all model calls that the answer needed."""

    input_tokens: int
    output_tokens: int
    total_tokens: int


class ResponseOut(Described):
    """A response. `output` contains the search, if the client sent `file_search`, and the message.

    `usage` and `leadline`, the whole answer with its checked sentences, are null until the response is complete.
    """

    id: str
    object: Literal["response"]
    created_at: int
    completed_at: int | None
    status: Literal["queued", "in_progress", "completed", "incomplete", "failed", "cancelled"]
    background: bool
    error: dict[str, Any] | None
    incomplete_details: dict[str, Any] | None
    instructions: str | list[dict[str, Any]] | None
    metadata: dict[str, str]
    model: str
    output: list[dict[str, Any]]
    previous_response_id: str | None
    tools: list[dict[str, Any]]
    usage: ResponseUsageOut | None
    leadline: AnswerOut | None


def describe_reply(model: type[BaseModel], *, has_stream: bool = False) -> dict[int | str, dict[str, Any]]:
    """Describe the reply of a route for its `responses`, and its event stream if it may have one."""
    return {200: {"model": model, **({"content": {sse.MEDIA_TYPE: {}}} if has_stream else {})}}
