"""Records of quotas, which limit how much a tenant or key may spend, store and run concurrently.

Amounts are whole numbers, so that sums are exact in every database. Dollars are stored as nanodollars: at a price of
one dollar per million tokens, a token costs 1,000 nanodollars.
"""

from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from enum import StrEnum
from typing import Literal

from ingest.storage.errors import CatalogError, UploadError

NANODOLLARS = 1_000_000_000
# Largest integer that both databases can store.
_MAX_AMOUNT = 2**63 - 1


class Quota(StrEnum):
    """The kinds of quotas. Days and months are in UTC."""

    REQUESTS_PER_MINUTE = "requests_per_minute"
    TOKENS_PER_DAY = "tokens_per_day"  # Prompt tokens and completion tokens together.
    TOKENS_PER_MONTH = "tokens_per_month"
    DOLLARS_PER_DAY = "dollars_per_day"
    DOLLARS_PER_MONTH = "dollars_per_month"
    ANSWERS_AT_ONCE = "answers_at_once"  # Answers that a client is waiting for.
    RUNS_AT_ONCE = "runs_at_once"  # Background answers that have not finished.
    DOCUMENTS = "documents"
    # Size of originals in bytes. An original counts until its version is replaced or, if the version failed, deleted.
    BYTES = "bytes"

    @property
    def is_in_dollars(self) -> bool:
        return self in (Quota.DOLLARS_PER_DAY, Quota.DOLLARS_PER_MONTH)

    def parse_amount(self, value: str) -> int:
        """Parse an amount such as `250000`, `2.5m`, `10g`, or `12.50` dollars. Raises `ValueError` if it is invalid."""
        text = value.strip().lower().replace("_", "").lstrip("$")
        factor = 1 if self.is_in_dollars else _FACTORS.get(text[-1:], 1)
        try:
            number = Decimal(text.rstrip("kmgt") if factor > 1 else text) * (
                NANODOLLARS if self.is_in_dollars else factor
            )
            whole = int(number)
        except (ArithmeticError, ValueError) as error:
            raise ValueError(f"{self}: {value!r} is not a number.") from error
        if not 0 <= whole <= _MAX_AMOUNT or whole != number:
            raise ValueError(f"{self}: {value!r} is negative, too large, or not a whole number.")
        return whole

    def format_amount(self, amount: int) -> str:
        """Format an amount for display."""
        return f"${Decimal(amount) / NANODOLLARS:,.2f}" if self.is_in_dollars else f"{amount:,}"

    def to_json_number(self, amount: int) -> float | int:
        """Convert an amount to a JSON number: a decimal number of dollars, or an integer."""
        return amount / NANODOLLARS if self.is_in_dollars else amount


_FACTORS = {"k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}

TOKEN_QUOTAS = (Quota.TOKENS_PER_DAY, Quota.TOKENS_PER_MONTH)
DOLLAR_QUOTAS = (Quota.DOLLARS_PER_DAY, Quota.DOLLARS_PER_MONTH)


def parse_quotas(text: str) -> dict[Quota, int]:
    """Parse quotas such as `tokens_per_day=2m dollars_per_month=50`. Raises `ValueError` if they are invalid."""
    found: dict[Quota, int] = {}
    for pair in text.split():
        name, equals, amount = pair.partition("=")
        if name not in set(Quota) or not equals:
            raise ValueError(f"{pair!r} is not a quota. Write NAME=AMOUNT, where NAME is one of {', '.join(Quota)}.")
        found[Quota(name)] = Quota(name).parse_amount(amount)
    return found


def to_nanodollars(dollars: Decimal) -> int:
    """Convert dollars to nanodollars, rounding up."""
    return int((dollars * NANODOLLARS).to_integral_value(ROUND_CEILING))


@dataclass(frozen=True)
class Account:
    """The tenant and, if one was used, the key whose quotas a request counts against."""

    tenant_id: str
    key_id: str = ""


@dataclass(frozen=True)
class Spending:
    """Usage of language models: the number of requests, and their tokens and cost."""

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    nanodollars: int = 0

    def __sub__(self, other: "Spending") -> "Spending":
        return Spending(**{name: value - getattr(other, name) for name, value in vars(self).items()})


@dataclass(frozen=True)
class QuotaStatus:
    """The status of one quota of a tenant or key. `used` includes amounts reserved by work in progress.

    `renews_at` is the end of the current day, month or minute, in seconds since the epoch. It is None for quotas
    without a period, which are freed when content is deleted or work ends.
    """

    quota: Quota
    of: Literal["tenant", "key"]
    limit: int
    used: int
    reserved: int = 0
    renews_at: float | None = None

    @property
    def remaining(self) -> int:
        return max(0, self.limit - self.used)


@dataclass(frozen=True)
class UsageDay:
    """The usage of one key on one day (UTC). `key_id` is empty for requests without a key."""

    day: str
    key_id: str
    answers: int
    runs: int
    calls: int
    prompt_tokens: int
    completion_tokens: int
    nanodollars: int
    documents: int
    bytes: int


class QuotaExceededError(CatalogError):
    """Raised if a quota of the tenant or its key is exhausted. `standing` is the status of that quota."""

    code = "quota_exceeded"
    default_hint = (
        "Retry after the number of seconds in Retry-After, or have an operator raise the limit with "
        "`leadline quotas set`. GET /v1/quotas shows all limits and remaining amounts."
    )

    def __init__(self, detail: str, *, status: QuotaStatus, retry_after: float) -> None:
        super().__init__(detail)
        self.standing = status
        self.retry_after_seconds = retry_after


class StorageQuotaExceededError(QuotaExceededError, UploadError):
    """Raised if an upload exceeds a storage quota of the tenant or its key. Nothing from the upload is stored."""

    default_hint = (
        "Delete documents that are no longer needed, or have an operator raise the limit with `leadline quotas set`."
    )
