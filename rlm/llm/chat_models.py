"""LangChain chat models for OpenAI-compatible servers, local or remote, which raise Leadline's errors."""

import json
import math
import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, cast

import httpx2
import openai
import structlog
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_openai import ChatOpenAI
from pydantic import PrivateAttr, SecretStr

from retrieval.bounded_replies import (
    ResponseTooLargeError,
    build_async_response_limit_hooks,
    find_response_too_large_error,
)
from rlm.errors import (
    ContextTooLongError,
    LanguageModelError,
    LanguageModelOutputError,
    LanguageModelRefusedError,
    LanguageModelReplyTooLargeError,
    LanguageModelTimeoutError,
    LanguageModelUnavailableError,
)
from rlm.llm.profiles import ModelProfile
from rlm.llm.server_habits import RequestFormat, ServerCapabilities

log = structlog.get_logger(__name__)

# Timeout for connecting, in seconds. It is short, because a connection is established quickly or not at all.
_CONNECT_SECONDS = 2.0
# Signs of a prompt that is too long. OpenAI and our own server report an error code. vLLM reports only a message: "This
# model's maximum context length is …", "The prompt (length …) is longer than the maximum model length".
_CONTEXT_CODES = frozenset({"context_length_exceeded", "context_too_long"})
_CONTEXT_WORDS = re.compile(r"maximum (context|model) length|context window")
_UNCONNECTED_TIMEOUTS = (httpx2.ConnectTimeout, httpx2.PoolTimeout)
# Statuses with a known meaning, from a server or from a proxy in front of it. If a proxy timed out, it is unknown
# whether the model is still working. If a proxy received an invalid response, the request has reached the model's
# server.
_LATE_STATUSES = frozenset({408, 504})
_BUSY_STATUSES = frozenset({409, 425, 429})
_BROKEN_STATUS = 502
# Statuses that mean that the server cannot accept the request in this format. After other rejections (invalid key,
# unknown model name), a changed request would be rejected too.
_REFUSED_STATUSES = frozenset({400, 422})
_THOUGHTS = ("reasoning_content", "reasoning")


class OpenAIChatModel(ChatOpenAI):
    """A `ChatOpenAI` that raises `LanguageModelError`s and learns which request features its server rejects.

    This applies only to the asynchronous methods. The synchronous methods are not used.
    """

    _habits: ServerCapabilities = PrivateAttr(default_factory=ServerCapabilities)

    @property
    def capabilities(self) -> ServerCapabilities:
        """The request features that this server is known to reject."""
        return self._habits

    async def aclose(self) -> None:
        """Close the connections. Must run on the event loop that used them."""
        await self.root_async_client.close()

    def _get_request_payload(self, *args: Any, **kwargs: Any) -> dict[str, Any]:  # noqa: ANN401
        """Return the request in a format that the server accepts, without passing the schema to the client.

        With the schema, the client would parse the whole reply again for each new token.
        """
        accepted = kwargs.pop("accepted", None) or self._habits.accepted
        payload: dict[str, Any] = accepted.adapt_payload(super()._get_request_payload(*args, **kwargs))
        if wanted := payload.pop("response_format", None):
            payload["extra_body"] = {**(payload.get("extra_body") or {}), "response_format": wanted}
        return payload

    def _convert_chunk_to_generation_chunk(
        self,
        chunk: dict[str, Any],
        *args: Any,  # noqa: ANN401
        **kwargs: Any,  # noqa: ANN401
    ) -> ChatGenerationChunk | None:
        """Mark chunks that contain thoughts, which the server sends separately from the text."""
        made = super()._convert_chunk_to_generation_chunk(chunk, *args, **kwargs)
        delta = (chunk.get("choices") or [{}])[0].get("delta") or {}
        if made is not None and any(delta.get(name) for name in _THOUGHTS):
            made.message.additional_kwargs["reasoning"] = True
        return made

    async def _agenerate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:  # noqa: ANN401
        begun = accepted = self._habits.accepted
        with translate_openai_errors():
            while True:
                try:
                    result = await super()._agenerate(messages, *args, **kwargs, accepted=accepted)
                except openai.APIStatusError as refusal:
                    accepted = self._adapt_to_rejection(refusal, accepted, messages, kwargs)
                else:
                    self._habits.record_format(begun, accepted, with_schema="response_format" in kwargs)
                    return result

    async def _astream(
        self,
        messages: list[BaseMessage],
        *args: Any,  # noqa: ANN401
        **kwargs: Any,  # noqa: ANN401
    ) -> AsyncIterator[ChatGenerationChunk]:
        begun = accepted = self._habits.accepted
        answered = ended = False
        with translate_openai_errors():
            while not answered:
                chunks = super()._astream(messages, *args, **kwargs, accepted=accepted)
                try:
                    async with aclosing(cast(AsyncGenerator[ChatGenerationChunk, None], chunks)):
                        async for chunk in chunks:
                            answered = True
                            ended = ended or bool((chunk.generation_info or {}).get("finish_reason"))
                            yield chunk
                    answered = True
                except openai.APIStatusError as refusal:
                    if answered:
                        raise
                    accepted = self._adapt_to_rejection(refusal, accepted, messages, kwargs)
            # Without this check, a connection that was closed midway would look like a complete stream.
            if not ended:
                raise LanguageModelUnavailableError(
                    "The language model's answer was interrupted.", hint="Ask again.", reached=True
                )
        self._habits.record_format(begun, accepted, with_schema=False)

    def _adapt_to_rejection(
        self,
        rejection: openai.APIStatusError,
        current_format: RequestFormat,
        messages: list[BaseMessage],
        options: dict[str, Any],
    ) -> RequestFormat:
        """Return the format for the next attempt at a rejected request.

        The rejection is raised again if it is final or no other format is left to try.
        """
        if rejection.status_code not in _REFUSED_STATUSES or not isinstance(
            translate_error(rejection), LanguageModelRefusedError
        ):
            raise rejection
        sent = {name: value for name, value in options.items() if name != "run_manager"}
        body = rejection.body if isinstance(rejection.body, dict) else str(rejection.message)
        found = current_format.revise_after_rejection(body, super()._get_request_payload(messages, **sent))
        if found is None:
            raise rejection
        log.info("a language model server rejected a request feature", model=self.model_name, instead=str(found))
        return found


def build_local_chat_model(socket_path: Path, profile: ModelProfile) -> OpenAIChatModel:
    """Build a client for the model that the local process serves on a Unix socket."""
    transport = httpx2.AsyncHTTPTransport(uds=str(socket_path))
    return build_remote_chat_model("http://leadline-language-model/v1", profile, transport=transport)


def build_remote_chat_model(
    base_url: str,
    profile: ModelProfile,
    *,
    api_key: SecretStr | None = None,
    transport: httpx2.AsyncHTTPTransport | None = None,
) -> OpenAIChatModel:
    """Build a client with greedy decoding for the model served at `base_url`, which ends in `/v1`.

    `profile.name` is the name of the model on that server.
    """
    # Without streaming, nothing arrives until the answer is complete, so the read timeout is as long as a call may
    # take. The client sends its own timeout with each request, and ignores the transport's timeout.
    timeout = httpx2.Timeout(profile.call_seconds, connect=_CONNECT_SECONDS)
    model = OpenAIChatModel(
        base_url=base_url,
        api_key=api_key or SecretStr("none"),  # The client requires a key, but servers without keys ignore it.
        model=profile.name,
        temperature=0,
        timeout=timeout,
        max_retries=0,  # The scheduler handles retries.
        stream_usage=True,
        stream_chunk_timeout=None,  # LangChain's own timeout is replaced by `timeout`.
        # Pass our own HTTP client, so that `aclose` can close it. Callers limit the number of connections.
        http_async_client=httpx2.AsyncClient(
            transport=transport,
            timeout=timeout,
            limits=httpx2.Limits(max_connections=None),
            event_hooks=build_async_response_limit_hooks(),
        ),
    )
    model._habits = ServerCapabilities(profile.structured_output)
    return model


@contextmanager
def translate_openai_errors() -> Iterator[None]:
    """Translate exceptions of the OpenAI client and its transport into Leadline's exceptions."""
    try:
        yield
    except (
        openai.OpenAIError,
        httpx2.HTTPError,
        json.JSONDecodeError,
        UnicodeDecodeError,
        ResponseTooLargeError,
    ) as error:
        raise translate_error(error) from error


# Matches addresses, hosts with a port, and keys, even if they are partly masked.
_PRIVATE_TEXT = re.compile(
    r"\b[a-z][a-z0-9+.-]*://\S+|\b[\w.-]+:\d{2,5}\b|\b\d{1,3}(?:\.\d{1,3}){3}\b|\bsk-[\w*.-]+", re.IGNORECASE
)


def translate_error(error: Exception) -> LanguageModelError:
    """Translate a client error into a Leadline error: by its type first, then by the server's message."""
    if (too_much := find_response_too_large_error(error)) is not None:
        return LanguageModelReplyTooLargeError(str(too_much))
    match error:
        case openai.APITimeoutError() | httpx2.TimeoutException():
            if any(isinstance(each, _UNCONNECTED_TIMEOUTS) for each in _iter_causes(error)):
                return LanguageModelUnavailableError(
                    "Connecting to the language model timed out.", sent=False, silent=True
                )
            return LanguageModelTimeoutError("The language model did not answer in time.")
        case openai.APIConnectionError() | httpx2.HTTPError():
            if any(isinstance(each, httpx2.ConnectError) for each in _iter_causes(error)):
                return LanguageModelUnavailableError("The language model could not be reached.", sent=False)
            return LanguageModelUnavailableError("The language model's answer was interrupted.", reached=True)
        case openai.APIError() if error.code in _CONTEXT_CODES or _CONTEXT_WORDS.search(_extract_message(error)):
            return ContextTooLongError(f"The prompt is too long for the language model: {_extract_message(error)}")
        case openai.APIStatusError():
            return _translate_status_error(error)
        case openai.APIError(code=LanguageModelRefusedError.code):
            # Our own server may detect only after the stream has begun that the prompt is too long.
            return LanguageModelRefusedError(_extract_message(error))
        case openai.APIError() if not isinstance(error, openai.APIResponseValidationError):
            return LanguageModelUnavailableError(
                f"The language model's answer was interrupted: {_extract_message(error)}", reached=True
            )
        case _:
            return LanguageModelOutputError("The language model's response is unusable.")


def _translate_status_error(error: openai.APIStatusError) -> LanguageModelError:
    status = error.response.status_code
    if status in _LATE_STATUSES:
        return LanguageModelTimeoutError(f"The language model did not answer in time: {_extract_message(error)}")
    if status in _BUSY_STATUSES or status >= 500:
        return LanguageModelUnavailableError(
            f"The language model is not available: {_extract_message(error)}",
            retry_after_seconds=_parse_retry_after(error),
            reached=status == _BROKEN_STATUS,
        )
    return LanguageModelRefusedError(f"The language model's server rejected the request: {_extract_message(error)}")


def _iter_causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _extract_message(error: openai.APIError) -> str:
    """Return the first line of the server's message, without addresses and keys.

    Callers see the message, and some servers repeat the key in their messages.
    """
    body = error.body if isinstance(error.body, dict) else {}
    sentence = str(body.get("message") or error.message).split("\n", 1)[0]
    return _PRIVATE_TEXT.sub("…", sentence)[:300]


def _parse_retry_after(error: openai.APIStatusError) -> float | None:
    """Return the seconds to wait, parsed from a number or a date, or None if the response contains neither."""
    said = error.response.headers.get("retry-after", "")
    try:
        seconds = float(said)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(said) - datetime.now(UTC)).total_seconds()
        except (TypeError, ValueError):
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None
