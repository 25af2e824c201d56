"""Typed conditions on documents' metadata: equality, membership in a list, and ranges of numbers and dates.

A client sends them as an object keyed by attribute:

    {"language": "en", "year": {"gte": 1800, "lt": 1900}, "author": ["Austen", "Shelley"], "draft": {"not": true}}

A list attribute matches if one of its elements does. A document without the attribute matches only `not`. `$any` is a
list of such objects, at least one of which must match. `$all` is a list of such objects, all of which must match:

    {"language": "en", "$any": [{"year": {"lt": 1900}}, {"author": "Woolf"}]}

`$card` has conditions on the fields of the document's card. Periods and dates can be compared with a year, a period or
a date, by their first day:

    {"$card": {"kind": "contract", "periods": {"gte": 2022}, "dates": {"lt": "2023-01-01"}}}

The catalog evaluates conditions in SQL, using the rows yielded by `iter_attribute_values` for a document's metadata.
"""

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time
from typing import Any

from ingest.storage.documents.cards.records import FACETED_FIELDS, CardField, parse_period_start
from ingest.storage.errors import FilterError

MAX_CONDITIONS = 20
# Maximum number of values in all conditions together, because each value is a parameter of a single SQL statement.
MAX_VALUES = 1_000
MAX_NAME_CHARS = 200
_CONDITION_HINT = (
    'A condition is a value, a list of values, or an object such as {"gte": 1800, "lt": 1900} or {"not": "draft"}.'
)
_COMPARISONS = ("gt", "gte", "lt", "lte")
_ANY, _ALL, _CARD = "$any", "$all", "$card"
_COMPARED_FIELDS = frozenset({CardField.PERIODS, CardField.DATES})
_MAX_DEPTH = 5
# Maximum length of a key. Longer keys are replaced by a digest, because database indexes limit the size of a key.
_KEY_CHARS = 60


@dataclass(frozen=True)
class Condition:
    """A condition on one attribute.

    The value of the attribute must equal one of `one_of`, if set, and none of `none_of`, and must lie within all
    `bounds`. The values in `one_of` and `none_of` are keys from `build_value_key`. A bound consists of a comparison, a
    number, and a flag that is true if the number is a time in seconds since the epoch. If `of_card` is true, the
    attribute is a field of the document's card.
    """

    attribute: str
    one_of: tuple[str, ...] | None = None
    none_of: tuple[str, ...] = ()
    bounds: tuple[tuple[str, float, bool], ...] = ()
    of_card: bool = False


@dataclass(frozen=True)
class AnyOf:
    """Alternatives, at least one of which must be true. Each is a sequence of conditions that must all be true."""

    alternatives: "tuple[Conditions, ...]"


Conditions = Sequence[Condition | AnyOf]


@dataclass(frozen=True)
class AttributeValue:
    """A value of an attribute in the form indexed by the catalog.

    `instant` is set if the value is a string that contains a date.
    """

    name: str
    key: str
    number: float | None
    instant: float | None


def parse_conditions(filters: Mapping[str, Any]) -> Conditions:
    """Parse filters. Raises `FilterError` if a filter is invalid or there are too many filters or values."""
    found = _parse_conditions(filters, _MAX_DEPTH)
    plain = list(_flatten_conditions(found))
    if len(plain) > MAX_CONDITIONS:
        raise FilterError(f"Too many filters: {len(plain)}; the limit is {MAX_CONDITIONS}.")
    values = sum(len(each.one_of or ()) + len(each.none_of) for each in plain)
    if values > MAX_VALUES:
        raise FilterError(f"Too many values in the filters: {values:,}; the limit is {MAX_VALUES:,}.")
    return found


def _parse_conditions(filters: Mapping[str, Any], depth: int) -> Conditions:
    found: list[Condition | AnyOf] = []
    for attribute, wanted in filters.items():
        if attribute == _CARD:
            found += _parse_card_conditions(wanted)
            continue
        if attribute not in (_ANY, _ALL):
            found.append(_parse_condition(attribute, wanted))
            continue
        if depth == 0:
            raise FilterError(f"Filters can be nested at most {_MAX_DEPTH} levels deep.")
        if not isinstance(wanted, list) or not wanted or not all(isinstance(each, Mapping) and each for each in wanted):
            raise FilterError(
                f"{attribute!r} must be a list of filters.",
                hint='Write {"$any": [{"year": 1815}, {"author": "Austen"}]}.',
            )
        if len(wanted) > MAX_CONDITIONS:
            raise FilterError(f"Too many filters: {len(wanted)}; the limit is {MAX_CONDITIONS}.")
        parsed = tuple(_parse_conditions(each, depth - 1) for each in wanted)
        found += [AnyOf(parsed)] if attribute == _ANY else [each for some in parsed for each in some]
    return tuple(found)


def _flatten_conditions(conditions: Conditions) -> Iterator[Condition]:
    for each in conditions:
        if isinstance(each, AnyOf):
            for some in each.alternatives:
                yield from _flatten_conditions(some)
        else:
            yield each


def iter_attribute_values(attributes: Mapping[str, Any]) -> Iterator[AttributeValue]:
    """Yield the distinct values of a document's metadata. A list yields each of its distinct elements."""
    for name, value in attributes.items():
        members = value if isinstance(value, list | tuple) else [value]
        for key, member in {build_value_key(member): member for member in members}.items():
            yield AttributeValue(build_attribute_name(name), key, _convert_number(member), parse_instant(member))


def build_attribute_name(name: str) -> str:
    """Build the name of an attribute as indexed by the catalog."""
    return name if len(name) <= MAX_NAME_CHARS else _compute_digest(name)


def build_value_key(value: object) -> str:
    """Build a key that is identical for equal values.

    1 and 1.0 have the same key, but True and 1 do not.
    """
    if isinstance(value, bool):
        return f"b:{value}"
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    key = f"s:{value}" if isinstance(value, str) else f"n:{value!r}"
    return key if len(key) <= _KEY_CHARS else _compute_digest(key)


def parse_instant(value: object) -> float | None:
    """Parse an ISO date, or date and time, to seconds since the epoch.

    Without a time zone, UTC is assumed.
    """
    if not isinstance(value, str):
        return None
    try:
        found = datetime.fromisoformat(value)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def _parse_condition(attribute: str, value: object) -> Condition:
    if not isinstance(value, Mapping):
        return Condition(attribute, one_of=_parse_keys(attribute, value))
    unknown = value.keys() - {*_COMPARISONS, "not", "in"}
    if unknown or not value:
        what = f"has no operator {', '.join(sorted(map(repr, unknown)))}" if unknown else "is empty"
        raise FilterError(f"The filter on {attribute!r} {what}.", hint=_CONDITION_HINT)
    return Condition(
        attribute,
        one_of=_parse_keys(attribute, value["in"]) if "in" in value else None,
        none_of=_parse_keys(attribute, value["not"]) if "not" in value else (),
        bounds=tuple(_parse_bound(attribute, name, value[name]) for name in _COMPARISONS if name in value),
    )


def _parse_card_conditions(fields: object) -> Iterator[Condition]:
    """Parse conditions on the fields of a card. Only periods and dates can be compared."""
    names = ", ".join(sorted(FACETED_FIELDS))
    if not isinstance(fields, Mapping) or not fields:
        raise FilterError(
            f"{_CARD!r} must be an object of filters on the fields of a card.",
            hint='Write {"$card": {"kind": "contract", "periods": {"gte": 2022}}}.',
        )
    for name, wanted in fields.items():
        if name not in FACETED_FIELDS:
            raise FilterError(f"Cards cannot be filtered by {str(name)[:100]!r}.", hint=f"Fields: {names}.")
        if isinstance(wanted, Mapping):
            wanted = {
                key: _convert_period(value) if key in _COMPARISONS and name in _COMPARED_FIELDS else _fold(name, value)
                for key, value in wanted.items()
            }
        else:
            wanted = _fold(name, wanted)
        condition = _parse_condition(name, wanted)
        if condition.bounds and name not in _COMPARED_FIELDS:
            raise FilterError(
                f"The filter on {name!r} cannot be a range.", hint="Only the periods and dates of a card have ranges."
            )
        yield replace(condition, of_card=True)


def _fold(name: str, wanted: object) -> object:
    """Return values of a field as cards have them: years as strings, and kinds and languages in lower case."""
    if isinstance(wanted, list | tuple):
        return [_fold(name, each) for each in wanted]
    if name in _COMPARED_FIELDS and isinstance(wanted, int) and not isinstance(wanted, bool):
        return str(wanted)
    return wanted.lower() if name in ("kind", "language") and isinstance(wanted, str) else wanted


def _convert_period(bound: object) -> object:
    """Return the first day of a period such as `2023-Q2`. Other bounds are returned unchanged."""
    day = parse_period_start(bound) if isinstance(bound, str) else None
    return bound if day is None else datetime.combine(day, time(), UTC).isoformat()


def _parse_keys(attribute: str, filter_value: object) -> tuple[str, ...]:
    values = tuple(filter_value) if isinstance(filter_value, list | tuple) else (filter_value,)
    if not values or len(values) > MAX_VALUES or not all(isinstance(value, str | int | float) for value in values):
        raise FilterError(
            f"The filter on {attribute!r} must have 1 to {MAX_VALUES:,} strings, numbers or booleans.",
            hint=_CONDITION_HINT,
        )
    return tuple(sorted(set(map(build_value_key, values))))


def _parse_bound(attribute: str, comparison: str, value: object) -> tuple[str, float, bool]:
    number = _convert_number(value)
    if number is not None:
        return comparison, number, False
    moment = parse_instant(value)
    if moment is None:
        raise FilterError(
            f"The bound {str(value)[:100]!r} of the filter on {attribute!r} is neither a number nor a date.",
            hint="Write dates as 2024-01-31 or 2024-01-31T12:00:00Z; a date without a time means midnight UTC.",
        )
    return comparison, moment, True


def _convert_number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:  # this error is raised for an integer of more than 300 digits
        return math.copysign(math.inf, value)
    return None if math.isnan(number) else number


def _compute_digest(text: str) -> str:
    return f"h:{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[: _KEY_CHARS - 2]}"
