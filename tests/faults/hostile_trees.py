"""Random trees of runs whose callers want everything: endless loops, huge batches, recursion, unlimited children.

    python -m tests.faults.hostile_trees --trees 1000

What was promised to a tree is measured at the model, not in the budget: requests that arrived, and for tokens what
finished requests used and those under way may still use. Ends with 1 if any tree got more than its limits.
"""

import argparse
import asyncio
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessageChunk, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGenerationChunk, ChatResult

from rlm.errors import BudgetExhaustedError, LanguageModelUnavailableError, RunCancelledError
from rlm.llm.budgets import Budget, Limits
from rlm.llm.completion import estimate_prompt_tokens
from rlm.llm.port import SubCall, SubFailure, SubReply
from rlm.llm.profiles import ModelProfile
from rlm.llm.scheduler import SubCallScheduler
from tests.fakes.callable_chat import whole

PROFILE = ModelProfile("hostile", 4_000, 64, parallel_calls=8)
_SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
_MOST_ACTIONS = 25
_MOST_TRIES = 60


@dataclass
class Meter:
    """What one tree's requests came to; `highest` is the most that was used and promised at any time."""

    calls: int = 0
    used: Counter[str] = field(default_factory=Counter)
    promised: Counter[str] = field(default_factory=Counter)
    highest: Counter[str] = field(default_factory=Counter)

    def arrive(self, prompt: int, completion: int) -> None:
        self.calls += 1
        self.promised.update(prompt_tokens=prompt, completion_tokens=completion)
        self.highest["calls"] = self.calls
        for name in ("prompt_tokens", "completion_tokens"):
            self.highest[name] = max(self.highest[name], self.used[name] + self.promised[name])

    def leave(self, prompt: int, completion: int, used_prompt: int, used_completion: int) -> None:
        self.promised.subtract({"prompt_tokens": prompt, "completion_tokens": completion})
        self.used.update(prompt_tokens=used_prompt, completion_tokens=used_completion)

    def overshoot(self, limits: Limits) -> dict[str, int]:
        given = {name: getattr(limits, name) for name in ("calls", "prompt_tokens", "completion_tokens")}
        return {name: self.highest[name] - limit for name, limit in given.items() if limit is not None}


class MeteredChat(BaseChatModel):
    """Fails, breaks off, answers nonsense and takes its time; an honest server all the same: it counts what it did."""

    meter: Any
    rng: Any

    @property
    def _llm_type(self) -> str:
        return "metered"

    def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:  # noqa: ANN401 - the base class's signature
        raise AssertionError("sub-calls are asynchronous")

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,  # noqa: ANN401 - the base class's signature
    ) -> ChatResult:
        return whole(await self._reply(messages, kwargs, streamed=False))

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,  # noqa: ANN401 - the base class's signature
    ) -> AsyncIterator[ChatGenerationChunk]:
        yield await self._reply(messages, kwargs, streamed=True)

    async def _reply(
        self, messages: list[BaseMessage], kwargs: dict[str, Any], *, streamed: bool
    ) -> ChatGenerationChunk:
        system, prompt = (str(message.content) for message in messages)
        most = estimate_prompt_tokens(SubCall(system, prompt, 0)), int(kwargs["max_tokens"])
        # The budget counts a call in full if the caller gives up before the count arrives; so does this meter.
        used = most[0], 0 if streamed else most[1]
        self.meter.arrive(*most)
        try:
            for _ in range(self.rng.randrange(4)):
                await asyncio.sleep(0)
            fate = self.rng.random()
            if fate < 0.1:
                used = 0, 0
                raise LanguageModelUnavailableError("Busy.")
            written = self.rng.randint(1, most[1])
            used = self.rng.randint(1, most[0]), written
            text = self.rng.choice(['{"n": 1}', "nonsense", ""])
            usage = UsageMetadata(input_tokens=used[0], output_tokens=written, total_tokens=sum(used))
            finish = "length" if written == most[1] else "stop"
            return ChatGenerationChunk(
                message=AIMessageChunk(content=text, usage_metadata=usage), generation_info={"finish_reason": finish}
            )
        finally:
            self.meter.leave(*most, *used)


class Hostile:
    """One tree: whatever it is refused, it tries again, deeper and with more."""

    def __init__(self, scheduler: SubCallScheduler, seed: int) -> None:
        self._rng = random.Random(seed)
        self.limits = self._limits()
        self.meter = Meter()
        self._chat = MeteredChat(meter=self.meter, rng=random.Random(seed + 1))
        self._scheduler = scheduler
        self._actions = 0
        self._asked = 0
        self.refused = 0
        self.root = Budget(self.limits)

    def play(self) -> "Hostile":
        self._play(self.root)
        return self

    def _play(self, budget: Budget) -> None:
        tricks: tuple[Callable[[Budget], object], ...] = (
            self._loop,
            lambda here: self._run(here, self._rng.randint(1, 20)),
            lambda here: self._run(here, 1_000),
            self._child,
            self._children_at_once,
            self._cancelled,
        )
        while self._actions < _MOST_ACTIONS:
            self._actions += 1
            self._rng.choice(tricks)(budget)
            if self._rng.random() < 0.2:
                return

    def _children_at_once(self, budget: Budget) -> None:
        threads = [threading.Thread(target=self._child, args=(budget,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _loop(self, budget: Budget) -> None:
        failures = 0
        for _ in range(_MOST_TRIES):
            (result,) = self._run(budget, 1)
            failures += isinstance(result, SubFailure) and result.code == BudgetExhaustedError.code
            if failures > 5:
                return

    def _child(self, budget: Budget) -> None:
        try:
            child = budget.create_child(
                Limits(calls=10**9, prompt_tokens=10**12, completion_tokens=10**12, depth=10**6)
            )
        except BudgetExhaustedError:
            self.refused += 1
            return
        self._play(child)

    def _cancelled(self, budget: Budget) -> None:
        asked = iter(range(100))
        bound = self._scheduler.bind_sub_calls(self._chat, PROFILE, tenant_id="t", budget=budget, run=self)
        try:
            bound.run(self._calls(30), cancelled=lambda: next(asked) > 0)
        except RunCancelledError:
            return

    def _run(self, budget: Budget, count: int) -> Sequence[SubReply | SubFailure]:
        bound = self._scheduler.bind_sub_calls(self._chat, PROFILE, tenant_id="t", budget=budget, run=self)
        results = bound.run(self._calls(count))
        self.refused += sum(isinstance(each, SubFailure) and each.code == BudgetExhaustedError.code for each in results)
        return results

    def _calls(self, count: int) -> list[SubCall]:
        self._asked += count
        words = "x" * self._rng.randrange(100)
        schema = self._rng.choice((None, _SCHEMA))
        return [
            SubCall("Be bad.", f"{self._asked} {number} {words}", self._rng.randint(1, 64), schema)
            for number in range(count)
        ]

    def _limits(self) -> Limits:
        rng = self._rng
        return Limits(
            calls=rng.randrange(40),
            prompt_tokens=rng.choice((None, rng.randrange(4_000))),
            completion_tokens=rng.choice((None, rng.randrange(1_200))),
            depth=rng.randrange(5),
        )


@dataclass
class Outcome:
    """What many trees came to; overshoot is the worst of any tree, and 0 or less where every limit was kept."""

    trees: int = 0
    requests: int = 0
    refused: int = 0
    over: Counter[str] = field(default_factory=Counter)
    worst: dict[str, int] = field(default_factory=dict)
    unsettled: int = 0

    def add(self, tree: Hostile) -> None:
        self.trees += 1
        self.requests += tree.meter.calls
        self.refused += tree.refused
        self.unsettled += tree.root._reserved.calls
        for name, by in tree.meter.overshoot(tree.limits).items():
            self.over[name] += by > 0
            self.worst[name] = max(self.worst.get(name, by), by)


def play_trees(trees: int, *, seed: int = 0, at_once: int = 4) -> Outcome:
    """Plays them, some at a time over one scheduler."""

    async def at_once_sleep(seconds: float) -> None:
        await asyncio.sleep(0)

    outcome = Outcome()
    scheduler = SubCallScheduler(sleep=at_once_sleep)
    try:
        with ThreadPoolExecutor(at_once) as pool:
            played = [pool.submit(Hostile(scheduler, seed * 1_000_003 + number).play) for number in range(trees)]
            for each in played:
                outcome.add(each.result())
    finally:
        scheduler.close()
    return outcome


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.hostile_trees", description=__doc__)
    parser.add_argument("--trees", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    begun = time.monotonic()
    outcome = play_trees(options.trees, seed=options.seed)
    print(
        f"{outcome.trees} trees, {outcome.requests:,} requests, {outcome.refused:,} refused, "
        f"{time.monotonic() - begun:.0f} s. Trees over their limit: {dict(outcome.over)}; closest to it, or past it: "
        f"{outcome.worst}. Reservations left open: {outcome.unsettled}."
    )
    return int(outcome.over.total() > 0 or outcome.unsettled > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
