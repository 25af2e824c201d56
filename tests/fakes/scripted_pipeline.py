"""OpenVINO GenAI's pipeline as the engine sees it, with the same traps, and no model.

A token stands for one byte. Every request is prefilled for some steps and then answers, a letter a step, with what
`answers` has for a part of its prompt, or with "abc". A request that wants its prompt back with log probabilities gets
one of minus a hundredth of each byte, but for what the pipeline has read before: a whole sequence that this one goes on
from, or blocks. Two that go on from the same sequence at once, inside a block, spoil each other's.
"""

import threading
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import openvino_genai

_Status = openvino_genai.GenerationStatus
_Reason = openvino_genai.GenerationFinishReason

BAD_SCHEMA = '{"type": "banana"}'
CACHE_BLOCK = 8
END_OF_TURN = 4


class ScriptedTokenizer:
    """Bytes as tokens, one control token, and a template of one line for each message."""

    def get_vocab(self) -> dict[bytes, int]:
        return {**{bytes([byte]): byte for byte in range(256)}, b"<|end|>": 256}

    def apply_chat_template(self, messages: Sequence[Mapping[str, str]], _open: bool) -> str:
        return "".join(f"{message['role']}: {message['content']}\n" for message in messages)

    def encode(self, text: str, *, add_special_tokens: bool) -> Any:  # noqa: ANN401 - the vendor's shape
        assert not add_special_tokens
        return SimpleNamespace(input_ids=SimpleNamespace(data=np.array([list(text.encode())])))


class ScriptedHandle:
    """One request in the pipeline."""

    def __init__(self, answer: bytes, prefill_steps: int, config: Any, told: Sequence[float] = ()) -> None:  # noqa: ANN401
        self.config = config
        self._told = list(told)
        self.status = _Status.RUNNING
        self.left_in_prefill = False
        self.tokens = b""
        self._prefill_steps = prefill_steps
        self._answer = list(answer)
        self._unread: list[int] = []

    def cancel(self) -> None:
        self.status = _Status.CANCEL
        self.left_in_prefill = self._prefill_steps > 0

    def stop(self) -> None:
        self.status = _Status.STOP

    def get_status(self) -> Any:  # noqa: ANN401 - the vendor's enumeration
        return self.status

    def can_read(self) -> bool:
        return bool(self._unread)

    def read(self) -> dict[int, Any]:
        ids, self._unread = self._unread, []
        reason = _Reason.STOP if self.status == _Status.FINISHED else _Reason.NONE
        told, self._told = [*self._told, *([0.0] * len(ids))], []
        return {0: SimpleNamespace(generated_ids=ids, finish_reason=reason, generated_log_probs=told)}

    def advance(self) -> None:
        if self._prefill_steps > 0:
            self._prefill_steps -= 1
        if self._prefill_steps == 0:
            self._unread.append(self._answer.pop(0))
            if not self._answer:
                self.status = _Status.FINISHED


class ScriptedPipeline:
    """`gate` is passed once for every step, so a test decides how far the engine gets; None lets it run.

    `stepped` counts the steps that are over.
    """

    def __init__(
        self,
        *,
        answers: Mapping[str, bytes] | None = None,
        prefill_steps: int = 1,
        gate: threading.Semaphore | None = None,
        broken: bool = False,
    ) -> None:
        self.handles: list[ScriptedHandle] = []
        self.stepped = threading.Semaphore(0)
        self.most_at_once = 0
        self.broken = broken
        self._answers = answers or {}
        self._prefill_steps = prefill_steps
        self._gate = gate
        self._inside: list[ScriptedHandle] = []
        self._read: set[bytes] = set()

    def get_tokenizer(self) -> ScriptedTokenizer:
        return ScriptedTokenizer()

    def get_config(self) -> Any:  # noqa: ANN401 - the vendor's class
        config = openvino_genai.GenerationConfig()
        config.eos_token_id = END_OF_TURN
        return config

    def generate(self, _prompts: Sequence[Any], _configs: Sequence[Any]) -> None:
        if self.broken:
            raise RuntimeError("no inference")

    def add_request(self, _request_id: int, ids: Any, config: Any) -> ScriptedHandle:  # noqa: ANN401
        tokens = bytes(int(token) for token in ids.data[0])
        prompt = tokens.decode()
        answer = next((answer for part, answer in self._answers.items() if part in prompt), b"abc")
        told = self._told(tokens) if config.echo else []
        handle = ScriptedHandle(answer[:1] if config.echo else answer, self._prefill_steps, config, told)
        handle.tokens = tokens
        self.handles.append(handle)
        self._inside.append(handle)
        return handle

    def _told(self, tokens: bytes) -> list[float]:
        cached = self._cached(tokens)
        spoilt = cached % CACHE_BLOCK and any(each.tokens.startswith(tokens[:cached]) for each in self._inside)
        self._read.add(tokens)
        # Nobody computes the probability of the first token after what the cache has.
        return [-99.0 if spoilt else -token / 100 for token in tokens[cached + bool(cached) :]]

    def _cached(self, tokens: bytes) -> int:
        """How many tokens the cache has."""
        blocks = (end for end in range(len(tokens) // CACHE_BLOCK * CACHE_BLOCK, 0, -CACHE_BLOCK))
        in_blocks = next((end for end in blocks if any(each.startswith(tokens[:end]) for each in self._read)), 0)
        return max(in_blocks, *(len(each) for each in self._read if tokens.startswith(each)), 0)

    def has_non_finished_requests(self) -> bool:
        return bool(self._inside)

    def step(self) -> None:
        if self._gate is not None:
            self._gate.acquire()
        running = [handle for handle in self._inside if handle.status == _Status.RUNNING]
        self.most_at_once = max(self.most_at_once, len(running))
        if self.broken:
            raise RuntimeError("[12:00:00] /build/scheduler.cc:1: already in scheduling phase")
        if any(_schema(handle) == BAD_SCHEMA for handle in self._inside) and running:
            # Alone it can still be cancelled; beside another the pipeline never steps again.
            self.broken = len(self._inside) > 1
            raise RuntimeError('[12:00:00] /build/json.cc:898: Unsupported type "banana"')
        for handle in running:
            handle.advance()
        self._inside = [handle for handle in running if handle.status == _Status.RUNNING]
        self.stepped.release()


def _schema(handle: ScriptedHandle) -> str | None:
    structured = handle.config.structured_output_config
    return None if structured is None else structured.json_schema
