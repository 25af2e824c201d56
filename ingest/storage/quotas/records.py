"""Quotas: the most that a tenant, or one of its keys, may spend, store and do at once; and what was used of them.

Amounts are whole numbers, so that sums are exact in every database. Dollars are counted in nanodollars: a thousandth of
the price of one token at a dollar for a million.
"""

from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from enum import StrEnum
from typing import Literal

from ingest.storage.errors import CatalogError, UploadError

NANODOLLARS = 1_000_000_000
# The largest number that both databases hold.
_MAX_AMOUNT = 2**63 - 1


class Quota(StrEnum):
    """What can be limited. Days and months are those of UTC."""

    REQUESTS_PER_MINUTE = "requests_per_minute"
    TOKENS_PER_DAY = "tokens_per_day"  # read and written together
    TOKENS_PER_MONTH = "tokens_per_month"
    DOLLARS_PER_DAY = "dollars_per_day"
    DOLLARS_PER_MONTH = "dollars_per_month"
    ANSWERS_AT_ONCE = "answers_at_once"  # those that clients wait for
    RUNS_AT_ONCE = "runs_at_once"  # answers in the background that have not ended
    DOCUMENTS = "documents"
    BYTES = "bytes"  # of the originals: of replaced versions until they are replaced, of failed ones until deleted

    @property
    def is_in_dollars(self) -> bool:
        return self in (Quota.DOLLARS_PER_DAY, Quota.DOLLARS_PER_MONTH)

    def parse_amount(self, written: str) -> int:
        """Read an amount: `250000`, `2.5m`, `10g`, or dollars such as `12.50`. Raises `ValueError`."""
        text = written.strip().lower().replace("_", "").lstrip("$")
        factor = 1 if self.is_in_dollars else _FACTORS.get(text[-1:], 1)
        try:
            number = Decimal(text.rstrip("kmgt") if factor > 1 else text) * (
                NANODOLLARS if self.is_in_dollars else factor
            )
            whole = int(number)
        except (ArithmeticError, ValueError) as error:
            raise ValueError(f"{self}: {written!r} is not a number") from error
        if not 0 <= whole <= _MAX_AMOUNT or whole != number:
            raise ValueError(f"{self}: {written!r} is not a whole number from 0 up that can be counted")
        return whole

    def format_amount(self, amount: int) -> str:
        """Write an amount for people."""
        return f"${Decimal(amount) / NANODOLLARS:,.2f}" if self.is_in_dollars else f"{amount:,}"

    def to_json_number(self, amount: int) -> float | int:
        """Return an amount as JSON has it: dollars as dollars."""
        return amount / NANODOLLARS if self.is_in_dollars else amount


_FACTORS = {"k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}

TOKEN_QUOTAS = (Quota.TOKENS_PER_DAY, Quota.TOKENS_PER_MONTH)
DOLLAR_QUOTAS = (Quota.DOLLARS_PER_DAY, Quota.DOLLARS_PER_MONTH)


def parse_quotas(written: str) -> dict[Quota, int]:
    """Read quotas as settings have them: `tokens_per_day=2m dollars_per_month=50`. Raises `ValueError`."""
    found: dict[Quota, int] = {}
    for pair in written.split():
        name, equals, amount = pair.partition("=")
        if name not in set(Quota) or not equals:
            raise ValueError(f"{pair!r} is no quota: write NAME=AMOUNT with one of {', '.join(Quota)}")
        found[Quota(name)] = Quota(name).parse_amount(amount)
    return found


def to_nanodollars(dollars: Decimal) -> int:
    """Return an amount of money as it is counted, rounded up."""
    return int((dollars * NANODOLLARS).to_integral_value(ROUND_CEILING))


@dataclass(frozen=True)
class Account:
    """Whose quotas a request counts on: a tenant's, and those of the key that it came with, if it came with one."""

    tenant_id: str
    key_id: str = ""


@dataclass(frozen=True)
class Spending:
    """Usage of language models: requests that were sent, and what they cost."""

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    nanodollars: int = 0

    def __sub__(self, other: "Spending") -> "Spending":
        return Spending(**{name: value - getattr(other, name) for name, value in vars(self).items()})


@dataclass(frozen=True)
class QuotaStatus:
    """One quota of a tenant or of a key. `used` includes what work under way has reserved.

    `renews_at` is when a day, month or minute is over, in seconds of the epoch; None for what is given back instead.
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
    """What came of one key's requests on one day of UTC; `key_id` is empty for requests without a key."""

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
    """A quota of the tenant or of its key is used up; `quota` says which, what is left, and when it is renewed."""

    code = "quota_exceeded"
    default_hint = (
        "Come back after the seconds that Retry-After names, or have the limit raised: `leadline quotas set`. "
        "GET /v1/quotas shows all limits and what is left of them."
    )

    def __init__(self, detail: str, *, standing: QuotaStatus, retry_after: float) -> None:
        super().__init__(detail)
        self.standing = standing
        self.retry_after_seconds = retry_after


class StorageQuotaExceededError(QuotaExceededError, UploadError):
    """The tenant, or its key, stores as much as it may; nothing of the upload was kept."""

    default_hint = "Delete documents that nobody needs, or have the limit raised: `leadline quotas set`."
