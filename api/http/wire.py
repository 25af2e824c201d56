"""The base class of wire models, and replacements for values that cannot be sent.

The replacements are needed for values that were stored before values were validated. Such a value must not break a
response.
"""

import math
import re
from datetime import UTC, datetime
from types import NoneType, SimpleNamespace
from typing import Annotated, Any, Self, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, ModelWrapValidatorHandler, model_validator

from ingest.storage.quotas.records import Quota, QuotaStatus

_SURROGATE = re.compile("[\ud800-\udfff]")
_Text = TypeVar("_Text", bound=str)
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_AS_IS = frozenset({bool, int, float, NoneType, datetime})


def to_sendable_text(text: str) -> str:
    """Return the text with each lone surrogate replaced by the Unicode replacement character."""
    return text if text.isascii() else _SURROGATE.sub(_REPLACEMENT, text)


def to_sendable(value: Any) -> Any:  # noqa: ANN401 - of any kind
    """Return a JSON value with lone surrogates replaced and non-finite numbers set to null."""
    if isinstance(value, str):
        return to_sendable_text(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {to_sendable(name): to_sendable(member) for name, member in value.items()}
    if isinstance(value, list):
        return [to_sendable(member) for member in value]
    return value


def _replace_unsendable(fields: dict[str, Any]) -> None:
    for name, value in fields.items():
        # Values of these types are sent unchanged, so this fast path skips `to_sendable` for such a value.
        if (kind := value.__class__) in _AS_IS or (kind is str and value.isascii()):
            continue
        # guard: outbound-records
        fields[name] = to_sendable(value)


class Wire(BaseModel):
    """The base class of wire models. Unknown request fields are rejected, so that misspelt names are noticed.

    Values that cannot be sent, which were stored before values were validated, are replaced.
    """

    # Validation errors are logged, so they must not contain values. Aliases are the names of record attributes, whereas
    # JSON uses the names of the model's fields.
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, validate_by_name=True)

    @classmethod
    def from_records(cls, *records: object, **overrides: object) -> Self:
        """Build the model from dataclasses.

        Each field is read from the attribute named by its `validation_alias` or, if it has none, from the attribute of
        the same name. Fields in `overrides` take precedence over attributes, and earlier records over later ones.
        """
        if len(records) == 1 and not overrides:
            return cls.model_validate(records[0], from_attributes=True)
        joined = SimpleNamespace()
        for attributes in (*map(vars, reversed(records)), overrides):
            vars(joined).update(attributes)
        return cls.model_validate(joined, from_attributes=True)

    @model_validator(mode="wrap")
    @classmethod
    def _make_sendable(cls, fields: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:  # noqa: ANN401 - of any kind
        if isinstance(fields, dict):
            # guard: outbound-text
            fields = {name: value if isinstance(value, float) else to_sendable(value) for name, value in fields.items()}
            return handler(fields)
        made = handler(fields)
        if made is not fields:
            _replace_unsendable(made.__dict__)
        return made


def convert_timestamp(seconds: float) -> datetime:
    """Convert a Unix timestamp to a datetime in UTC."""
    return datetime.fromtimestamp(seconds, UTC)


def _convert_timestamp_field(value: object) -> object:
    return convert_timestamp(value) if isinstance(value, float) else value


def _round_seconds(seconds: float) -> float:
    return round(seconds, 1)


# A sorted list. It is sorted because records contain sets, whose order differs between processes.
InOrder = Annotated[list[_Text], AfterValidator(sorted)]
# A time. Records contain Unix timestamps, which are converted with `convert_timestamp`, because Pydantic would round
# some timestamps to a different microsecond.
Instant = Annotated[datetime, BeforeValidator(_convert_timestamp_field)]
# A duration in seconds, rounded because estimates are not precise enough to justify more digits.
RoundedSeconds = Annotated[float, AfterValidator(_round_seconds)]


class QuotaOut(Wire):
    """A quota of the `tenant` or the `key`; `left` is the remaining amount. Dollar quotas are in dollars.

    `used` includes reservations of answers in progress. `renews_at` is the start of the next day or month in UTC. It is
    null for quotas that do not renew: concurrency, documents and bytes, which are freed when something ends or is
    deleted.
    """

    quota: Quota
    of: str
    limit: float | int
    used: float | int
    left: float | int
    renews_at: Instant | None

    @classmethod
    def from_status(cls, status: QuotaStatus) -> Self:
        number = status.quota.to_json_number
        return cls(
            quota=status.quota,
            of=status.of,
            limit=number(status.limit),
            used=number(status.used),
            left=number(status.remaining),
            renews_at=status.renews_at,
        )
