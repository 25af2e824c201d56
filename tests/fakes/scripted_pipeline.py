"""OpenVINO GenAI's pipeline as the engine sees it, with the same traps, and no model.

A token stands for one byte. Every request is prefilled for some steps and then answers, a letter a step, with what
`answers` has for a part of its prompt, or with "abc".
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

    def __init__(self, answer: bytes, prefill_steps: int, config: Any) -> None:  # noqa: ANN401
        self.config = config
        self.status = _Status.RUNNING
        self.left_in_prefill = False
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
        return {0: SimpleNamespace(generated_ids=ids, finish_reason=reason)}

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

    def get_tokenizer(self) -> ScriptedTokenizer:
        return ScriptedTokenizer()

    def get_config(self) -> Any:  # noqa: ANN401 - the vendor's class
        return openvino_genai.GenerationConfig()

    def generate(self, _prompts: Sequence[Any], _configs: Sequence[Any]) -> None:
        if self.broken:
            raise RuntimeError("no inference")

    def add_request(self, _request_id: int, ids: Any, config: Any) -> ScriptedHandle:  # noqa: ANN401
        prompt = bytes(int(token) for token in ids.data[0]).decode()
        answer = next((answer for part, answer in self._answers.items() if part in prompt), b"abc")
        handle = ScriptedHandle(answer, self._prefill_steps, config)
        self.handles.append(handle)
        self._inside.append(handle)
        return handle

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
