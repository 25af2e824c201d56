"""The base of the models that are sent, and what makes values fit to be sent.

What was stored before it was checked must not break a reply.
"""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import is_dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, model_validator

from ingest.storage.quotas.records import Quota, Standing

_SURROGATE = re.compile("[\ud800-\udfff]")
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_MISSING = object()


def sendable_text(text: str) -> str:
    """Return the text with the replacement character for each half of a surrogate pair."""
    return text if text.isascii() else _SURROGATE.sub(_REPLACEMENT, text)


def sendable(value: Any) -> Any:  # noqa: ANN401 - of any kind
    """Return a JSON value with `sendable_text`, and null for numbers that are not finite; anything else as it is.

    Tuples become lists, and sets become sorted lists.
    """
    if isinstance(value, str):
        return sendable_text(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {sendable(name): sendable(member) for name, member in value.items()}
    if isinstance(value, list | tuple):
        return [sendable(member) for member in value]
    if isinstance(value, frozenset):
        return [sendable(member) for member in sorted(value)]
    return value


class Wire(BaseModel):
    """The base of wire models: unknown members of a request are refused, so that a misspelt one is noticed.

    `model_validate` also takes a record, a dataclass, and reads the attributes that are named like the members, or like
    their `validation_alias`. Text and numbers that cannot be sent, because they were stored before they were checked,
    are replaced.
    """

    # Errors are logged, and values are not. JSON has members by their names, and records by their aliases.
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, validate_by_name=True)

    @classmethod
    def from_records(cls, *records: object, **computed: object) -> Self:
        """Make it from `computed` members and, for the others, from the first of the records that has the attribute."""
        return cls.model_validate(_read(cls, records, computed))

    @model_validator(mode="before")
    @classmethod
    def _sendable(cls, members: Any) -> Any:  # noqa: ANN401 - what a model is made from
        # Not by `from_attributes`, which would read the record only after this and leave its text unchecked.
        if is_dataclass(members):
            members = _read(cls, (members,), {})
        if not isinstance(members, dict):
            return members
        # guard: outbound-text
        return {name: value if isinstance(value, float) else sendable(value) for name, value in members.items()}


@cache
def _attributes(model: type[Wire]) -> tuple[tuple[str, str], ...]:
    """Return the name of each member, and of the attribute that it is read from."""
    return tuple((name, str(field.validation_alias or name)) for name, field in model.model_fields.items())


def _read(model: type[Wire], records: Iterable[object], computed: Mapping[str, object]) -> dict[str, object]:
    members = dict(computed)
    for name, attribute in _attributes(model):
        if name in computed:
            continue
        for record in records:
            value = getattr(record, attribute, _MISSING)
            if value is not _MISSING:
                members[attribute] = value
                break
    return members


def instant(seconds: float) -> datetime:
    """Return the instant in UTC."""
    return datetime.fromtimestamp(seconds, UTC)


def _as_instant(value: object) -> object:
    return instant(value) if isinstance(value, float | int) else value


def _round(seconds: float) -> float:
    return round(seconds, 1)


# Records have seconds, and `datetime` alone rounds some to another microsecond than `instant` does.
Instant = Annotated[datetime, BeforeValidator(_as_instant)]
# An estimate has more digits than it can vouch for.
RoundedSeconds = Annotated[float, AfterValidator(_round)]


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
    def of_standing(cls, standing: Standing) -> Self:
        amounts = {name: standing.quota.number(getattr(standing, name)) for name in ("limit", "used", "left")}
        return cls.from_records(standing, **amounts)
