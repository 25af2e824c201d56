"""What is asked of the engine and what it sends back."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from rlm.errors import LanguageModelError

Role = Literal["system", "user", "assistant"]
FinishReason = Literal["stop", "length"]

ANY_JSON_OBJECT = '{"type": "object"}'


@dataclass(frozen=True)
class ChatMessage:
    """One turn of a conversation. `content` is data: control tokens written in it are read as plain text."""

    role: Role
    content: str


@dataclass(frozen=True)
class GenerationRequest:
    """A prompt and how to continue it.

    `max_tokens` None means the engine's default, or what is left of the window. `temperature` 0 is greedy and repeats;
    above 0 a `seed` makes it repeat. `json_schema` is JSON text that constrains decoding.
    """

    messages: Sequence[ChatMessage]
    max_tokens: int | None = None
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None
    json_schema: str | None = None


@dataclass(frozen=True)
class Usage:
    """Tokens read and written by one request."""

    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True)
class TextDelta:
    """The next piece of the answer, of whole characters."""

    text: str


@dataclass(frozen=True)
class Finished:
    """The last event of an answer that ended by itself."""

    reason: FinishReason
    usage: Usage


@dataclass(frozen=True)
class Failed:
    """The last event of a request the engine could not complete."""

    error: LanguageModelError


@dataclass(frozen=True)
class EngineLimits:
    """Bounds of the engine. `batch_tokens` of prompts and answers are computed in one step.

    The cache must hold `max_running` whole windows: when it is full the pipeline gives up a running request.
    """

    context_tokens: int = 8192
    default_answer_tokens: int = 1024
    max_running: int = 4
    max_waiting: int = 16
    batch_tokens: int = 64
    cache_gigabytes: int = 1
    pause_seconds: float = 0.002


Event = TextDelta | Finished | Failed
Emit = Callable[[Event], None]


class Ticket(Protocol):
    """A request the engine has accepted."""

    def cancel(self) -> None:
        """Send no more events and free the slot as soon as that is safe. Doing it twice, or too late, is harmless."""


class Engine(Protocol):
    """What the server needs of an engine; events come from the engine's own thread, in order, ending with
    `Finished` or `Failed` unless the request was cancelled."""

    def submit(self, request: GenerationRequest, emit: Emit) -> Ticket:
        """Queue the request.

        Raises ContextTooLongError when prompt and answer do not fit, LanguageModelUnavailableError when the queue is
        full or the engine is broken.
        """
