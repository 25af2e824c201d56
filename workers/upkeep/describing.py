"""Has a model fill in the cards of documents, one at a time, in collections that ask for it."""

import time
import uuid
from collections.abc import Callable
from decimal import Decimal

import structlog

from ingest.describing.occurrence import keep_stated_fields
from ingest.storage.documents.cards.descriptions import CardDescriptions
from ingest.storage.documents.cards.records import UndescribedVersion
from ingest.storage.errors import ContentChangedError
from ingest.storage.quotas.records import NANODOLLARS, Account, QuotaExceededError, Spending, to_nanodollars
from ingest.storage.quotas.store import Quotas
from ingest.storage.texts.texts import Texts
from rlm.describing import (
    DEADLINE_SECONDS,
    DescribedDocument,
    ModelDescriber,
    build_describe_call,
    compute_describe_limits,
    read_excerpts,
)
from rlm.errors import (
    AnswerError,
    BudgetExhaustedError,
    DocumentUnreadableError,
    LanguageModelUnavailableError,
    RunCancelledError,
)
from rlm.llm.budgets import Budget, Limits
from rlm.llm.port import ChatModel
from workers.metrics import DESCRIPTIONS

log = structlog.get_logger(__name__)

# Time until another process may describe a version whose process was killed.
_CLAIM_SECONDS = 2 * DEADLINE_SECONDS
# Once no version is waiting, and while the model is unavailable, check again only after this time.
_RECHECK_SECONDS = 60.0
# The first and the longest wait after a failure. Each failure doubles it.
_FIRST_RETRY_SECONDS, _LONGEST_RETRY_SECONDS = 600.0, 7 * 24 * 3600.0
_DAY_SECONDS = 24 * 3600.0


class DescriptionFiller:
    """Describes active versions whose cards have no fields by a model, ordered by id. The catalog records the progress.

    Any number of processes may do this concurrently: each claims the version that it describes. The tokens are reserved
    before a call, and charged to the quotas of the tenant.
    """

    def __init__(
        self,
        descriptions: CardDescriptions,
        describer: ModelDescriber,
        texts: Texts,
        quotas: Quotas,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._descriptions = descriptions
        self._describer = describer
        self._texts = texts
        self._quotas = quotas
        self._clock = clock
        self._after = ""
        self._next = 0.0
        # The times at which the quotas of tenants are tried again.
        self._exhausted: dict[str, float] = {}

    def run_step(self, cancelled: Callable[[], bool]) -> bool:
        """Describe the next version. Return false if there is nothing to do for a while.

        Returns soon after `cancelled` returns true. The version is then described again later.
        """
        now = self._clock()
        if now < self._next:
            return False
        self._exhausted = {tenant: until for tenant, until in self._exhausted.items() if until > now}
        version = None
        if (model := self._describer.acquire_model()) is not None:
            version = self._descriptions.claim_next(
                self._after, seconds=_CLAIM_SECONDS, without_tenants=self._exhausted
            )
        if model is None or version is None:
            self._after, self._next = "", now + _RECHECK_SECONDS
            return False
        self._after = version.version_id
        outcome = self._describe_version(version, model, cancelled)
        DESCRIPTIONS.labels(outcome).inc()
        return True

    def _describe_version(self, version: UndescribedVersion, model: ChatModel, cancelled: Callable[[], bool]) -> str:
        """Describe a claimed version, and return the outcome: `stored`, `discarded` or the code of an error."""
        retry_seconds = min(_LONGEST_RETRY_SECONDS, _FIRST_RETRY_SECONDS * 2.0 ** min(version.failures, 20))
        code: str | None
        try:
            return "stored" if self._fill_card(version, model, cancelled) else "discarded"
        except RunCancelledError:
            code, retry_seconds, failures = None, 0.0, version.failures
        except QuotaExceededError as error:
            code, failures = error.code, version.failures
            retry_seconds = _DAY_SECONDS - self._clock() % _DAY_SECONDS
            self._exhausted[version.tenant_id] = self._clock() + retry_seconds
        except LanguageModelUnavailableError as error:
            # The next versions would fail as well, and their attempts are not counted.
            code, retry_seconds, failures = error.code, 0.0, version.failures
            self._next = self._clock() + (error.retry_after_seconds or _RECHECK_SECONDS)
        except BudgetExhaustedError as error:  # the model was busy with other calls
            code, retry_seconds, failures = error.code, _FIRST_RETRY_SECONDS, version.failures
            self._next = self._clock() + _RECHECK_SECONDS
        except AnswerError as error:
            code, failures = error.code, version.failures + 1
        self._descriptions.postpone(version, retry_seconds, reason=code, failures=failures)
        # Only the code is logged, because a message may contain text of the document.
        log.info("document not described", version=version.version_id, reason=code, retry_seconds=round(retry_seconds))
        return code or "interrupted"

    def _fill_card(self, version: UndescribedVersion, model: ChatModel, cancelled: Callable[[], bool]) -> bool:
        document = self._read_document(version)
        call = build_describe_call(document)
        account, reservation = Account(version.tenant_id), str(uuid.uuid4())
        budget = self._reserve_budget(account, reservation, compute_describe_limits(call, model))
        try:
            found = self._describer.describe_document(
                model, version.tenant_id, version.version_id, call, budget, cancelled
            )
        finally:
            spent = budget.spending
            tokens = spent.prompt_tokens, spent.completion_tokens
            spending = Spending(spent.calls, *tokens, to_nanodollars(spent.dollars))
            # guard: descriptions-charged
            self._quotas.charge(account, "describe", reservation, spending, reported_spending=Spending())
        stated = keep_stated_fields(found, document.text, version.name, version.fields.language)
        return self._descriptions.store_fields(version, stated)

    def _read_document(self, version: UndescribedVersion) -> DescribedDocument:
        identifier = version.version_id
        try:
            characters = self._texts.load_map(identifier).characters
            head, tail = read_excerpts(characters, lambda start, end: self._texts.read(identifier, start, end))
        except (KeyError, ValueError, ContentChangedError) as error:
            # The message of a decoding error contains the text.
            raise DocumentUnreadableError("The text cannot be read.", document_id=version.document_id) from error
        return DescribedDocument(version.name, version.fields, head, tail)

    def _reserve_budget(self, account: Account, reservation: str, limits: Limits) -> Budget:
        """Reserve the limits of a call. Raises `QuotaExceededError` if less than that remains."""
        grant = self._quotas.reserve(
            account,
            "describe",
            reservation,
            tokens=limits.tokens,
            nanodollars=to_nanodollars(limits.dollars or Decimal(0)),
            lease_seconds=_CLAIM_SECONDS,
        )
        # guard: describe-quota
        if grant.lowered is not None:
            self._quotas.charge(account, "describe", reservation, Spending(), reported_spending=Spending())
            raise grant.lowered
        dollars = None if grant.nanodollars is None else Decimal(grant.nanodollars) / NANODOLLARS
        return Budget(limits.narrow_to(Limits(tokens=grant.tokens, dollars=dollars)))
