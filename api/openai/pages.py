"""Listings in OpenAI's form: a page of objects whose cursors are their ids."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from fastapi import Query

Order = Literal["asc", "desc"]
ObjectId = Annotated[str | None, Query(max_length=200)]
PageLimit = Annotated[int, Query(ge=1, le=100)]


def listed(found: Sequence[Mapping[str, Any]], *, has_more: bool) -> dict[str, Any]:
    """Return a page."""
    ids = [each["id"] for each in found]
    return {
        "object": "list",
        "data": list(found),
        "first_id": ids[0] if ids else None,
        "last_id": ids[-1] if ids else None,
        "has_more": has_more,
    }
