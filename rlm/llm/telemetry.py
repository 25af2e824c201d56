"""Spans of calls of language models, in OpenTelemetry's conventions for generative AI, version 0.1.0.

The conventions are in development: whatever they change, changes here alone. What was asked and replied is never part.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry.trace import SpanKind

from ingest.tracing import Value, span
from rlm.usage import Usage

OPERATION = "gen_ai.operation.name"
MODEL = "gen_ai.request.model"
MAX_TOKENS = "gen_ai.request.max_tokens"
INPUT_TOKENS = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
ERROR = "error.type"
PURPOSE = "leadline.call.purpose"


class ChatSpan:
    """The span of a request that is under way."""

    def __init__(self) -> None:
        self.usage = Usage()
        self.error: str | None = None


@contextmanager
def chat_span(model: str, purpose: str, max_tokens: int) -> Iterator[ChatSpan]:
    """Time a request to `model`; what the block writes into the `ChatSpan` becomes attributes."""
    noted = ChatSpan()
    attributes: dict[str, Value] = {OPERATION: "chat", MODEL: model, MAX_TOKENS: max_tokens, PURPOSE: purpose}
    with span(f"chat {model}", attributes, kind=SpanKind.CLIENT) as made:
        try:
            yield noted
        finally:
            made.set_attribute(INPUT_TOKENS, noted.usage.prompt_tokens)
            made.set_attribute(OUTPUT_TOKENS, noted.usage.completion_tokens)
            if noted.error:
                made.set_attribute(ERROR, noted.error)
