"""The tokenizer that OpenVINO GenAI reads out of a GGUF file."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rlm.llm.local.prompt import TokenIds

_CONTROL_TOKEN = re.compile(rb"<\|[a-z_]+\|>")


class GGUFTokenizer:
    """A `ChatTokenizer` over the vendor's object, and the bytes of every token for decoding.

    The vendor decodes to text, which cannot express a token that is half a character; bytes can.
    """

    encode_limit = 8192
    """Where the graph inside the GGUF cuts, whatever `max_length` says (2026.4.1)."""

    def __init__(self, vendor_tokenizer: Any) -> None:  # noqa: ANN401  (the vendor's classes are untyped)
        self._vendor = vendor_tokenizer
        vocabulary: dict[bytes, int] = vendor_tokenizer.get_vocab()
        control = {token: token_id for token, token_id in vocabulary.items() if _CONTROL_TOKEN.fullmatch(token)}
        self.control_tokens: Sequence[str] = sorted(token.decode() for token in control)
        self.token_bytes: list[bytes] = [b""] * (max(vocabulary.values()) + 1)
        for token, token_id in vocabulary.items():
            self.token_bytes[token_id] = b"" if token in control else token

    def render(self, messages: Sequence[Mapping[str, str]]) -> str:
        """The conversation in the model's chat template, open for the assistant's turn."""
        rendered: str = self._vendor.apply_chat_template([dict(message) for message in messages], True)
        return rendered

    def encode(self, text: str) -> TokenIds:
        """Token ids of `text`; control tokens written in it are recognised."""
        return np.array(self._vendor.encode(text, add_special_tokens=False).input_ids.data[0], dtype=np.int64)
