"""One request on its way through the engine."""

import codecs
from collections.abc import Sequence
from typing import Any

from rlm.errors import LanguageModelError
from rlm.llm.local.generation import Emit, Failed, Finished, FinishReason, GenerationRequest, TextDelta, Usage
from rlm.llm.local.prompt import TokenIds

# A small model under a schema may emit white space, which every schema allows between values, until its tokens run out.
_RUNAWAY_WHITESPACE = 100


class InFlight:
    """One request on its way through the engine; only the stepping thread changes it, except for `cancelled`."""

    def __init__(self, request: GenerationRequest, prompt: TokenIds, emit: Emit) -> None:
        self.request = request
        self.prompt = prompt
        self.emit = emit
        self.cancelled = False
        self.handle: Any = None
        # What is half a character is held back until the rest of it comes.
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._completion_tokens = 0
        self._whitespace_run = 0

    @property
    def json_schema(self) -> str | None:
        return self.request.json_schema

    def cancel(self) -> None:
        self.cancelled = True

    @property
    def started(self) -> bool:
        """Whether prefill is over."""
        return self._completion_tokens > 0

    def take(self, token_bytes: Sequence[bytes]) -> FinishReason | None:
        """Send the text of new tokens; a reason when they end the answer although the model would go on."""
        for piece in token_bytes:
            self._completion_tokens += 1
            self._send(self._decoder.decode(piece))
            if self._runs_away(piece):
                return "length"
        return None

    def finish(self, reason: FinishReason) -> None:
        self._send(self._decoder.decode(b"", final=True))
        if not self.cancelled:
            self.emit(Finished(reason, Usage(len(self.prompt), self._completion_tokens)))

    def fail(self, error: LanguageModelError) -> None:
        if not self.cancelled:
            self.emit(Failed(error))

    def _send(self, text: str) -> None:
        if text and not self.cancelled:
            self.emit(TextDelta(text))

    def _runs_away(self, piece: bytes) -> bool:
        self._whitespace_run = self._whitespace_run + len(piece) if piece.isspace() else 0
        return self.request.json_schema is not None and self._whitespace_run > _RUNAWAY_WHITESPACE
