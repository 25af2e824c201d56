"""Filters of OpenAI's file search as conditions on documents' metadata."""

from collections.abc import Mapping
from typing import Any

from api.http.problems import BadRequestError

_COMPARISONS = {"eq": "in", "in": "in", "ne": "not", "nin": "not", "gt": "gt", "gte": "gte", "lt": "lt", "lte": "lte"}
_COMPOUNDS = {"and": "$all", "or": "$any"}
_DEEPEST = 5


def our_filters(given: Mapping[str, Any], depth: int = _DEEPEST) -> dict[str, Any]:
    """Return a comparison, or several joined by `and` and `or`, in the format of `ingest.storage.documents.filters`.

    Raises `BadRequestError`.
    """
    kind = given.get("type")
    if kind in _COMPOUNDS:
        some = given.get("filters")
        if not isinstance(some, list) or not some or not all(isinstance(each, Mapping) for each in some):
            raise BadRequestError(f"The filter {kind!r} joins nothing.", hint="Give it a list of `filters`.")
        if depth == 0:
            raise BadRequestError(f"Filters may be nested {_DEEPEST} deep.")
        return {_COMPOUNDS[str(kind)]: [our_filters(each, depth - 1) for each in some]}
    key, value = given.get("key"), given.get("value")
    if kind not in _COMPARISONS or not isinstance(key, str) or key.startswith("$"):
        raise BadRequestError(
            f"A filter of type {kind!r} is not known here.",
            hint="Use eq, ne, in, nin, gt, gte, lt and lte with `key` and `value`, and `and` and `or` to join them.",
        )
    return {key: {_COMPARISONS[kind]: value}}
