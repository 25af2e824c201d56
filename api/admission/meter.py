"""Meters spending: makes a reservation before the work, settles it afterwards, and reports remaining quotas."""

import threading
import time
import uuid
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Literal

import structlog

from api.admission.request_rates import RequestRateLimiter
from ingest.storage.answers import run_records as runs
from ingest.storage.errors import LeadlineError
from ingest.storage.quotas.records import NANODOLLARS, Account, Quota, QuotaStatus, Spending, to_nanodollars
from ingest.storage.quotas.rows import Kind
from ingest.storage.quotas.store import Quotas, SpendingGrant, build_exceeded_error
from retrieval.search.requests import Rewrite
from rlm.errors import BudgetExhaustedError
from rlm.estimates import MAX_UNCONFIRMED_DOLLARS
from rlm.events import Event
from rlm.llm.budgets import Budget, Limits, Price
from rlm.requests import AnswerOptions
from rlm.rewriting import ModelRewriter
from rlm.runs.port import Durability
from rlm.suggesting import ModelSuggester, SuggestionRequest, compute_suggestion_limits

log = structlog.get_logger(__name__)

# Maximum time until a changed request rate limit takes effect. Spending limits are reloaded for each request.
_LIMITS_CACHE_SECONDS = 2.0
_MAX_CACHED_LIMITS = 10_000

_Limits = dict[Literal["tenant", "key"], Mapping[Quota, int]]


class Meter:
    """Meters the spending of one process. Close it when the process exits.

    For an answer without a budget, `answer_tokens` are reserved if there is a token quota. A dollar is reserved if
    there is a dollar quota and the model is not free. A confirmed answer reserves the whole remaining quota.
    """

    def __init__(
        self, quotas: Quotas, rate_limiter: RequestRateLimiter, *, answer_tokens: int, model_is_free: bool
    ) -> None:
        self.quotas = quotas
        self._rates = rate_limiter
        self._answer_tokens = answer_tokens
        self._model_is_free = model_is_free
        self._limits: dict[Account, tuple[float, _Limits]] = {}
        self._open: dict[str, MeteredWork] = {}
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def count_request(self, account: Account) -> Sequence[QuotaStatus]:
        """Count a request against the quotas of its key and tenant, and return the remaining quotas.

        Raises `QuotaExceededError` if there were too many requests within a minute.
        """
        limits, counted = self._load_limits(account), list[QuotaStatus]()
        # Check the key's quota first: a request that exceeds it must not count against the tenant's quota.
        for of in reversed(limits):
            limit = limits[of].get(Quota.REQUESTS_PER_MINUTE)
            if limit is not None:
                taken, standing = self._rates.count_request(account, of, limit)
                if not taken:
                    raise build_exceeded_error(standing, time.time())
                counted.append(standing)
        return counted

    def may_have_request_quota(self, account: Account) -> bool:
        """Return whether a request quota may apply. False means that the cached limits contain none."""
        with self._lock:
            kept = self._limits.get(account)
        if kept is None or kept[0] <= time.monotonic():
            return True
        return any(Quota.REQUESTS_PER_MINUTE in limited for limited in kept[1].values())

    def load_storage_statuses(self, account: Account) -> Sequence[QuotaStatus]:
        """Return how much of each storage quota is used. The result is empty if no storage quota is set."""
        stored = [Quota.DOCUMENTS, Quota.BYTES]
        if not any(quota in limited for limited in self._load_limits(account).values() for quota in stored):
            return []
        return self.quotas.load_statuses(account, stored)

    def reserve_answer(
        self, account: Account, options: AnswerOptions, reservation_id: str | None = None
    ) -> "MeteredWork":
        """Reserve a slot and budget for an answer. Raises `QuotaExceededError` if the quotas do not allow it."""
        wants = self.build_quota_request(account, options)
        return self._reserve_budget(account, "answer", wants.tokens, wants.nanodollars, reservation_id)

    def build_quota_request(self, account: Account, options: AnswerOptions) -> runs.QuotaRequest:
        """Return the reservation for an answer, which takes effect when the run is created."""
        return runs.QuotaRequest(
            account, self._compute_reserved_tokens(options), self._compute_reserved_nanodollars(options)
        )

    def wrap_rewriter(self, account: Account, rewriter: ModelRewriter) -> "MeteredRewriter":
        """Wrap a rewriter so that the tokens and dollars it spends count against an account."""
        return MeteredRewriter(self, account, rewriter)

    def reserve_rewrite(self, account: Account, limits: Limits) -> "MeteredWork":
        """Reserve budget for a rewrite. Raises `QuotaExceededError` if the quotas do not allow it."""
        return self._reserve_budget(account, "rewrite", limits.tokens, to_nanodollars(limits.dollars or Decimal(0)))

    def wrap_suggester(self, account: Account, suggester: ModelSuggester) -> "MeteredSuggester":
        """Wrap a suggester so that the tokens and dollars it spends count against an account."""
        return MeteredSuggester(self, account, suggester)

    def reserve_suggestion(self, account: Account, limits: Limits) -> "MeteredWork":
        """Reserve budget for suggestions. Raises `QuotaExceededError` if the quotas do not allow it."""
        return self._reserve_budget(account, "suggest", limits.tokens, to_nanodollars(limits.dollars or Decimal(0)))

    def settle_work(self, work: "MeteredWork") -> None:
        """Replace the reservation of finished work with its actual spending.

        If the catalog is unavailable, the reservation expires with its lease instead.
        """
        with self._lock:
            if self._open.pop(work.granted.id, None) is None:
                return
        try:
            self.quotas.charge(work.account, work.kind, work.granted.id, work.spending, reported_spending=work.reported)
        except LeadlineError as error:
            log.warning("spending not settled; its reservation will expire", error=repr(error))

    def close(self) -> None:
        self._closing.set()
        if self._thread is not None:
            self._thread.join()

    def _reserve_budget(
        self, account: Account, kind: Kind, tokens: int | None, dollars: int | None, reservation_id: str | None = None
    ) -> "MeteredWork":
        identifier = reservation_id or str(uuid.uuid4())
        granted = self.quotas.reserve(account, kind, identifier, tokens=tokens, nanodollars=dollars)
        metered = MeteredWork(self, account, kind, granted)
        with self._lock:
            self._open[granted.id] = metered
            if self._thread is None:
                self._thread = threading.Thread(target=self._extend_leases, name="quota-leases", daemon=True)
                self._thread.start()
        return metered

    def _extend_leases(self) -> None:
        while not self._closing.wait(self.quotas.lease_seconds / 3):
            with self._lock:
                # Hold the lock during the update, so that a reservation cannot be settled first and then extended.
                spent = {identifier: metered.spending for identifier, metered in self._open.items()}
                try:
                    extended = self.quotas.extend_reservations(spent)
                except Exception as error:  # noqa: BLE001 - the catalog may recover before the leases expire
                    log.warning("reservations not extended", error=repr(error))
                    continue
                for identifier in extended:  # What a lost reservation has not reported is charged in the end.
                    self._open[identifier].reported = spent[identifier]

    def _load_limits(self, account: Account) -> _Limits:
        now = time.monotonic()
        kept = self._limits.get(account)
        if kept is not None and kept[0] > now:
            return kept[1]
        if len(self._limits) >= _MAX_CACHED_LIMITS:
            # Clear the whole cache, because its entries are valid for only two seconds anyway.
            self._limits = {}
        found = self.quotas.load_limits(account)
        self._limits[account] = (now + _LIMITS_CACHE_SECONDS, found)
        return found

    def _compute_reserved_tokens(self, options: AnswerOptions) -> int | None:
        given = options.limits or Limits()
        if given.tokens is not None:
            return given.tokens
        if given.prompt_tokens is not None and given.completion_tokens is not None:
            return given.prompt_tokens + given.completion_tokens
        return None if options.confirm else self._answer_tokens

    def _compute_reserved_nanodollars(self, options: AnswerOptions) -> int | None:
        given = options.limits or Limits()
        if self._model_is_free:
            return 0
        if given.dollars is not None:
            return to_nanodollars(given.dollars)
        return None if options.confirm else to_nanodollars(MAX_UNCONFIRMED_DOLLARS)


class MeteredWork(Durability):
    """Work with a reservation, for which a client is waiting.

    `reported` is the spending that has been recorded in the catalog so far.
    """

    def __init__(self, meter: Meter, account: Account, kind: Kind, grant: SpendingGrant) -> None:
        self.account = account
        self.kind = kind
        self.granted = grant
        self.reported = Spending()
        self._meter = meter
        self._budget: Budget | None = None

    @property
    def spending(self) -> Spending:
        """The spending of the work so far."""
        if self._budget is None:
            return Spending()
        spent = self._budget.spending
        return Spending(spent.calls, spent.prompt_tokens, spent.completion_tokens, to_nanodollars(spent.dollars))

    def build_budget(self, limits: Limits, price: Price | None) -> Budget:
        """Return the work's budget: the request's limits, capped by the reservation."""
        dollars = self.granted.nanodollars
        reserved = Limits(
            tokens=self.granted.tokens, dollars=None if dollars is None else Decimal(dollars) / NANODOLLARS
        )
        # guard: answers-metered
        self._budget = super().build_budget(limits.narrow_to(reserved), price)
        return self._budget

    def stream_events(self, create_events: Callable[[], Iterator[Event]]) -> Generator[Event, None, None]:
        """Start the work and yield its events. The reservation is settled when the events end, even with an error.

        Raises `QuotaExceededError` if the work stopped early because less was reserved than had been requested.
        """
        try:
            return self._iter_and_settle(create_events())
        except BaseException:
            self._meter.settle_work(self)
            raise

    def _iter_and_settle(self, events: Iterator[Event]) -> Generator[Event, None, None]:
        try:
            yield from events
        except BudgetExhaustedError as error:
            if self.granted.lowered is None or error.resource not in ("tokens", "dollars"):
                raise
            raise self.granted.lowered from error
        finally:
            self._meter.settle_work(self)


class MeteredRewriter:
    """Rewrites queries and counts the spending against the quotas of an account."""

    def __init__(self, meter: Meter, account: Account, rewriter: ModelRewriter) -> None:
        self._meter = meter
        self._account = account
        self._rewriter = rewriter

    def rewrite_query(self, tenant_id: str, query: str, method: Rewrite) -> Sequence[str]:
        """Rewrite `query` with a `ModelRewriter`. Raises `QuotaExceededError` if a quota is used up."""
        metered = self._meter.reserve_rewrite(self._account, self._rewriter.compute_limits())
        try:
            return self._rewriter.rewrite_query(tenant_id, query, method, metered)
        finally:
            self._meter.settle_work(metered)


class MeteredSuggester:
    """Suggests questions and counts the spending against the quotas of an account."""

    def __init__(self, meter: Meter, account: Account, suggester: ModelSuggester) -> None:
        self._meter = meter
        self._account = account
        self._suggester = suggester

    def suggest(self, request: SuggestionRequest) -> list[str]:
        """Return suggested questions, or none if no capable model is available.

        Raises the errors of `ModelSuggester.suggest`, and `QuotaExceededError` if a quota is used up.
        """
        model = self._suggester.acquire_model()
        if model is None:
            return []
        metered = self._meter.reserve_suggestion(self._account, compute_suggestion_limits(request, model))
        try:
            # guard: suggestions-metered
            return self._suggester.suggest(model, request, metered)
        finally:
            self._meter.settle_work(metered)
