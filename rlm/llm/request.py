"""A sub-call, from its reservation to its reply.

The call is sent, retried if a retry may help, and repeated once to repair an invalid reply.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING

from ingest.storage.counts import format_count
from ingest.storage.documents.records import UsedVersions, Work
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
from rlm.llm.budgets import Amount, Budget, Reservation, Usage
from rlm.llm.completion import (
    Completion,
    Show,
    ThoughtFilter,
    compute_cache_salt,
    estimate_prompt_tokens,
    fill_completion,
)
from rlm.llm.metrics import observe_call
from rlm.llm.port import SubCall, SubReply
from rlm.llm.profiles import ModelProfile
from rlm.llm.rate_limit import CallPriority, RateLimit, Sleep, SlotHolder
from rlm.llm.structured_output import build_retry_call, extract_reply, require_valid_schema

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

# Maximum number of attempts, and the first delay and the maximum delay, if the server gives no retry delay. The delay
# doubles with each retry.
_MAX_ATTEMPTS = 4
_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 8.0
# Maximum retry delay that a server may ask for. If a server asks for a longer delay, the request is treated as
# rejected.
_MAX_RETRY_AFTER_SECONDS = 60.0
# Maximum number of retries for which the server asked. The server chose their delay, so these retries do not overload
# it.
_MAX_POSTPONEMENTS = 12
# Interval at which a call checks whether other calls of the run have returned enough budget.
_RECHECK_SECONDS = 0.05
# Errors that mean that the request was rejected or never arrived, so the model did no work for it.
_UNREAD_ERRORS = (LanguageModelUnavailableError, LanguageModelRefusedError, ContextTooLongError)


@dataclass
class SharedModel:
    """The state of one model, shared by all runs of the process. It includes the format of the model's thoughts, which
    is known once the model `has_replied` with text. Thoughts are `open_ended` if the model has closed a thought that it
    never opened. A call allows `thinking_tokens` for thoughts after they have once left no tokens for a reply.
    """

    rate_limit: RateLimit
    has_replied: bool = False
    open_ended: bool = False
    thinking_tokens: int = 0


@dataclass(frozen=True)
class ModelClient:
    """The state shared by the calls of one run to one model.

    `under_way` counts the requests in progress of each run of the process, keyed by the run's root budget; unused parts
    of their reservations will be released. If an answer is produced in the `background`, its calls are served after
    those of interactive answers. `priority`, if given, replaces this order. If the model has several servers, calls
    with the same `affinity` go to the same server. `used` records the versions that the prompts contain.
    """

    chat: "BaseChatModel"
    profile: ModelProfile
    tenant_id: str
    audience: str
    budget: Budget
    run: Hashable
    background: bool
    priority: CallPriority | None
    affinity: str
    used: UsedVersions | None
    model: SharedModel
    under_way: Counter[Budget]
    sleep: Sleep
    jitter: Callable[[], float]

    @property
    def work(self) -> Work | None:
        """The versions that the prompts have contained so far, or None if the calls contain no documents."""
        return None if self.used is None else self.used.work

    @property
    def holder(self) -> SlotHolder:
        return SlotHolder(self.tenant_id, self.run)


class Request:
    """One call in progress. `used` is the total cost of the requests sent for the call so far.

    Calls with the lowest `priority` value are served first. `show` receives the pieces of the reply as they arrive.
    `cut_short` is true if the call ended because of its own budget, so that an identical call with another budget may
    succeed.
    """

    def __init__(
        self,
        client: ModelClient,
        call: SubCall,
        *,
        priority: CallPriority = CallPriority.INTERACTIVE,
        on_text: Show | None = None,
    ) -> None:
        self._client = client
        self._call = call
        self._priority = priority
        self._show = on_text
        self.used = Usage()
        self.cut_short = False

    async def fetch_reply(self) -> SubReply:
        """Return the reply.

        Raises a `LanguageModelError` if the model fails, `BudgetExhaustedError` if the budget does not cover the call,
        and `UnpricedModelError` if dollars are limited but the model has no price.
        """
        call = self._call
        if call.schema is not None:
            require_valid_schema(call.schema)
        self._require_fitting_prompt(call)
        completion = await self._complete_call(call)
        try:
            return self._extract_reply(completion, call)
        except LanguageModelOutputError as error:
            thought_only = error.cut_off and not completion.text.strip()
            again = (
                call
                if thought_only and self._allow_more_thinking()
                else build_retry_call(call, error, self._client.profile)
            )
            if again is None:
                raise
            return await self._repair_reply(again, error)

    def _allow_more_thinking(self) -> bool:
        """Allow as many tokens for thoughts as for the longest reply. Return False if they were already allowed."""
        room, known = self._client.profile.max_output_tokens, self._thinking_tokens
        self._client.model.thinking_tokens = max(room, known)
        return room > known

    @property
    def _thinking_tokens(self) -> int:
        return max(self._client.profile.thinking_tokens, self._client.model.thinking_tokens)

    async def _repair_reply(self, call: SubCall, first_error: LanguageModelOutputError) -> SubReply:
        try:
            self._require_fitting_prompt(call)
            completion = await self._complete_call(call)
        except (BudgetExhaustedError, ContextTooLongError) as error:
            self.cut_short = isinstance(error, BudgetExhaustedError)
            raise first_error from None
        return self._extract_reply(completion, call)

    def _extract_reply(self, completion: Completion, call: SubCall) -> SubReply:
        text = extract_reply(completion.raw, completion.text, completion.finish_reason, call)
        return SubReply(text, self.used, cut_off=call.schema is None and completion.is_cut_off)

    def _require_fitting_prompt(self, call: SubCall) -> None:
        profile = self._client.profile
        prompt, answer = estimate_prompt_tokens(call), call.max_tokens + self._thinking_tokens
        if prompt + answer > profile.context_tokens:
            raise ContextTooLongError(
                f"The prompt (about {format_count(prompt, 'token')}) and the answer ({answer:,}) do not fit in the "
                f"{profile.context_tokens:,}-token context window of {profile.name}.",
                hint=f"Send at most {format_count(profile.slice_tokens, 'token')} of text in one call.",
            )

    async def _complete_call(self, call: SubCall) -> Completion:
        repeats, waited, broken_off = 0, 0.0, False
        while True:
            completion = await self._send_call(call, await self._reserve_call(call))
            if completion.error is None:
                return completion
            if completion.has_started:
                if broken_off or not self._can_restart(completion):
                    raise completion.error
                broken_off = True
            seconds = self._compute_retry_delay(completion, repeats, waited)
            if seconds is None:
                raise completion.error
            repeats, waited = repeats + 1, waited + seconds
            await self._client.sleep(seconds)

    def _compute_retry_delay(self, completion: Completion, retry_count: int, waited_seconds: float) -> float | None:
        """Return the seconds to wait before a retry, or None if a retry cannot help."""
        error, rate_limit = completion.error, self._client.model.rate_limit
        if not isinstance(error, LanguageModelUnavailableError):
            return None
        asked = error.retry_after_seconds or 0.0
        most = _MAX_POSTPONEMENTS if asked > 0 else _MAX_ATTEMPTS - 1
        if retry_count >= most or not asked <= min(
            _MAX_RETRY_AFTER_SECONDS, self._client.profile.call_seconds - waited_seconds
        ):
            return None
        asked = max(0.0, asked)
        if asked:
            rate_limit.pause(asked)
        spread = _FIRST_PAUSE_SECONDS if asked else min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2.0**retry_count)
        seconds = asked + self._client.jitter() * spread
        left = self._client.budget.get_remaining_limits().seconds
        self.cut_short = left is not None and seconds >= left
        return None if self.cut_short else seconds

    def _can_restart(self, completion: Completion) -> bool:
        """Return whether another server may restart an interrupted answer, of which nothing may have been shown yet.

        Only one more server is tried, because the prompt itself may be what crashes the servers.
        """
        shown = self._show is not None and bool(completion.text)
        # guard: no-retry-after-first-tokens
        return not shown and getattr(self._client.chat, "takes_affinity", False)

    async def _reserve_call(self, call: SubCall) -> Reservation:
        """Wait for a slot, and reserve the call's cost.

        If other calls of the run have reserved the missing budget, wait until they release it.
        """
        client, rate_limit = self._client, self._client.model.rate_limit
        while True:
            await rate_limit.acquire_slot(client.holder, priority=self._priority)
            try:
                if rest := ceil(rate_limit.resting_seconds):
                    raise LanguageModelRestingError(
                        f"Too many consecutive calls to the language model were unanswered; "
                        f"calls resume in {format_count(rest, 'second')}.",
                        retry_after_seconds=rest,
                        sent=False,
                    )
                reservation = client.budget.reserve(
                    prompt_tokens=estimate_prompt_tokens(call),
                    completion_tokens=call.max_tokens + self._thinking_tokens,
                    price=client.profile.price,
                )
                client.under_way[client.budget.root] += 1
                return reservation
            except BudgetExhaustedError as refused:
                rate_limit.release_slot(client.holder)
                if not (refused.may_fit_later and client.budget.root in client.under_way):
                    raise
            except BaseException:
                rate_limit.release_slot(client.holder)
                raise
            await client.sleep(_RECHECK_SECONDS)

    async def _send_call(self, call: SubCall, reservation: Reservation) -> Completion:
        profile = self._client.profile
        completion = Completion(self._build_thought_filter(), self._show)
        with observe_call(profile.name, call.purpose, call.max_tokens) as observed:
            try:
                await self._fill_with_reply(completion, call)
            finally:
                error = completion.error
                if isinstance(error, LanguageModelTimeoutError | LanguageModelUnavailableError):
                    silent = isinstance(error, LanguageModelTimeoutError) or error.silent
                    self._client.model.rate_limit.record_failure(is_timeout=silent)
                observed.usage = self._settle_usage(reservation, completion)
                observed.outcome = error.code if error else "ok" if completion.ended else "given_up"
                self.used += observed.usage
        return completion

    async def _fill_with_reply(self, completion: Completion, call: SubCall) -> None:
        """Fill the completion with the reply, or with the error that ended the request."""
        client, profile = self._client, self._client.profile
        try:
            async with asyncio.timeout(profile.call_seconds):
                await fill_completion(
                    client.chat,
                    profile,
                    call,
                    completion,
                    salt=compute_cache_salt(client.tenant_id, client.audience),
                    max_tokens=call.max_tokens + self._thinking_tokens,
                    priority=self._priority,
                    affinity=client.affinity,
                )
            client.model.rate_limit.record_response()
            client.model.open_ended = client.model.open_ended or completion.thoughts.lone_closing
            client.model.has_replied = client.model.has_replied or call.schema is None
        except TimeoutError:
            completion.error = LanguageModelTimeoutError(
                f"The language model did not finish within {format_count(profile.call_seconds, 'second')}."
            )
        except LanguageModelError as error:
            completion.error = error

    def _settle_usage(self, reservation: Reservation, completion: Completion) -> Usage:
        """Return a request's usage, after releasing its slot and the unused part of its reservation."""
        used, client, root = _compute_usage(completion, reservation.amount), self._client, self._client.budget.root
        if used.calls:
            reservation.settle(prompt_tokens=used.prompt_tokens, completion_tokens=used.completion_tokens)
        else:
            reservation.release()
        client.model.rate_limit.release_slot(client.holder)
        client.under_way[root] -= 1
        if not client.under_way[root]:
            del client.under_way[root]
        return used

    def _build_thought_filter(self) -> ThoughtFilter:
        """Build the filter that removes thoughts. If a reply is not streamed to anyone, it is held back until its end.

        The first reply of an unknown model is also held back, because its thoughts may lack the opening tag.
        """
        thinking, model = self._client.profile.thinking, self._client.model
        # guard: unknown-thoughts-held
        is_unknown = thinking == "unknown" and not model.has_replied
        return ThoughtFilter(
            wait_for_tag=model.open_ended,
            wait_for_end=self._show is None or is_unknown,
            open_ended=thinking == "open-ended",
            is_disabled=thinking == "none",
        )


def _compute_usage(completion: Completion, reserved_amount: Amount) -> Usage:
    """Return the usage as counted by the server.

    Without a count from the server, the reserved tokens are counted for a prompt that may have been read and for an
    answer that was not received.
    """
    error = completion.error
    away = error if isinstance(error, LanguageModelUnavailableError) else None
    if away and not away.sent:
        return Usage()
    reached = away is not None and away.reached
    unread = isinstance(error, _UNREAD_ERRORS) and not (completion.has_started or reached)
    prompt = completion.prompt_tokens or (0 if unread else reserved_amount.prompt_tokens)
    return Usage(1, prompt, completion.count_written_tokens(0 if unread else reserved_amount.completion_tokens))
