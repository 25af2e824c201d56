"""OpenVINO GenAI as an engine: one pipeline, one thread that steps it, many concurrent requests.

Defects of release 2026.4.1 that this module works around, each with a test on the real model:

* The tokenizer inside a GGUF file silently cuts its input at 8,192 tokens, so `PromptEncoder` counts the tokens.
* Cancelling a request during its prefill, while another request decodes, leaves a half-filled block in the prefix
  cache. The next prompt with the same beginning loses those tokens, or is answered "!!!!". Cancelling therefore waits
  for the first token.
* A JSON schema that cannot be compiled makes `step()` raise. If nothing else is running, the request can be dropped;
  if others are running, the pipeline never steps again. The first request with a schema is therefore started alone.
* `step()` holds the GIL, so the engine has its own process, whose other threads may run between steps.
* A step computes whole prompts if it can, and decoding waits for it, so `batch_tokens` limits a step.
"""

import codecs
import logging
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import openvino_genai

from rlm.errors import LanguageModelError, LanguageModelRefusedError, LanguageModelUnavailableError
from rlm.llm.local.prompt import GGUFTokenizer, PromptEncoder, TokenIds
from rlm.llm.local.protocol import (
    Emit,
    EngineLimits,
    FailedEvent,
    FinishedEvent,
    FinishReason,
    GenerationRequest,
    TextDelta,
    TokenUsage,
)

# Maximum number of white-space characters in a row. Under a schema, a small model may keep writing white space until it
# reaches the token limit, because every schema allows white space between values.
_RUNAWAY_WHITESPACE = 100


class InFlightRequest:
    """One request in the engine. Only the stepping thread changes the object, except for `cancelled`."""

    def __init__(self, request: GenerationRequest, prompt: TokenIds, emit: Emit) -> None:
        self.request = request
        self.prompt = prompt
        self.emit = emit
        self.cancelled = False
        self.handle: Any = None
        # An incomplete character at the end is held back until its remaining bytes arrive.
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._completion_tokens = 0
        self._whitespace_run = 0

    @property
    def json_schema(self) -> str | None:
        return self.request.json_schema

    def cancel(self) -> None:
        self.cancelled = True

    @property
    def has_started(self) -> bool:
        """True once prefill is over."""
        return self._completion_tokens > 0

    def add_tokens(self, token_bytes: Sequence[bytes]) -> FinishReason | None:
        """Send the text of new tokens.

        Returns a finish reason if the answer must end here although the model would continue.
        """
        for piece in token_bytes:
            self._completion_tokens += 1
            self._send_text(self._decoder.decode(piece))
            if self._is_runaway_whitespace(piece):
                return "length"
        return None

    def finish(self, reason: FinishReason) -> None:
        self._send_text(self._decoder.decode(b"", final=True))
        if not self.cancelled:
            self.emit(FinishedEvent(reason, TokenUsage(len(self.prompt), self._completion_tokens)))

    def fail(self, error: LanguageModelError) -> None:
        if not self.cancelled:
            self.emit(FailedEvent(error))

    def _send_text(self, text: str) -> None:
        if text and not self.cancelled:
            self.emit(TextDelta(text))

    def _is_runaway_whitespace(self, piece: bytes) -> bool:
        self._whitespace_run = self._whitespace_run + len(piece) if piece.isspace() else 0
        return self.request.json_schema is not None and self._whitespace_run > _RUNAWAY_WHITESPACE


log = logging.getLogger(__name__)

_RUNNING = openvino_genai.GenerationStatus.RUNNING
_IGNORED = openvino_genai.GenerationStatus.IGNORED
_LENGTH = openvino_genai.GenerationFinishReason.LENGTH

_PROVEN_SCHEMAS_KEPT = 1_000
_SCHEMA_HINT = "Use types, properties, enums, arrays and local references."
_FULL_RETRY_SECONDS = 5.0


def load_pipeline(model_path: Path, limits: EngineLimits) -> openvino_genai.ContinuousBatchingPipeline:
    """Load the model, which takes 10 to 15 seconds.

    Raises `LanguageModelUnavailableError` if the file is not a model.
    """
    scheduler = openvino_genai.SchedulerConfig()
    scheduler.cache_size = limits.cache_gigabytes
    scheduler.max_num_batched_tokens = limits.batch_tokens
    scheduler.max_num_seqs = limits.max_running
    scheduler.enable_prefix_caching = True
    try:
        return openvino_genai.ContinuousBatchingPipeline(str(model_path), scheduler, "CPU", {})
    except (RuntimeError, IndexError) as error:  # If a file's header lacks a key, the library raises IndexError.
        raise LanguageModelUnavailableError(
            f"The model file {model_path.name} cannot be loaded: {_extract_reason(error)}",
            hint="Download the file again with `leadline models fetch`.",
        ) from error


class OpenVINOEngine:
    """Continuous batching over one pipeline, which only this engine steps.

    Creating the engine runs a first inference, which takes seconds. Raises `LanguageModelUnavailableError` if that
    inference fails. `on_broken` is called from the stepping thread when the pipeline can no longer be used and the
    process must be replaced.
    """

    def __init__(
        self,
        pipeline: openvino_genai.ContinuousBatchingPipeline,
        limits: EngineLimits,
        *,
        on_broken: Callable[[], None],
    ) -> None:
        self._limits = limits
        self._on_broken = on_broken
        self._pipeline = pipeline
        tokenizer = GGUFTokenizer(pipeline.get_tokenizer())
        self._token_bytes = tokenizer.token_bytes
        self._encoder = PromptEncoder(tokenizer, context_tokens=self._limits.context_tokens)
        self._waiting: deque[InFlightRequest] = deque()
        self._running: list[InFlightRequest] = []
        self._proven_schemas: set[str] = set()
        self._request_ids = 0
        self._changed = threading.Condition()
        self._broken = False
        self._warm = threading.Event()
        self._stepper = threading.Thread(target=self._run_steps, name="openvino-stepper", daemon=True)
        self._stepper.start()
        self._warm.wait()
        if self._broken:
            raise LanguageModelUnavailableError("The language model was loaded, but its first inference failed.")

    def submit(self, request: GenerationRequest, emit: Emit) -> InFlightRequest:
        """Queue the request; see `rlm.llm.local.protocol.Engine`."""
        prompt = self._encoder.encode(request.messages, answer_tokens=request.max_tokens or 1)
        asked = InFlightRequest(request, prompt, emit)
        with self._changed:
            if self._broken:
                raise LanguageModelUnavailableError("The language model has failed.")
            if len(self._waiting) >= self._limits.max_waiting:
                raise LanguageModelUnavailableError(
                    f"{len(self._waiting)} requests are already waiting for the language model.",
                    hint="Try again in a few seconds.",
                    retry_after_seconds=_FULL_RETRY_SECONDS,
                )
            self._waiting.append(asked)
            self._changed.notify()
        return asked

    def _run_warm_up(self) -> None:
        # The first inference packs the weights for the calling thread. This takes seconds, so it is done before a user
        # can wait for it. A prompt of a full batch and two more tokens runs both a prefill and a decoding step. Unlike
        # `step`, `generate` releases the GIL, so the server can respond in the meantime.
        ids = np.zeros(self._limits.batch_tokens + 2, dtype=np.int64)
        config = self._build_config(GenerationRequest((), max_tokens=2), len(ids))
        self._pipeline.generate([_build_prompt_tensor(ids)], [config])

    def _run_steps(self) -> None:
        try:
            self._run_warm_up()
            self._warm.set()
            while True:
                self._wait_for_work()
                self._drop_cancelled_requests()
                self._admit_requests()
                self._run_step()
                self._running = [each for each in self._running if self._is_still_running(each)]
                # The step held the GIL, so pause to let the threads that receive and send run before the next step.
                time.sleep(self._limits.pause_seconds)
        # This is the outermost error handler of the thread. Without it, any error would leave all requests unanswered.
        except Exception:
            log.exception("The pipeline is broken; this process must be replaced.")
            self._fail_all_requests(LanguageModelUnavailableError("The language model failed while answering."))
            self._warm.set()
            self._on_broken()

    def _wait_for_work(self) -> None:
        with self._changed:
            while not (self._waiting or self._pipeline.has_non_finished_requests()):
                self._changed.wait()

    def _drop_cancelled_requests(self) -> None:
        with self._changed:
            self._waiting = deque(generation for generation in self._waiting if not generation.cancelled)
        for generation in self._running:
            if generation.cancelled and generation.has_started:
                generation.handle.cancel()
        self._running = [each for each in self._running if not (each.cancelled and each.has_started)]

    def _admit_requests(self) -> None:
        while generation := self._select_next_request():
            self._request_ids += 1
            config = self._build_config(generation.request, len(generation.prompt))
            try:
                generation.handle = self._pipeline.add_request(
                    self._request_ids, _build_prompt_tensor(generation.prompt), config
                )
            except RuntimeError as error:
                generation.fail(
                    LanguageModelRefusedError(f"The request is not valid: {_extract_reason(error)}", hint="")
                )
                continue
            self._running.append(generation)
            if self._has_untested_schema(generation):
                return

    def _select_next_request(self) -> InFlightRequest | None:
        """Return the next request if a slot is free.

        If the schema of a request has not been tried yet, the request waits until no other request is running.
        """
        with self._changed:
            if not self._waiting or len(self._running) == self._limits.max_running:
                return None
            if self._has_untested_schema(self._waiting[0]) and self._pipeline.has_non_finished_requests():
                return None
            return self._waiting.popleft()

    def _has_untested_schema(self, request: InFlightRequest) -> bool:
        schema = request.json_schema
        return schema is not None and schema not in self._proven_schemas

    def _run_step(self) -> None:
        probing = self._running[0] if self._running and self._has_untested_schema(self._running[0]) else None
        try:
            self._pipeline.step()
        except RuntimeError as error:
            if probing is None:
                raise
            probing.handle.cancel()
            self._running.remove(probing)
            # The pipeline needs a separate step to drop a cancelled request. If another request were running, this step
            # would raise the same error again.
            self._pipeline.step()
            probing.fail(
                LanguageModelRefusedError(
                    f"The JSON schema cannot be used: {_extract_reason(error)}", hint=_SCHEMA_HINT
                )
            )
            return
        if probing is not None and probing.json_schema is not None:
            if len(self._proven_schemas) >= _PROVEN_SCHEMAS_KEPT:
                self._proven_schemas.clear()
            self._proven_schemas.add(probing.json_schema)

    def _is_still_running(self, request: InFlightRequest) -> bool:
        handle = request.handle
        # Read the status before the output. If the status is final, the output that is read after it is complete.
        status = handle.get_status()
        reason: FinishReason = "stop"
        while handle.can_read():
            (output,) = handle.read().values()
            reason = "length" if output.finish_reason == _LENGTH else "stop"
            ended = request.add_tokens([self._token_bytes[token] for token in output.generated_ids])
            if ended is not None:
                handle.stop()
                request.finish(ended)
                return False
        if status == _RUNNING:
            return True
        if status == _IGNORED:
            full = "The language model's cache is full."
            request.fail(LanguageModelUnavailableError(full, retry_after_seconds=_FULL_RETRY_SECONDS))
        else:
            request.finish(reason)
        return False

    def _fail_all_requests(self, error: LanguageModelError) -> None:
        with self._changed:
            self._broken = True
            unfinished = [*self._running, *self._waiting]
            self._waiting.clear()
        self._running = []
        for generation in unfinished:
            generation.fail(error)

    def _build_config(self, request: GenerationRequest, prompt_tokens: int) -> openvino_genai.GenerationConfig:
        config = self._pipeline.get_config()
        config.apply_chat_template = False
        room = self._limits.context_tokens - prompt_tokens
        config.max_new_tokens = request.max_tokens or min(self._limits.default_answer_tokens, room)
        if request.json_schema is not None:
            config.structured_output_config = openvino_genai.StructuredOutputConfig(json_schema=request.json_schema)
        return config


def _build_prompt_tensor(token_ids: TokenIds) -> openvino.Tensor:
    return openvino.Tensor(token_ids.reshape(1, -1))


def _extract_reason(error: Exception) -> str:
    """Return the vendor's message without its reference to a source line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return re.sub(r"^(\[[\d:]+\] )?\S+:\d+: ", "", lines[-1]) if lines else type(error).__name__
