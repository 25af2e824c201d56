"""Turns messages into token ids without truncation, and treats control tokens in a message as plain text."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from rlm.errors import ContextTooLongError
from rlm.llm.local.protocol import ChatMessage

TokenIds = npt.NDArray[np.int64]

# A noncharacter. Unicode reserves it for internal use by programs, so no text should contain this character.
_SEAM = "\ufdd0"
_REPLACEMENT = "\ufffd"
_CONTROL_TOKEN = re.compile(rb"<\|[a-z_]+\|>")


class ChatTokenizer(Protocol):
    """The vendor's tokenizer. `encode` may silently truncate its input to `encode_limit` tokens."""

    @property
    def encode_limit(self) -> int: ...

    @property
    def control_tokens(self) -> Sequence[str]: ...

    def render_messages(self, messages: Sequence[Mapping[str, str]]) -> str: ...

    def encode(self, text: str) -> TokenIds: ...


class PromptEncoder:
    """Renders messages with the model's chat template and tokenizes them.

    A message that contains a control token such as `<|im_start|>` could otherwise end its own turn and impersonate the
    system. The text itself is not changed, but the control token is tokenized in two pieces, so that the model reads
    ordinary characters.
    """

    def __init__(self, tokenizer: ChatTokenizer, *, context_tokens: int) -> None:
        self._tokenizer = tokenizer
        self._limit = min(context_tokens, tokenizer.encode_limit)
        self._seams = [(token, token[:1] + _SEAM + token[1:]) for token in tokenizer.control_tokens]

    def encode(self, messages: Sequence[ChatMessage], *, answer_tokens: int) -> TokenIds:
        """Return the prompt's token ids.

        Raises `ContextTooLongError` if the prompt and `answer_tokens` together do not fit in the window.
        """
        rendered = self._tokenizer.render_messages(
            [
                {"role": message.role, "content": self._neutralize_control_tokens(message.content)}
                for message in messages
            ]
        )
        encoded = [self._tokenizer.encode(piece) for piece in rendered.split(_SEAM) if piece]
        # A piece that reaches the tokenizer's limit may have been truncated, and is too long for a prompt in any case.
        count = sum(len(ids) for ids in encoded)
        if count + answer_tokens > self._limit:
            raise ContextTooLongError(
                f"The prompt has at least {count:,} tokens and {answer_tokens:,} are reserved for the answer, but the "
                f"model's context window has only {self._limit:,} tokens.",
            )
        return np.concatenate(encoded)

    def _neutralize_control_tokens(self, content: str) -> str:
        text = content.encode("utf-8", "replace").decode().replace(_SEAM, _REPLACEMENT)
        for token, parted in self._seams:
            text = text.replace(token, parted)
        return text


class GGUFTokenizer:
    """A `ChatTokenizer` that wraps the vendor's tokenizer, with the bytes of every token for decoding.

    The vendor's tokenizer decodes to text, which cannot represent a token that is only part of a character.
    """

    encode_limit = 8192
    """The length at which the graph inside the GGUF truncates its input, regardless of `max_length` (2026.4.1)."""

    def __init__(self, vendor_tokenizer: Any) -> None:  # noqa: ANN401  (the vendor's classes are untyped)
        self._vendor = vendor_tokenizer
        vocabulary: dict[bytes, int] = vendor_tokenizer.get_vocab()
        control = {token: token_id for token, token_id in vocabulary.items() if _CONTROL_TOKEN.fullmatch(token)}
        self.control_tokens: Sequence[str] = sorted(token.decode() for token in control)
        self.token_bytes: list[bytes] = [b""] * (max(vocabulary.values()) + 1)
        for token, token_id in vocabulary.items():
            self.token_bytes[token_id] = b"" if token in control else token

    def render_messages(self, messages: Sequence[Mapping[str, str]]) -> str:
        """Render the conversation with the model's chat template, up to the start of the assistant's turn."""
        rendered: str = self._vendor.apply_chat_template([dict(message) for message in messages], True)
        return rendered

    def encode(self, text: str) -> TokenIds:
        """Return the token ids of `text`. Control tokens in the text are recognized."""
        return np.array(self._vendor.encode(text, add_special_tokens=False).input_ids.data[0], dtype=np.int64)
