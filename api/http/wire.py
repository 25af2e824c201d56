"""The base of the models that are sent, and what makes values fit to be sent.

What was stored before it was checked must not break a reply.
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
    """Return the text with the replacement character for each half of a surrogate pair."""
    return text if text.isascii() else _SURROGATE.sub(_REPLACEMENT, text)


def to_sendable(value: Any) -> Any:  # noqa: ANN401 - of any kind
    """Return a JSON value with `sendable_text`, and null for numbers that are not finite; anything else as it is."""
    if isinstance(value, str):
        return to_sendable_text(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {to_sendable(name): to_sendable(member) for name, member in value.items()}
    if isinstance(value, list):
        return [to_sendable(member) for member in value]
    return value


def _replace_unsendable(members: dict[str, Any]) -> None:
    for name, value in members.items():
        # Most members are one of these; a call of `sendable` for each would take longer.
        if (kind := value.__class__) in _AS_IS or (kind is str and value.isascii()):
            continue
        # guard: outbound-records
        members[name] = to_sendable(value)


class Wire(BaseModel):
    """The base of wire models: unknown members of a request are refused, so that a misspelt one is noticed.

    What cannot be sent, because it was stored before it was checked, is replaced.
    """

    # Errors are logged, and values are not. Aliases name attributes of records; JSON has the members' own names.
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, validate_by_name=True)

    @classmethod
    def from_records(cls, *records: object, **computed: object) -> Self:
        """Make it from dataclasses: each member from the attribute of its `validation_alias`, or of its own name.

        `computed` members take precedence over attributes, and earlier records over later ones.
        """
        if len(records) == 1 and not computed:
            return cls.model_validate(records[0], from_attributes=True)
        joined = SimpleNamespace()
        for attributes in (*map(vars, reversed(records)), computed):
            vars(joined).update(attributes)
        return cls.model_validate(joined, from_attributes=True)

    @model_validator(mode="wrap")
    @classmethod
    def _make_sendable(cls, members: Any, make: ModelWrapValidatorHandler[Self]) -> Self:  # noqa: ANN401 - of any kind
        if isinstance(members, dict):
            # guard: outbound-text
            members = {
                name: value if isinstance(value, float) else to_sendable(value) for name, value in members.items()
            }
            return make(members)
        made = make(members)
        if made is not members:
            _replace_unsendable(made.__dict__)
        return made


def to_instant(seconds: float) -> datetime:
    """Return the instant in UTC."""
    return datetime.fromtimestamp(seconds, UTC)


def _convert_instant(value: object) -> object:
    return to_instant(value) if isinstance(value, float) else value


def _round_seconds(seconds: float) -> float:
    return round(seconds, 1)


# Records have sets, whose order differs from process to process.
InOrder = Annotated[list[_Text], AfterValidator(sorted)]
# Records have seconds. Pydantic would round some of them to another microsecond than `instant` does.
Instant = Annotated[datetime, BeforeValidator(_convert_instant)]
# Estimates are not exact enough for more digits.
RoundedSeconds = Annotated[float, AfterValidator(_round_seconds)]


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
    renews_at: Instant | None

    @classmethod
    def from_standing(cls, standing: QuotaStatus) -> Self:
        number = standing.quota.to_json_number
        return cls(
            quota=standing.quota,
            of=standing.of,
            limit=number(standing.limit),
            used=number(standing.used),
            left=number(standing.remaining),
            renews_at=standing.renews_at,
        )
