"""A batch of sub-calls as its run sees it: one result each, told as soon as it is there, and an end when it must be."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from queue import Empty, SimpleQueue
from typing import Any, Protocol

import structlog

from ingest.catalog.replies import StoredReply
from rlm.cancelling import not_cancelled
from rlm.errors import AnswerError, BudgetExhaustedError, RunCancelledError
from rlm.llm.cache import reply_key
from rlm.llm.completion import prompt_tokens
from rlm.llm.port import Finished, SubCall, SubFailure, SubReply, ignore
from rlm.llm.request import Line
from rlm.usage import Usage

log = structlog.get_logger(__name__)

_POLL_SECONDS = 0.1
# Closing connections takes milliseconds; a model that runs in a thread cannot be stopped and is left behind.
_GRACE_SECONDS = 1.0
# When one of these is gone no other call fits either; tokens that do not cover a large call may cover a small one.
_NOTHING_FITS_WITHOUT = frozenset({"calls", "seconds"})

Ended = Callable[[BaseException | None], None]


class Calling(Protocol):
    """What a batch needs of the scheduler."""

    def start(self, work: Coroutine[Any, Any, None], ended: Ended) -> Callable[[], None]: ...

    def cached(self, tenant_id: str, keys: Sequence[str]) -> Mapping[str, StoredReply]: ...

    def reply(self, line: Line, key: str, call: SubCall, used: list[Usage]) -> Awaitable[SubReply]: ...


class BoundSubCalls:
    """The port of sub-calls, for one run and one budget."""

    def __init__(self, scheduler: Calling, line: Line) -> None:
        self._scheduler = scheduler
        self._line = line

    def run(
        self, calls: Sequence[SubCall], *, cancelled: Callable[[], bool] = not_cancelled, finished: Finished = ignore
    ) -> Sequence[SubReply | SubFailure]:
        """As the port says; `finished` is called in the thread of `run`."""
        if cancelled():
            raise RunCancelledError("The run was cancelled.")
        batch = _Batch(self._scheduler, self._line, calls)
        if batch.todo:
            _follow(batch, self._scheduler, cancelled, finished)
        batch.tell_rest(finished)
        return batch.results()


class _Batch:
    """Calls that were made together, equal ones as one.

    As many are on their way as the model takes twice over: some wait to be sent again, or to be kept.
    """

    def __init__(self, scheduler: Calling, line: Line, calls: Sequence[SubCall]) -> None:
        self._scheduler = scheduler
        self._line = line
        self._calls = calls
        self._positions: defaultdict[str, list[int]] = defaultdict(list)
        for position, call in enumerate(calls):
            self._positions[reply_key(line.tenant_id, line.profile, call)].append(position)
        kept = scheduler.cached(line.tenant_id, list(self._positions))
        self._outcomes: dict[str, SubReply | SubFailure] = {key: kept_reply(reply) for key, reply in kept.items()}
        self._told: set[str] = set()
        self._over = _failed(BudgetExhaustedError("The run's time is over."))
        # What was refused for good, by the kind of token: as many or more need not be asked for again.
        self._too_many: dict[str, tuple[int, SubFailure]] = {}
        self._ended = False
        self.todo = [key for key in self._positions if key not in kept]
        self.ready: SimpleQueue[str | None] = SimpleQueue()
        self.raised: BaseException | None = None

    async def run(self) -> None:
        ahead = iter(self.todo)
        carriers = min(len(self.todo), 2 * self._line.profile.parallel_calls)
        try:
            async with asyncio.timeout(self._line.budget.remaining().seconds), asyncio.TaskGroup() as group:
                for _ in range(carriers):
                    group.create_task(self._carry(ahead))
        except TimeoutError:
            self._ended = True

    def ended(self, raised: BaseException | None) -> None:
        self.raised = raised
        self.ready.put(None)

    def tell(self, key: str, finished: Finished) -> None:
        """Only the first of equal calls shows what was paid."""
        self._told.add(key)
        outcome = self._outcomes.get(key, self._over)
        for position in self._positions[key]:
            finished(position, outcome)
            outcome = _repeated(outcome)

    def tell_rest(self, finished: Finished) -> None:
        for key in self._positions:
            if key not in self._told:
                self.tell(key, finished)

    def results(self) -> list[SubReply | SubFailure]:
        results: list[SubReply | SubFailure] = [self._over] * len(self._calls)
        for key in self._positions:
            self.tell(key, results.__setitem__)
        return results

    async def _carry(self, ahead: Iterator[str]) -> None:
        for key in ahead:
            if self._ended:
                return
            await self._call(key)
            self.ready.put(key)

    async def _call(self, key: str) -> None:
        used: list[Usage] = []
        call = self._calls[self._positions[key][0]]
        if refused := self._refused(call):
            self._outcomes[key] = refused
            return
        try:
            self._outcomes[key] = await self._scheduler.reply(self._line, key, call, used)
        except asyncio.CancelledError:
            self._outcomes[key] = replace(self._over, usage=_sum(used))
            raise
        except BudgetExhaustedError as error:
            self._outcomes[key] = _failed(error, used)
            if not error.may_fit_later:
                self._remember(error, call)
        except AnswerError as error:
            self._outcomes[key] = _failed(error, used)
        except Exception as error:
            log.exception("a sub-call failed for a reason that is not foreseen", error=repr(error))
            self._outcomes[key] = SubFailure("internal_error", "The sub-call failed inside Leadline.", _sum(used))

    def _remember(self, error: BudgetExhaustedError, call: SubCall) -> None:
        if error.resource in _NOTHING_FITS_WITHOUT:
            self._ended, self._over = True, _failed(error)
        elif (tokens := self._tokens(error.resource, call)) is not None:
            known, _ = self._too_many.get(error.resource, (tokens, None))
            self._too_many[error.resource] = (min(known, tokens), _failed(error))

    def _refused(self, call: SubCall) -> SubFailure | None:
        for resource, (least, failure) in self._too_many.items():
            tokens = self._tokens(resource, call)
            if tokens is not None and tokens >= least:
                return failure
        return None

    def _tokens(self, resource: str, call: SubCall) -> int | None:
        if resource == "completion_tokens":
            return call.max_tokens
        return prompt_tokens(call, self._line.profile) if resource == "prompt_tokens" else None


def kept_reply(kept: StoredReply) -> SubReply:
    """A reply out of the cache, with the usage of the call that paid."""
    return SubReply(kept.text, Usage(kept.calls, kept.prompt_tokens, kept.completion_tokens), cached=True)


def _follow(batch: _Batch, scheduler: Calling, cancelled: Callable[[], bool], finished: Finished) -> None:
    """Tell results as they come until the batch has ended; give it up when it is cancelled or `finished` raises."""
    give_up = scheduler.start(batch.run(), batch.ended)
    asked = time.monotonic()
    try:
        while True:
            key = _next(batch.ready, _POLL_SECONDS)
            if key is None:
                break
            if key:
                batch.tell(key, finished)
            if time.monotonic() - asked >= _POLL_SECONDS:
                asked = time.monotonic()
                if cancelled():
                    raise RunCancelledError("The run was cancelled.")
    except BaseException:
        give_up()
        deadline = time.monotonic() + _GRACE_SECONDS
        while _next(batch.ready, max(0.0, deadline - time.monotonic())):
            pass
        raise
    if batch.raised is not None:
        raise batch.raised


def _next(ready: SimpleQueue[str | None], seconds: float) -> str | None:
    """The next key, None at the end, and nothing ("") when there was none for so long."""
    try:
        return ready.get(timeout=seconds)
    except Empty:
        return ""


def _repeated(outcome: SubReply | SubFailure) -> SubReply | SubFailure:
    return replace(outcome, cached=True) if isinstance(outcome, SubReply) else replace(outcome, usage=Usage())


def _failed(error: AnswerError, used: Iterable[Usage] = ()) -> SubFailure:
    return SubFailure(error.code, error.detail, _sum(used), error)


def _sum(used: Iterable[Usage]) -> Usage:
    return sum(used, Usage())
