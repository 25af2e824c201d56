"""One request to a chat model. Giving it up closes the connection, and the server stops.

Text is streamed: it may be long, and no proxy takes a silent connection for a dead one. What follows a schema is short
and of use only when it is whole; the tokens of a stream would cost thirty times the processor time of the one reply.
"""

import asyncio
import hashlib
from dataclasses import asdict, dataclass, field
from typing import Any

import structlog
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessageChunk, BaseMessage, HumanMessage, SystemMessage

from rlm.errors import LanguageModelError, LanguageModelOutputError
from rlm.llm.generators import closed_generators
from rlm.llm.port import Context, SubCall
from rlm.llm.profiles import ModelProfile
from rlm.llm.structured_output import canonical
from rlm.llm.tokens import estimated_tokens

log = structlog.get_logger(__name__)

# The chat template's own tokens around two messages.
_TEMPLATE_TOKENS = 32
# Around each text whose continuations are judged, and at the end of each continuation.
_CONTEXT_TOKENS, _END_TOKENS = 16, 1


@dataclass
class Exchange:
    """What has come back of a request so far; filled while it is under way, so that a broken one can be counted.

    While a request is `unseen`, nothing is known of an answer that may be written all the same.
    """

    unseen: bool = False
    pieces: list[str] = field(default_factory=list)
    finish_reason: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    error: LanguageModelError | None = None

    @property
    def started(self) -> bool:
        """Whether the model has begun to answer: from here on its work is spent."""
        return bool(self.pieces)

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    def take(self, chunk: AIMessageChunk) -> None:
        if chunk.text:
            self.pieces.append(chunk.text)
        self.finish_reason = str(chunk.response_metadata.get("finish_reason") or self.finish_reason)
        if counted := chunk.usage_metadata:
            self.prompt_tokens = max(self.prompt_tokens, counted["input_tokens"])
            self.completion_tokens = max(self.completion_tokens, counted["output_tokens"])

    def written_tokens(self, most: int) -> int:
        """As the server counted, or at least one for each piece; `most` where nobody can know."""
        if self.unseen:
            return most
        return self.completion_tokens or max(len(self.pieces), estimated_tokens(self.text))


def prompt_tokens(call: SubCall, profile: ModelProfile) -> int:
    """The most tokens that a call's prompt may be, estimated; with all its contexts, where it has some."""
    return _shared_tokens(call, profile) + sum(
        _begun_tokens(context) + sum(map(_end_tokens, context.continuations)) for context in call.contexts
    )


def window_tokens(call: SubCall, profile: ModelProfile) -> int:
    """The most tokens of a prompt that the model has before it at once: of contexts, one with one continuation."""
    longest = (
        _begun_tokens(context) + max(map(_end_tokens, context.continuations), default=0) for context in call.contexts
    )
    return _shared_tokens(call, profile) + max(longest, default=0)


def _shared_tokens(call: SubCall, profile: ModelProfile) -> int:
    return _TEMPLATE_TOKENS + sum(map(estimated_tokens, (call.system, call.prompt, _schema_words(call, profile))))


def _begun_tokens(context: Context) -> int:
    return _CONTEXT_TOKENS + estimated_tokens(context.text) + estimated_tokens(context.lead)


def _end_tokens(continuation: str) -> int:
    return _END_TOKENS + estimated_tokens(continuation)


async def converse(
    chat: BaseChatModel, profile: ModelProfile, call: SubCall, exchange: Exchange, *, tenant_id: str
) -> None:
    """Fill `exchange` until the answer ends.

    Raises a `LanguageModelError`, whatever the model's class does wrong; cancelling closes the request.
    """
    try:
        messages, options = _messages(call, profile), _options(call, profile, tenant_id)
        if call.schema is not None:
            exchange.unseen = True
            exchange.take(AIMessageChunk(**_whole(await chat.ainvoke(messages, **options))))
            exchange.unseen = False
            return
        async with closed_generators():  # also those of a stream that is broken off
            async for chunk in chat.astream(messages, **options):
                exchange.take(chunk if isinstance(chunk, AIMessageChunk) else AIMessageChunk(**_whole(chunk)))
    except (LanguageModelError, asyncio.CancelledError):
        raise
    except Exception as error:
        log.warning("a language model's reply could not be read", model=profile.name, error=repr(error))
        raise LanguageModelOutputError("The language model sent something that is not a completion.") from error


def _whole(message: BaseMessage) -> dict[str, Any]:
    """A model that does not stream gives its message at once."""
    kept = ("content", "response_metadata", "usage_metadata")
    return {name: value for name in kept if (value := getattr(message, name, None)) is not None}


def _messages(call: SubCall, profile: ModelProfile) -> list[BaseMessage]:
    system = call.system + _schema_words(call, profile)
    return [*([SystemMessage(system)] if system else []), HumanMessage(call.prompt)]


def _schema_words(call: SubCall, profile: ModelProfile) -> str:
    """For servers that do not keep to a schema by themselves; before the data, so that the prefix stays the same."""
    if call.schema is None or call.contexts or profile.structured_output == "json_schema":
        return ""
    return f"\n\nReply with JSON that follows this schema, and with nothing else:\n{canonical(call.schema)}"


def _options(call: SubCall, profile: ModelProfile, tenant_id: str) -> dict[str, Any]:
    options: dict[str, Any] = {**profile.request_options, "max_tokens": call.max_tokens + profile.thinking_tokens}
    if call.contexts:
        options["extra_body"] = {"log_likelihoods": [asdict(each) for each in call.contexts]}
    elif call.schema is not None and profile.structured_output == "json_schema":
        named = {"name": "reply", "schema": call.schema, "strict": True}
        options["response_format"] = {"type": "json_schema", "json_schema": named}
    elif call.schema is not None and profile.structured_output == "json_object":
        options["response_format"] = {"type": "json_object"}
    if profile.cache_salt:
        options["extra_body"] = {**options.get("extra_body", {}), "cache_salt": cache_salt(tenant_id)}
    return options


def cache_salt(tenant_id: str) -> str:
    """Keeps a server from sharing its prefix cache between tenants, who could otherwise tell by the time it takes."""
    return hashlib.sha256(f"leadline cache salt\0{tenant_id}".encode()).hexdigest()
