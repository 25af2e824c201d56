"""Files: the upload form, file objects and list pages."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from fastapi import Query

from api.http.problems import BadRequestError
from ingest.storage.uploads.records import ASSISTANTS, StoredFile

# Supported purposes of files. OpenAI's API has further purposes for work on models, such as fine-tuning, which is not
# supported here.
PURPOSES = (ASSISTANTS, "user_data")
# Names of the fields of a form that say when the file expires, and the limits of OpenAI's API: one hour and 30 days.
_ANCHOR, _SECONDS = "expires_after[anchor]", "expires_after[seconds]"
MIN_SECONDS, MAX_SECONDS = 3_600, 2_592_000


def build_file_object(file: StoredFile) -> dict[str, Any]:
    """Return a file object. The processing progress is in the file's object in the vector store."""
    return {
        "id": file.id,
        "object": "file",
        "bytes": file.size_bytes,
        "created_at": int(file.created_at),
        "filename": file.name,
        "purpose": file.purpose,
        "status": "processed",
        "status_details": None,
        "expires_at": None if file.expires_at is None else int(file.expires_at),
    }


def parse_fields(fields: Mapping[str, str]) -> dict[str, Any]:
    """Return the purpose and the expiry in a form. Raises `BadRequestError` for unsupported fields and values."""
    purpose = fields.get("purpose")
    if purpose not in PURPOSES:
        raise BadRequestError(
            "The form has no field `purpose`."
            if purpose is None
            else f"The purpose {purpose[:40]!r} is not supported.",
            hint=f"Send the field `purpose` with {' or '.join(PURPOSES)}. Files are documents to search and ask about.",
            field_path="purpose",
        )
    unknown = next((name for name in fields if name not in ("purpose", _ANCHOR, _SECONDS)), None)
    if unknown is not None:
        raise BadRequestError(
            f"The form has an unknown field {unknown[:40]!r}.",
            hint="Known fields: purpose, expires_after, file.",
            field_path=unknown[:40],
        )
    return {"purpose": purpose, "expires_after": _parse_expiry(fields)}


def _parse_expiry(fields: Mapping[str, str]) -> int | None:
    """Return the seconds until a file expires, or None. Raises `BadRequestError` if they are out of bounds."""
    if _ANCHOR not in fields and _SECONDS not in fields:
        return None
    seconds = fields.get(_SECONDS, "")
    is_valid = seconds.isascii() and seconds.isdigit() and MIN_SECONDS <= int(seconds[:12]) <= MAX_SECONDS
    if fields.get(_ANCHOR) != "created_at" or not is_valid:
        raise BadRequestError(
            "`expires_after` is not valid.",
            hint=f"Send the anchor `created_at`, and {MIN_SECONDS:,} to {MAX_SECONDS:,} seconds.",
            field_path="expires_after",
        )
    return int(seconds)


Order = Literal["asc", "desc"]
ObjectId = Annotated[str | None, Query(max_length=200)]
PageLimit = Annotated[int, Query(ge=1, le=100)]


def slice_list(items: Sequence[Mapping[str, Any]], order: Order, after_id: str | None, limit: int) -> dict[str, Any]:
    """Return a page of a list whose items are given oldest first. Raises `BadRequestError` if `after_id` is unknown."""
    listed = list(items if order == "asc" else reversed(items))
    begin = 0
    if after_id is not None:
        places = [place for place, each in enumerate(listed, start=1) if each["id"] == after_id]
        if not places:
            raise BadRequestError(f"Item {after_id!r} not found.", hint="Omit `after`.", field_path="query.after")
        begin = places[0]
    return build_list_page(listed[begin : begin + limit], has_more=len(listed) > begin + limit)


def build_list_page(items: Sequence[Mapping[str, Any]], *, has_more: bool) -> dict[str, Any]:
    """Return a page of a list in OpenAI's format."""
    ids = [each["id"] for each in items]
    return {
        "object": "list",
        "data": list(items),
        "first_id": ids[0] if ids else None,
        "last_id": ids[-1] if ids else None,
        "has_more": has_more,
    }
