"""One sub-call from its reservation to its reply: sent, sent again where that may help, and asked once more."""

import asyncio
from collections import Counter
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from math import ceil

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
from rlm.llm.completion import Completion, Show, complete, prompt_tokens
from rlm.llm.port import SubCall, SubReply
from rlm.llm.profiles import ModelProfile
from rlm.llm.rate_limit import Clock, RateLimit, RetryBudget, Sleep
from rlm.llm.structured_output import asked_again, require_usable, shaped
from rlm.llm.thoughts import ThoughtFilter
from rlm.usage import Usage

_MAX_ATTEMPTS = 4
_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 8.0
# Whoever asks us to come back later than this has refused.
_MAX_RETRY_AFTER_SECONDS = 60.0
# As often a call comes back when it was told to, and is no burden for it: the server chose the time.
_MAX_POSTPONEMENTS = 12
_RECHECK_SECONDS = 1.0
# Refused or never reached: the model did nothing for it.
_UNREAD = (LanguageModelUnavailableError, LanguageModelRefusedError, ContextTooLongError)


class Settlements:
    """Counts the requests under way by budget, and wakes whoever waits for one of them to give something back."""

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
        """True while a request of the same tree is under way; what others have reserved may never be settled."""
        return budget.root in self._under_way

    async def next(self) -> None:
        """Wait until the next request ends, or for a second: other threads settle too and wake nobody here."""
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(woken)
        try:
            await asyncio.wait({woken}, timeout=_RECHECK_SECONDS)
        finally:
            self._waiting.discard(woken)


@dataclass
class SharedModel:
    """What all runs of the process share of one model; `open_ended` once it closed a thought that it never opened."""

    rate_limit: RateLimit
    retries: RetryBudget
    open_ended: bool = False


@dataclass(frozen=True)
class ModelClient:
    """What the calls of one run to one model have in common."""

    chat: BaseChatModel
    profile: ModelProfile
    tenant_id: str
    budget: Budget
    run: Hashable
    model: SharedModel
    settlements: Settlements
    clock: Clock
    sleep: Sleep
    jitter: Callable[[], float]


class _Admission:
    """A place under the rate limit and a reservation, given back together and once."""

    def __init__(self, client: ModelClient, reservation: Reservation) -> None:
        self._client = client
        self._reservation = reservation
        client.settlements.begin(client.budget)

    def close(self, completion: Completion) -> Usage:
        """Settle for what came of it."""
        used = _used(completion, self._reservation.amount)
        if used.calls:
            self._reservation.settle(prompt_tokens=used.prompt_tokens, completion_tokens=used.completion_tokens)
        else:
            self._reservation.release()
        self._client.model.rate_limit.leave(self._client.run)
        self._client.settlements.end(self._client.budget)
        return used


@dataclass
class _Repeats:
    """How often a request was sent again by our own choice, and how often when, and how much later, it was told to."""

    chosen: int = 0
    postponed: int = 0
    postponed_seconds: float = 0.0


class Request:
    """One call on its way; `used` is what it has cost so far, every request of it included.

    `urgent` calls go first. `show` is given the pieces of the reply as they come. `cut_short` says that its own budget
    ended it where another one's would have gone on.
    """

    def __init__(self, client: ModelClient, call: SubCall, *, urgent: bool = True, show: Show | None = None) -> None:
        self._client = client
        self._call = call
        self._urgent = urgent
        self._show = show
        self.used = Usage()
        self.cut_short = False

    async def reply(self) -> SubReply:
        """The reply. Raises a `LanguageModelError`, `BudgetExhaustedError` or `UnpricedModelError`."""
        call = self._call
        if call.schema is not None:
            require_usable(call.schema)
        self._require_window(call)
        completion = await self._complete(call)
        try:
            return self._shaped(completion, call)
        except LanguageModelOutputError as error:
            again = asked_again(call, error, self._client.profile)
            if again is None:
                raise
            return await self._mended(again, error)

    async def _mended(self, call: SubCall, first: LanguageModelOutputError) -> SubReply:
        try:
            self._require_window(call)
            completion = await self._complete(call)
        except (BudgetExhaustedError, ContextTooLongError) as error:
            self.cut_short = isinstance(error, BudgetExhaustedError)
            raise first from None
        return self._shaped(completion, call)

    def _shaped(self, completion: Completion, call: SubCall) -> SubReply:
        text = shaped(completion.raw, completion.text, completion.finish_reason, call)
        return SubReply(text, self.used, cut_off=call.schema is None and completion.cut_off)

    def _require_window(self, call: SubCall) -> None:
        profile = self._client.profile
        prompt, answer = prompt_tokens(call), call.max_tokens + profile.thinking_tokens
        if prompt + answer > profile.context_tokens:
            raise ContextTooLongError(
                f"About {prompt:,} tokens of prompt and {answer:,} of answer do not fit the window of "
                f"{profile.context_tokens:,} tokens of {profile.name}.",
                hint=f"Send at most {profile.slice_tokens:,} tokens of text in one call.",
                prompt_tokens=prompt,
                limit_tokens=profile.context_tokens,
            )

    async def _complete(self, call: SubCall) -> Completion:
        self._client.model.retries.deposit()
        repeats = _Repeats()
        while True:
            completion = await self._send(call, await self._admit(call))
            if completion.error is None:
                return completion
            seconds = self._pause(completion, repeats)
            if seconds is None:
                raise completion.error
            await self._client.sleep(seconds)

    def _pause(self, completion: Completion, repeats: _Repeats) -> float | None:
        """Seconds before the same is sent again, or None: only what the model had not begun to answer is repeated."""
        error = completion.error
        if completion.started or not isinstance(error, LanguageModelUnavailableError):
            return None
        asked = error.retry_after_seconds or 0.0
        if not asked <= _MAX_RETRY_AFTER_SECONDS:
            return None
        longest = self._longest_pause(asked, repeats)
        if longest is None:
            return None
        if asked > 0:
            self._client.model.rate_limit.hold(asked)
        seconds = max(0.0, asked) + self._client.jitter() * longest
        left = self._client.budget.remaining().seconds
        self.cut_short = left is not None and seconds >= left
        return None if self.cut_short else seconds

    def _longest_pause(self, asked: float, repeats: _Repeats) -> float | None:
        """Seconds over which repetitions are spread, beyond those that were asked for; None where there is none."""
        if self._may_be_postponed(asked, repeats):
            repeats.postponed += 1
            repeats.postponed_seconds += asked
            return _FIRST_PAUSE_SECONDS
        if repeats.chosen + 1 == _MAX_ATTEMPTS or not self._client.model.retries.withdraw():
            return None
        repeats.chosen += 1
        return min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2.0 ** (repeats.chosen - 1))

    def _may_be_postponed(self, asked: float, repeats: _Repeats) -> bool:
        return (
            0 < asked <= self._client.profile.call_seconds - repeats.postponed_seconds
            and repeats.postponed < _MAX_POSTPONEMENTS
            and not self._client.model.rate_limit.held_in_vain
        )

    async def _admit(self, call: SubCall) -> _Admission:
        """Wait for a place, and for other calls of the run where these hold what of the budget is missing."""
        client, rate_limit = self._client, self._client.model.rate_limit
        while True:
            await rate_limit.enter(client.run, urgent=self._urgent)
            try:
                self._require_heard()
                return _Admission(client, self._reserve(call))
            except BudgetExhaustedError as refused:
                rate_limit.leave(client.run)
                if not (refused.may_fit_later and client.settlements.expected(client.budget)):
                    raise
            except BaseException:
                rate_limit.leave(client.run)
                raise
            await client.settlements.next()

    def _require_heard(self) -> None:
        if rest := self._client.model.rate_limit.resting_seconds:
            raise LanguageModelRestingError(
                "The language model has let too many calls in a row go unanswered; "
                f"it is asked again in {ceil(rest)} seconds.",
                retry_after_seconds=ceil(rest),
                sent=False,
            )

    def _reserve(self, call: SubCall) -> Reservation:
        profile = self._client.profile
        return self._client.budget.reserve(
            prompt_tokens=prompt_tokens(call),
            completion_tokens=call.max_tokens + profile.thinking_tokens,
            price=profile.price,
        )

    async def _send(self, call: SubCall, admission: _Admission) -> Completion:
        client, profile = self._client, self._client.profile
        completion = Completion(self._thought_filter(), self._show)
        try:
            async with asyncio.timeout(profile.call_seconds):
                await complete(client.chat, profile, call, completion, tenant_id=client.tenant_id, urgent=self._urgent)
            client.model.rate_limit.heard()
            client.model.open_ended = client.model.open_ended or completion.thoughts.lone_closing
        except TimeoutError:
            completion.error = LanguageModelTimeoutError(
                f"The language model did not finish within {profile.call_seconds:g} seconds."
            )
        except LanguageModelError as error:
            completion.error = error
        finally:
            if _silent(completion.error):
                client.model.rate_limit.silent()
            self.used += admission.close(completion)
        return completion

    def _thought_filter(self) -> ThoughtFilter:
        """Where nobody waits for the pieces, it is patient at no cost."""
        thinking = self._client.profile.thinking
        return ThoughtFilter(
            patient=self._show is None or self._client.model.open_ended,
            open_ended=thinking == "open-ended",
            none=thinking == "none",
        )


def _used(completion: Completion, reserved: Amount) -> Usage:
    """As the server counted; otherwise what was reserved for a prompt that it may have read, and an unseen answer."""
    error = completion.error
    away = error if isinstance(error, LanguageModelUnavailableError) else None
    if away and not away.sent:
        return Usage()
    reached = away is not None and away.reached
    unread = isinstance(error, _UNREAD) and not (completion.started or reached)
    prompt = completion.prompt_tokens or (0 if unread else reserved.prompt_tokens)
    return Usage(1, prompt, completion.written_tokens(0 if unread else reserved.completion_tokens))


def _silent(error: LanguageModelError | None) -> bool:
    """True if a call's time, or that for its connection, passed without a word."""
    return isinstance(error, LanguageModelTimeoutError) or (
        isinstance(error, LanguageModelUnavailableError) and error.silent
    )
