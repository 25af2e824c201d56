"""One sub-call from its reservation to its reply: sent, sent again where that may help, hedged, and asked once more."""

import asyncio
import statistics
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from math import ceil
from typing import Any

from langchain_core.language_models import BaseChatModel

from rlm.errors import (
    BudgetExhaustedError,
    ContextTooLongError,
    LanguageModelError,
    LanguageModelOutputError,
    LanguageModelRefusedError,
    LanguageModelRestingError,
    LanguageModelTimeoutError,
    LanguageModelUnavailableError,
)
from rlm.llm.budgets import Amount, Budget, Reservation
from rlm.llm.completion import Exchange, converse, prompt_tokens, window_tokens
from rlm.llm.port import SubCall, SubReply
from rlm.llm.profiles import ModelProfile
from rlm.llm.rate_limit import Clock, Lane, RetryBudget, Sleep
from rlm.llm.structured_output import asked_again, require_usable, shaped
from rlm.usage import Usage

_MAX_ATTEMPTS = 4
_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 8.0
# Whoever asks us to come back later than this has refused.
_MAX_RETRY_AFTER_SECONDS = 60.0
# As often a call comes back when it was told to, and is no burden for it: the server chose the time.
_MAX_POSTPONEMENTS = 12
_ENOUGH_FOR_A_MEDIAN = 5
_SOONEST_HEDGE_SECONDS = 1.0
_RECHECK_SECONDS = 1.0
# Refused or never reached: the model did nothing for it.
_UNREAD = (LanguageModelUnavailableError, LanguageModelRefusedError, ContextTooLongError)


class Settlements:
    """Which budgets have requests under way, and a bell for whoever waits for one of them to give something back."""

    def __init__(self) -> None:
        self._under_way: Counter[Budget] = Counter()
        self._waiting: set[asyncio.Future[None]] = set()

    def begin(self, budget: Budget) -> None:
        self._under_way[budget.root] += 1

    def end(self, budget: Budget) -> None:
        self._under_way[budget.root] -= 1
        if not self._under_way[budget.root]:
            del self._under_way[budget.root]
        for woken in self._waiting:
            if not woken.done():
                woken.set_result(None)

    def expected(self, budget: Budget) -> bool:
        """Whether a request of the same tree is under way; what others have reserved may never be settled."""
        return budget.root in self._under_way

    async def next(self) -> None:
        """Until the next request ends, or for a second: other threads settle too, and ring no bell here."""
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(woken)
        try:
            await asyncio.wait({woken}, timeout=_RECHECK_SECONDS)
        finally:
            self._waiting.discard(woken)


@dataclass(frozen=True)
class Line:
    """What the calls of one run to one model have in common; `seconds` are how long the latest of each purpose took."""

    chat: BaseChatModel
    profile: ModelProfile
    tenant_id: str
    budget: Budget
    run: Hashable
    lane: Lane
    retries: RetryBudget
    settlements: Settlements
    clock: Clock
    sleep: Sleep
    jitter: Callable[[], float]
    seconds: defaultdict[str, deque[float]] = field(default_factory=lambda: defaultdict(lambda: deque(maxlen=50)))

    def late_after(self, purpose: str) -> float | None:
        """Seconds after which a call is a straggler of its purpose; None while too few have ended to tell."""
        factor, seconds = self.profile.hedge_after_medians, self.seconds[purpose]
        if factor is None or len(seconds) < _ENOUGH_FOR_A_MEDIAN:
            return None
        return max(_SOONEST_HEDGE_SECONDS, factor * statistics.median(seconds))


class Grant:
    """A place in the lane and a reservation, given back together and once."""

    def __init__(self, line: Line, reservation: Reservation) -> None:
        self._line = line
        self._reservation = reservation
        self._open = True
        line.settlements.begin(line.budget)

    def close(self, exchange: Exchange | None = None) -> Usage:
        """Settle for what came of it; without an exchange it was not sent, nor where no connection came about."""
        if not self._open:
            return Usage()
        self._open = False
        used = Usage() if exchange is None else _used(exchange, self._reservation.amount)
        if used.calls:
            self._reservation.settle(prompt_tokens=used.prompt_tokens, completion_tokens=used.completion_tokens)
        else:
            self._reservation.release()
        self._line.lane.leave(self._line.run)
        self._line.settlements.end(self._line.budget)
        return used


@dataclass
class _Repeats:
    """How often a request was sent again by our own choice, and how often when, and how much later, it was told to."""

    chosen: int = 0
    postponed: int = 0
    postponed_seconds: float = 0.0


class Journey:
    """One call on its way; `used` is what it has cost so far, every request of it included.

    `cut_short` is whether its own budget ended it where another one's would have gone on.
    """

    def __init__(self, line: Line, call: SubCall) -> None:
        self._line = line
        self._call = call
        self.used = Usage()
        self.cut_short = False

    async def reply(self) -> SubReply:
        """Raises a `LanguageModelError`, `BudgetExhaustedError` or `UnpricedModelError`."""
        call, profile = self._call, self._line.profile
        if call.schema is not None:
            require_usable(call.schema)
        self._require_window(call)
        exchange = await self._complete(call)
        try:
            return SubReply(shaped(exchange.text, exchange.finish_reason, call), self.used)
        except LanguageModelOutputError as error:
            again = asked_again(call, error, profile)
            if again is None:
                raise
            return await self._mended(again, error)

    async def _mended(self, call: SubCall, first: LanguageModelOutputError) -> SubReply:
        try:
            self._require_window(call)
            exchange = await self._complete(call)
        except (BudgetExhaustedError, ContextTooLongError) as error:
            self.cut_short = isinstance(error, BudgetExhaustedError)
            raise first from None
        return SubReply(shaped(exchange.text, exchange.finish_reason, call), self.used)

    def _require_window(self, call: SubCall) -> None:
        profile = self._line.profile
        prompt, answer = window_tokens(call, profile), call.max_tokens + profile.thinking_tokens
        if prompt + answer > profile.context_tokens:
            raise ContextTooLongError(
                f"About {prompt:,} tokens of prompt and {answer:,} of answer do not fit the window of "
                f"{profile.context_tokens:,} tokens of {profile.name}.",
                hint=f"Send at most {profile.slice_tokens:,} tokens of text in one call.",
                prompt_tokens=prompt,
                limit_tokens=profile.context_tokens,
            )

    async def _complete(self, call: SubCall) -> Exchange:
        self._line.retries.deposit()
        repeats = _Repeats()
        while True:
            exchange = await self._hedged(call)
            if exchange.error is None:
                return exchange
            seconds = self._pause(exchange, repeats)
            if seconds is None:
                raise exchange.error
            await self._line.sleep(seconds)

    def _pause(self, exchange: Exchange, repeats: _Repeats) -> float | None:
        """Seconds before the same is sent again, or None: only what the model had not begun to answer is repeated."""
        error = exchange.error
        if exchange.started or not isinstance(error, LanguageModelUnavailableError):
            return None
        asked = error.retry_after_seconds or 0.0
        if not asked <= _MAX_RETRY_AFTER_SECONDS:
            return None
        longest = self._longest_pause(asked, repeats)
        if longest is None:
            return None
        if asked > 0:
            self._line.lane.hold(asked)
        seconds = max(0.0, asked) + self._line.jitter() * longest
        left = self._line.budget.remaining().seconds
        self.cut_short = left is not None and seconds >= left
        return None if self.cut_short else seconds

    def _longest_pause(self, asked: float, repeats: _Repeats) -> float | None:
        """Seconds over which repetitions are spread, beyond those that were asked for; None where there is none."""
        if self._may_be_postponed(asked, repeats):
            repeats.postponed += 1
            repeats.postponed_seconds += asked
            return _FIRST_PAUSE_SECONDS
        if repeats.chosen + 1 == _MAX_ATTEMPTS or not self._line.retries.withdraw():
            return None
        repeats.chosen += 1
        return min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2.0 ** (repeats.chosen - 1))

    def _may_be_postponed(self, asked: float, repeats: _Repeats) -> bool:
        return (
            0 < asked <= self._line.profile.call_seconds - repeats.postponed_seconds
            and repeats.postponed < _MAX_POSTPONEMENTS
            and not self._line.lane.held_in_vain
        )

    async def _hedged(self, call: SubCall) -> Exchange:
        """The first good exchange of one request or, when it is late and there is room, of two."""
        first = await self._grant(call)
        if self._line.profile.hedge_after_medians is None:
            return await self._send(call, first)
        grants = [first]
        sent = [asyncio.ensure_future(self._send(call, first))]
        try:
            if second := await self._when_late(call, sent[0]):
                grants.append(second)
                sent.append(asyncio.ensure_future(self._send(call, second)))
            return await _first_good(sent)
        finally:
            for each in sent:
                each.cancel()
            await asyncio.gather(*sent, return_exceptions=True)
            for grant in grants:
                grant.close()

    async def _when_late(self, call: SubCall, sent: "asyncio.Future[Exchange]") -> Grant | None:
        begun = self._line.clock()
        while not sent.done():
            late_after = self._line.late_after(call.purpose)
            rest = _RECHECK_SECONDS if late_after is None else late_after - (self._line.clock() - begun)
            if rest <= 0:
                if second := self._second_grant(call):
                    return second
                rest = _RECHECK_SECONDS
            pause: asyncio.Future[Any] = asyncio.ensure_future(self._line.sleep(rest))
            try:
                await asyncio.wait([sent, pause], return_when=asyncio.FIRST_COMPLETED)
            finally:
                pause.cancel()
        return None

    async def _grant(self, call: SubCall) -> Grant:
        line = self._line
        while True:
            await line.lane.enter(line.run)
            try:
                self._require_heard()
                return Grant(line, self._reserve(call))
            except BudgetExhaustedError as refused:
                line.lane.leave(line.run)
                if not (refused.may_fit_later and line.settlements.expected(line.budget)):
                    raise
            except BaseException:
                line.lane.leave(line.run)
                raise
            await line.settlements.next()

    def _require_heard(self) -> None:
        if rest := self._line.lane.resting_seconds:
            raise LanguageModelRestingError(
                "The language model has let too many calls in a row go unanswered; "
                f"it is asked again in {ceil(rest)} seconds.",
                retry_after_seconds=ceil(rest),
                sent=False,
            )

    def _second_grant(self, call: SubCall) -> Grant | None:
        """Only what nobody waits for."""
        if not self._line.lane.take(self._line.run):
            return None
        try:
            return Grant(self._line, self._reserve(call))
        except BudgetExhaustedError:
            self._line.lane.leave(self._line.run)
            return None

    def _reserve(self, call: SubCall) -> Reservation:
        profile = self._line.profile
        return self._line.budget.reserve(
            prompt_tokens=prompt_tokens(call, profile),
            completion_tokens=call.max_tokens + profile.thinking_tokens,
            price=profile.price,
        )

    async def _send(self, call: SubCall, grant: Grant) -> Exchange:
        line, exchange = self._line, Exchange()
        begun = line.clock()
        try:
            async with asyncio.timeout(line.profile.call_seconds):
                await converse(line.chat, line.profile, call, exchange, tenant_id=line.tenant_id)
            line.lane.heard()
            line.seconds[call.purpose].append(line.clock() - begun)
        except TimeoutError:
            exchange.error = LanguageModelTimeoutError(
                f"The language model did not finish within {line.profile.call_seconds:g} seconds."
            )
        except LanguageModelError as error:
            exchange.error = error
        finally:
            if _silent(exchange.error):
                line.lane.silent()
            self.used += grant.close(exchange)
        return exchange


def _used(exchange: Exchange, reserved: Amount) -> Usage:
    """As the server counted; otherwise what was reserved for a prompt that it may have read, and an unseen answer."""
    error = exchange.error
    away = error if isinstance(error, LanguageModelUnavailableError) else None
    if away and not away.sent:
        return Usage()
    reached = away is not None and away.reached
    unread = isinstance(error, _UNREAD) and not (exchange.started or reached)
    prompt = exchange.prompt_tokens or (0 if unread else reserved.prompt_tokens)
    return Usage(1, prompt, exchange.written_tokens(0 if unread else reserved.completion_tokens))


def _silent(error: LanguageModelError | None) -> bool:
    """Whether a call's time, or that for its connection, passed without a word."""
    return isinstance(error, LanguageModelTimeoutError) or (
        isinstance(error, LanguageModelUnavailableError) and error.silent
    )


async def _first_good(sent: Iterable["asyncio.Future[Exchange]"]) -> Exchange:
    """The first without an error, or the last one."""
    waiting = set(sent)
    while True:
        done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        exchanges = [each.result() for each in done]
        good = [exchange for exchange in exchanges if exchange.error is None]
        if good or not waiting:
            return (good or exchanges)[0]
