"""Wire models for quotas and usage."""

from decimal import Decimal
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator

from api.http.wire import QuotaOut, Wire
from ingest.storage.quotas.records import NANODOLLARS, Quota, UsageDay


class LimitOut(Wire):
    """The limit of a quota of the `tenant` or the `key`; null means unlimited. Dollar quotas are in dollars.

    `default` is the limit in the settings, which applies unless another one was set. `allowed` is the highest limit
    that an admin may set: for a tenant, the one from its operator or from the settings. `used` includes reserved
    amounts, and is null for requests per minute.
    """

    quota: Quota
    of: str
    limit: float | int | None
    default: float | int | None
    allowed: float | int | None
    used: float | int | None


class QuotasOut(Wire):
    """All quotas of the caller's tenant and key with a limit. Anything that is not listed is unlimited.

    `limits` lists every quota, also those without a limit and requests per minute.
    """

    quotas: list[QuotaOut]
    limits: list[LimitOut]


class QuotasIn(Wire):
    """Limits, keyed by quota, such as `{"tokens_per_day": 2000000, "dollars_per_month": 12.5}`.

    `null` removes the limit, even if the settings contain one. `default` restores the limit in the settings.
    """

    limits: dict[Quota, Annotated[Decimal, Field(ge=0)] | Literal["default"] | None]

    @field_validator("limits")
    @classmethod
    def _check_amounts(cls, limits: dict[Quota, Decimal | str | None]) -> dict[Quota, Decimal | str | None]:
        for quota, limit in limits.items():
            if isinstance(limit, Decimal):
                quota.parse_amount(str(limit))
        return limits

    def split_changes(self) -> tuple[dict[Quota, int | None], list[Quota]]:
        """Return the limits to set, and the quotas to reset to their defaults."""
        back = [quota for quota, limit in self.limits.items() if limit == "default"]
        stated = {quota: limit for quota, limit in self.limits.items() if quota not in back}
        return {
            quota: None if limit is None else quota.parse_amount(str(limit)) for quota, limit in stated.items()
        }, back


class KeyUsageOut(Wire):
    """Usage of one key on one UTC `day`; `key_id` is null for requests without a key.

    `documents` and `bytes` count all uploads, including those that have been deleted since.
    """

    day: str
    key_id: str | None
    answers: int
    runs: int
    calls: int
    prompt_tokens: int
    completion_tokens: int
    dollars: float
    documents: int
    bytes: int

    @classmethod
    def from_day(cls, day: UsageDay) -> Self:
        return cls.from_records(day, key_id=day.key_id or None, dollars=day.nanodollars / NANODOLLARS)


class UsagePage(Wire):
    """A page of usage, newest day first; `next_cursor` is null on the last page."""

    usage: list[KeyUsageOut]
    next_cursor: str | None


class CollectionUsageOut(Wire):
    """Usage of a collection: the number of questions that used its documents, and the total spending on them."""

    collection: str
    questions: int
    prompt_tokens: int
    completion_tokens: int
    dollars: float


class CollectionUsageList(Wire):
    """Usage of each collection, sorted by tokens in descending order."""

    collections: list[CollectionUsageOut]


class ChannelUsageOut(Wire):
    """Usage of a Slack channel on one UTC `day`.

    A `channel` that begins with U is a user who asked with `/ask`. `answers` counts the `questions` that were answered.
    `files` counts the files that were shared with the bot, and `documents` counts how many of them became documents.
    """

    day: str
    channel: str
    questions: int
    answers: int
    files: int
    documents: int
    calls: int
    prompt_tokens: int
    completion_tokens: int
    dollars: float


class ChannelUsagePage(Wire):
    """A page of usage by channel, newest day first; `next_cursor` is null on the last page."""

    usage: list[ChannelUsageOut]
    next_cursor: str | None
