"""One request to a chat model and its reply. Cancelling the request closes the connection, which stops the server.

Text is streamed, because it may be long and proxies close silent connections. A reply that follows a schema is not
streamed: it is short and only useful when complete, and streaming it would take thirty times as much CPU time.
"""

import asyncio
import hashlib
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import structlog

from ingest.storage.counts import format_count
from rlm.errors import LanguageModelError, LanguageModelOutputError
from rlm.llm.port import SubCall
from rlm.llm.profiles import ModelProfile, estimate_tokens
from rlm.llm.rate_limit import CallPriority
from rlm.llm.structured_output import build_response_format, describe_schema

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import AIMessageChunk, BaseMessage

log = structlog.get_logger(__name__)

# Number of tokens that the chat template adds around two messages.
_TEMPLATE_TOKENS = 32

# Maximum average number of characters per token. The second constant is the number of characters that do not count, to
# allow for short texts with a few long tokens.
_MAX_CHARACTERS_PER_TOKEN = 8
_UNCOUNTED_CHARACTERS = 1_000

Show = Callable[[str], None]


_OPENING, _CLOSING = "<think>", "</think>"


class ThoughtFilter:
    """Filters a reply piece by piece, and returns text as soon as it is certain not to be part of a thought.

    Thoughts come first and end with `</think>`. They begin with `<think>`, unless the chat template already wrote that
    tag. With `patient`, all text is held back until the closing tag or the end, which handles both cases. With `whole`,
    all text is held back until the end, and the text after the last closing tag is returned. With `open_ended`, the
    model never writes the opening tag. With `none`, the text is left unchanged. Each piece is searched once, however
    long the reply is.
    """

    def __init__(
        self,
        *,
        wait_for_tag: bool = False,
        wait_for_end: bool = False,
        open_ended: bool = False,
        is_disabled: bool = False,
    ) -> None:
        self._open_ended = open_ended
        self._patient = wait_for_tag or open_ended
        self._whole = wait_for_end
        self._passing = self._begun = is_disabled
        self._held: list[str] = []
        self._tail = ""  # The end of the held text, which may be the start of a closing tag.
        self._opened: bool | None = None  # None until the reply has started, then whether it starts with a tag.
        self.lone_closing = False

    def stop_filtering(self) -> None:
        """Stop filtering, because the server itself separates the thoughts and the text contains none."""
        self._open_ended = self._patient = self._whole = False
        if not self._opened:
            self._opened = None

    def feed(self, piece: str) -> str:
        """Add a piece, and return the text that is now certain to be outside thoughts."""
        if self._passing:
            return self._drop_leading_space(piece)
        self._held.append(piece)
        if self._whole:
            return ""
        if self._opened is not None:
            return self._search_closing_tag(self._tail + piece)
        begins = "".join(self._held).lstrip()
        self._held = [begins]
        if not begins.startswith(_OPENING) and _OPENING.startswith(begins):
            return ""
        self._opened = begins.startswith(_OPENING)
        return self._search_closing_tag(begins) if self._opened or self._patient else self._release_text(begins)

    def finish(self, *, is_cut_off: bool = False) -> str:
        """Return the remaining text. It is empty if `is_cut_off` is true and an open-ended thought was not closed."""
        held, self._held = "".join(self._held), []
        if self._whole and not self._passing:
            thoughts, closed, reply = held.rpartition(_CLOSING)
            if closed:
                self.lone_closing = not thoughts.lstrip().startswith(_OPENING)
                return reply.lstrip()
        thinking = held.lstrip().startswith(_OPENING) or (self._open_ended and is_cut_off)
        return "" if thinking else held

    def _search_closing_tag(self, text: str) -> str:
        """Return the text after the closing tag, or an empty string if the tag has not arrived yet."""
        _, closed, rest = text.partition(_CLOSING)
        if closed:
            self.lone_closing = not self._opened
            return self._release_text(rest)
        self._tail = text[1 - len(_CLOSING) :]
        return ""

    def _release_text(self, text: str) -> str:
        self._passing, self._held = True, []
        return self._drop_leading_space(text)

    def _drop_leading_space(self, text: str) -> str:
        """Drop the white space between the thoughts and the text of the reply."""
        visible = text if self._begun else text.lstrip()
        self._begun = self._begun or bool(visible)
        return visible


@dataclass
class Completion:
    """The part of a reply that has been received so far.

    It is filled during the request, so that the tokens of an interrupted reply can be counted.

    `raw` is everything that the model wrote, and `text` is the reply without its thoughts. While a request is `unseen`,
    the model may be writing an answer that has not arrived. `size` counts characters; a piece without text, such as a
    thought, counts as one.
    """

    thoughts: ThoughtFilter
    show: Show | None = None
    unseen: bool = False
    raw: str = ""
    finish_reason: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    error: LanguageModelError | None = None
    ended: bool = False
    size: int = 0
    _chunks: int = 0
    _pieces: list[str] = field(default_factory=list)

    @property
    def has_started(self) -> bool:
        """True once the model has started to think or answer. From then on, its work must be paid for."""
        return bool(self.raw) or self._chunks > 1

    @property
    def text(self) -> str:
        return "".join(self._pieces)

    @property
    def is_cut_off(self) -> bool:
        return self.finish_reason == "length"

    def add_chunk(self, chunk: "AIMessageChunk") -> None:
        """Add the content of a chunk."""
        self._chunks += 1
        self.size += max(1, len(chunk.text))
        if chunk.additional_kwargs.get("reasoning"):
            self.thoughts.stop_filtering()
        self.raw += chunk.text
        self._add_piece(self.thoughts.feed(chunk.text) if chunk.text else "")
        self.finish_reason = str(chunk.response_metadata.get("finish_reason") or self.finish_reason)
        if counted := chunk.usage_metadata:
            self.prompt_tokens = max(self.prompt_tokens, counted["input_tokens"])
            self.completion_tokens = max(self.completion_tokens, counted["output_tokens"])

    def mark_ended(self) -> None:
        """Record that the model has finished its answer."""
        self.ended = True
        self._add_piece(self.thoughts.finish(is_cut_off=self.is_cut_off))

    def count_written_tokens(self, default: int) -> int:
        """Return the server's count of written tokens, or an estimate of at least one token per chunk after the first.

        Returns `default` if the count cannot be known.
        """
        if self.unseen:
            return default
        return self.completion_tokens or max(self._chunks - 1, estimate_tokens(self.raw))

    def _add_piece(self, piece: str) -> None:
        if piece:
            self._pieces.append(piece)
            if self.show is not None:
                self.show(piece)


def estimate_prompt_tokens(call: SubCall) -> int:
    """Estimate an upper bound for the number of tokens in a call's prompt.

    The schema is included, because the server or our code adds it to the prompt.
    """
    words = "" if call.schema is None else describe_schema(call.schema)
    return _TEMPLATE_TOKENS + sum(map(estimate_tokens, (call.system, call.prompt, words)))


async def fill_completion(
    chat: "BaseChatModel",
    profile: ModelProfile,
    call: SubCall,
    completion: Completion,
    *,
    salt: str,
    max_tokens: int,
    priority: CallPriority = CallPriority.INTERACTIVE,
    affinity: str = "",
) -> None:
    """Fill `completion` until the answer ends. Thoughts and reply are limited to `max_tokens`.

    Requests with the same `affinity` go to the same server if the model has several.

    Raises a `LanguageModelError` for any error raised by the model class. Cancelling closes the request.
    """
    # Import here instead of at the top of the module, because the import takes a third of a second, and only code that
    # calls a model needs it.
    from langchain_core.messages import AIMessageChunk, HumanMessage, SystemMessage

    try:
        messages = [*([SystemMessage(call.system)] if call.system else []), HumanMessage(call.prompt)]
        options = {**_build_options(call, profile, salt, priority), "max_tokens": max_tokens}
        if affinity and getattr(chat, "takes_affinity", False):
            options["affinity"] = affinity
        if call.schema is not None:
            completion.unseen = True
            completion.add_chunk(AIMessageChunk(**_extract_message_fields(await chat.ainvoke(messages, **options))))
            completion.unseen = False
        else:
            async with close_generators():  # Also close the generators of an interrupted stream.
                async for chunk in chat.astream(messages, **options):
                    # guard: endless-stream
                    _require_ended_reply(completion, profile, max_tokens)
                    completion.add_chunk(
                        chunk if isinstance(chunk, AIMessageChunk) else AIMessageChunk(**_extract_message_fields(chunk))
                    )
        completion.mark_ended()
    except (LanguageModelError, asyncio.CancelledError):
        raise
    except Exception as error:
        log.warning("language model reply could not be read", model=profile.name, error=repr(error))
        raise LanguageModelOutputError("The language model's response is not a completion.") from error


def _require_ended_reply(completion: Completion, profile: ModelProfile, max_tokens: int) -> None:
    """Raise an error if a reply exceeds its token limit, because a server that ignores the limit may never stop."""
    most = _MAX_CHARACTERS_PER_TOKEN * max_tokens + _UNCOUNTED_CHARACTERS
    if completion.size > most:
        raise LanguageModelOutputError(
            f"The server of {profile.name} was still writing after {most:,} characters, although its limit was "
            f"{format_count(max_tokens, 'token')}.",
            hint="Check the server's log: the server ignores `max_tokens`.",
            cut_off=True,
        )


def _extract_message_fields(message: "BaseMessage") -> dict[str, Any]:
    """Return the text, thoughts and other fields of a complete message."""
    kept = ("content", "response_metadata", "usage_metadata")
    return {name: value for name in kept if (value := getattr(message, name, None)) is not None}


def _build_options(call: SubCall, profile: ModelProfile, salt: str, priority: CallPriority) -> dict[str, Any]:
    options: dict[str, Any] = {**profile.request_options}
    if call.schema is not None:
        options["response_format"] = build_response_format(call.schema)
    ours: dict[str, Any] = {"cache_salt": salt} if profile.cache_salt else {}
    if profile.priority and priority:  # vLLM treats a missing priority as 0, and serves the lowest priority first.
        ours["priority"] = int(priority)
    if ours:
        options["extra_body"] = {**options.get("extra_body", {}), **ours}
    return options


def compute_cache_salt(tenant_id: str, audience: str = "") -> str:
    """Return a salt that keeps a server from sharing its prefix cache between tenants.

    Otherwise, a tenant could tell from response times that another tenant had sent the same text. Users of a tenant who
    may see different documents are separated in the same way: each `audience` has its own salt.
    """
    of_audience = f"\0{audience}" if audience else ""
    return hashlib.sha256(f"leadline cache salt\0{tenant_id}{of_audience}".encode()).hexdigest()


_open_generators: ContextVar[list[AsyncGenerator[Any, Any]] | None] = ContextVar("begun", default=None)


def track_generators() -> None:
    """Start registering each asynchronous generator of this thread's event loop, for `close_generators`.

    Must be called on the loop, after the loop has set its own hooks.
    """
    own = sys.get_asyncgen_hooks().firstiter

    def record_generator(generator: AsyncGenerator[Any, Any]) -> None:
        if (begun := _open_generators.get()) is not None:
            begun.append(generator)
        if own is not None:
            own(generator)

    sys.set_asyncgen_hooks(firstiter=record_generator)


@asynccontextmanager
async def close_generators() -> AsyncIterator[None]:
    """Close every generator that was started in the `with` block when the block ends, starting with the outermost.

    A streamed reply consists of a dozen nested generators that refer to each other in a cycle. If the garbage collector
    closed them after an interruption, the inner ones could be finalized in another thread while the event loop closes
    the outer ones ("async generator already executing").
    """
    begun: list[AsyncGenerator[Any, Any]] = []
    token = _open_generators.set(begun)
    try:
        yield
    finally:
        _open_generators.reset(token)
        for generator in begun:
            with suppress(Exception):  # The `with` block's own errors have already been raised.
                await generator.aclose()
