"""The base of the models that are sent, and what makes values fit to be sent.

What was stored before it was checked must not break a reply.
"""

import math
import re
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator

from ingest.storage.quotas.records import Quota, Standing

_SURROGATE = re.compile("[\ud800-\udfff]")
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def sendable_text(text: str) -> str:
    """Return the text with the replacement character for each half of a surrogate pair."""
    return _SURROGATE.sub(_REPLACEMENT, text)


def sendable(value: Any) -> Any:  # noqa: ANN401 - of any kind
    """Return a JSON value with `sendable_text`, and null for numbers that are not finite; anything else as it is."""
    if isinstance(value, str):
        return sendable_text(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {sendable(name): sendable(member) for name, member in value.items()}
    if isinstance(value, list):
        return [sendable(member) for member in value]
    return value


class Wire(BaseModel):
    """The base of wire models: unknown members of a request are refused, so that a misspelt one is noticed.

    What cannot be sent, because it was stored before it was checked, is replaced.
    """

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)  # errors are logged, and values are not

    @model_validator(mode="before")
    @classmethod
    def _sendable(cls, members: Any) -> Any:  # noqa: ANN401 - what a model is made from
        if not isinstance(members, dict):
            return members
        # guard: outbound-text
        return {name: value if isinstance(value, float) else sendable(value) for name, value in members.items()}


def instant(seconds: float) -> datetime:
    """Return the instant in UTC."""
    return datetime.fromtimestamp(seconds, UTC)


class QuotaOut(Wire):
    """A quota of the `tenant` or of the `key`, and what is `left` of it. Dollars are dollars.

    `used` includes what answers under way have reserved. `renews_at` is when a day or month of UTC begins; null for
    what is given back instead: places, documents and bytes.
    """

    quota: Quota
    of: str
    limit: float | int
    used: float | int
    left: float | int
    renews_at: datetime | None

    @classmethod
    def of_standing(cls, standing: Standing) -> "QuotaOut":
        quota = standing.quota
        return cls(
            quota=quota,
            of=standing.of,
            limit=quota.number(standing.limit),
            used=quota.number(standing.used),
            left=quota.number(standing.left),
            renews_at=None if standing.renews_at is None else instant(standing.renews_at),
        )
