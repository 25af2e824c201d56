"""Typed conditions on documents' attributes: equality, lists, ranges of numbers and of dates.

A client writes them by attribute:

    {"language": "en", "year": {"gte": 1800, "lt": 1900}, "author": ["Austen", "Shelley"], "draft": {"not": true}}

A list attribute matches when one of its members does. A document without the attribute matches `not` only.
"""

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from retrieval.errors import QueryError

MAX_CONDITIONS = 20
MAX_VALUES = 1_000
_HINT = 'A condition is a value, a list of values, or an object such as {"gte": 1800, "lt": 1900} or {"not": "draft"}.'

Scalar = str | int | float | bool
_COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}


@dataclass(frozen=True)
class Condition:
    """A condition on one attribute: one of the values, none of them, or within every bound (a number or an instant)."""

    attribute: str
    one_of: tuple[Scalar, ...] | None = None
    none_of: tuple[Scalar, ...] = ()
    bounds: tuple[tuple[str, float | datetime], ...] = ()

    def holds(self, value: object) -> bool:
        """True if the attribute's value, a list or a single one, meets the condition; None means no such attribute."""
        members = list(value) if isinstance(value, list | tuple) else [] if value is None else [value]
        if any(_same(member, other) for member in members for other in self.none_of):
            return False
        if self.one_of is None and not self.bounds:
            return True
        return any(self._member_holds(member) for member in members)

    def _member_holds(self, member: object) -> bool:
        if self.one_of is not None and not any(_same(member, other) for other in self.one_of):
            return False
        return all(_bounded(member, name, bound) for name, bound in self.bounds)


def conditions(filters: Mapping[str, Any]) -> tuple[Condition, ...]:
    """Parse filters into conditions. Raises `QueryError` for a filter that is not valid."""
    if len(filters) > MAX_CONDITIONS:
        raise QueryError(
            f"There are {len(filters)} filters, and the limit is {MAX_CONDITIONS}.", hint="Leave some out."
        )
    return tuple(_condition(attribute, wanted) for attribute, wanted in filters.items())


def match(attributes: Mapping[str, Any], wanted: Sequence[Condition]) -> bool:
    return all(condition.holds(attributes.get(condition.attribute)) for condition in wanted)


def _condition(attribute: str, wanted: object) -> Condition:
    if not isinstance(wanted, Mapping):
        return Condition(attribute, one_of=_values(attribute, wanted))
    unknown = wanted.keys() - _COMPARISONS.keys() - {"not", "in"}
    if unknown or not wanted:
        what = f"has no operator {', '.join(sorted(map(repr, unknown)))}" if unknown else "says nothing"
        raise QueryError(f"The filter on {attribute!r} {what}.", hint=_HINT)
    return Condition(
        attribute,
        one_of=_values(attribute, wanted["in"]) if "in" in wanted else None,
        none_of=_values(attribute, wanted["not"]) if "not" in wanted else (),
        bounds=tuple((name, _bound(attribute, wanted[name])) for name in _COMPARISONS if name in wanted),
    )


def _values(attribute: str, wanted: object) -> tuple[Scalar, ...]:
    values = tuple(wanted) if isinstance(wanted, list | tuple) else (wanted,)
    if not values or len(values) > MAX_VALUES or not all(isinstance(value, str | int | float) for value in values):
        raise QueryError(
            f"The filter on {attribute!r} is to name 1 to {MAX_VALUES:,} texts, numbers or booleans.", hint=_HINT
        )
    return values


def _bound(attribute: str, wanted: object) -> float | datetime:
    if isinstance(wanted, int | float) and not isinstance(wanted, bool):
        return wanted
    instant = _instant(wanted)
    if instant is None:
        raise QueryError(
            f"The bound {wanted!r} of the filter on {attribute!r} is neither a number nor a date.",
            hint="Write dates as 2024-01-31 or 2024-01-31T12:00:00Z; a date means its first moment.",
        )
    return instant


def _bounded(member: object, comparison: str, bound: float | datetime) -> bool:
    """Compare numbers with numbers and dates with dates; a value of another kind is out of bounds."""
    if isinstance(bound, datetime):
        instant = _instant(member)
        return instant is not None and _COMPARISONS[comparison](instant, bound)
    if isinstance(member, bool) or not isinstance(member, int | float):
        return False
    return _COMPARISONS[comparison](member, bound)


def _instant(value: object) -> datetime | None:
    """Parse an ISO date, or date and time; without a zone it is UTC."""
    if not isinstance(value, str):
        return None
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _same(member: object, other: Scalar) -> bool:
    """True if the values are equal; True and 1 are not, though Python says so."""
    return member == other and isinstance(member, bool) == isinstance(other, bool)
