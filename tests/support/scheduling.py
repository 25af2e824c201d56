"""Batches of sub-calls over a model that is a function, and a clock that runs only while somebody sleeps."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from rlm.llm.budgets import Budget, Limits
from rlm.llm.port import SubCall, SubFailure, SubReply
from rlm.llm.profiles import ModelProfile
from rlm.llm.scheduler import SubCallScheduler
from tests.fakes.callable_chat import Answer, CallableChat

PROFILE = ModelProfile("m", context_tokens=4_000, max_output_tokens=400, parallel_calls=4)
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "additionalProperties": False}


class Time:
    """A clock that runs only while somebody sleeps, and then at once."""

    def __init__(self) -> None:
        self.now = 0.0
        self.naps: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.naps.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


def call(prompt: str, max_tokens: int = 50, schema: dict[str, object] | None = None) -> SubCall:
    return SubCall("Be brief.", prompt, max_tokens, schema)


def calls(count: int) -> list[SubCall]:
    return [call(f"q{number}") for number in range(count)]


def chat(answer: Callable[[str], Awaitable[Answer]]) -> CallableChat:
    return CallableChat(answer=answer)


async def echo(prompt: str) -> Answer:
    return f"re {prompt}"


def scripted(*lines: Answer | Exception) -> CallableChat:
    """Gives one line a request, whatever is asked; the last one from then on."""
    rest = list(lines)

    async def answer(_: str) -> Answer:
        line = rest.pop(0) if len(rest) > 1 else rest[0]
        if isinstance(line, Exception):
            raise line
        return line

    return chat(answer)


def run(
    scheduler: SubCallScheduler,
    model: Any,  # noqa: ANN401 - any chat model
    batch: Sequence[SubCall],
    *,
    limits: Limits | None = None,
    profile: ModelProfile = PROFILE,
    tenant: str = "ann",
    background: bool = False,
) -> Sequence[SubReply | SubFailure]:
    budget = Budget(limits or Limits())
    return scheduler.bind_sub_calls(model, profile, tenant_id=tenant, budget=budget, background=background).run(batch)


def texts(results: Sequence[SubReply | SubFailure]) -> list[str]:
    return [each.text if isinstance(each, SubReply) else each.code for each in results]


class Held:
    """A model that answers when a test lets it; `asked` says that a request is there."""

    def __init__(self) -> None:
        self.asked = threading.Semaphore(0)
        self.let = threading.Event()

    async def answer(self, prompt: str) -> Answer:
        self.asked.release()
        while not self.let.is_set():
            await asyncio.sleep(0.005)
        return f"re {prompt}"


def started(work: Callable[[], object]) -> tuple[threading.Thread, list[object]]:
    ends: list[object] = []

    def body() -> None:
        try:
            ends.append(work())
        except Exception as error:  # noqa: BLE001 - the test looks at it
            ends.append(error)

    thread = threading.Thread(target=body)
    thread.start()
    return thread, ends


def until(state: Callable[[], bool]) -> None:
    """The suite's time limit bounds the wait."""
    pause = threading.Event()
    while not state():
        pause.wait(0.005)
