"""Filters on metadata, decided in plain Python over whole documents: what the catalog's SQL must agree with."""

import operator
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

_COMPARE = {"gt": operator.gt, "gte": operator.ge, "lt": operator.lt, "lte": operator.le}


def matches(attributes: Mapping[str, Any], filters: Mapping[str, Any]) -> bool:
    """True if a document with these attributes meets every condition of valid filters."""
    return all(_holds(attributes.get(name), wanted) for name, wanted in filters.items())


def _holds(value: object, wanted: object) -> bool:
    members = value if isinstance(value, list) else [] if value is None else [value]
    if not isinstance(wanted, Mapping):
        wanted = {"in": wanted}
    if "not" in wanted and any(_same(member, other) for member in members for other in _listed(wanted["not"])):
        return False
    bounds = [(name, wanted[name]) for name in _COMPARE if name in wanted]
    if "in" not in wanted and not bounds:
        return True
    return any(
        ("in" not in wanted or any(_same(member, other) for other in _listed(wanted["in"])))
        and all(_within(member, name, bound) for name, bound in bounds)
        for member in members
    )


def _listed(value: object) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _same(one: object, other: object) -> bool:
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def _within(member: Any, comparison: str, bound: Any) -> bool:  # noqa: ANN401 - of any JSON
    if isinstance(bound, str):
        instant, limit = _instant(member), _instant(bound)
        return instant is not None and limit is not None and bool(_COMPARE[comparison](instant, limit))
    is_number = isinstance(member, int | float) and not isinstance(member, bool)
    return is_number and bool(_COMPARE[comparison](member, bound))


def _instant(value: object) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
