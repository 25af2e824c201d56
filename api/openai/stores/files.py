"""Files: the form in which they are sent, the object, and pages of objects."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from fastapi import Query

from api.http.problems import BadRequestError
from ingest.storage.uploads.records import ASSISTANTS, StoredFile

# Other purposes are for things that are done to models.
PURPOSES = (ASSISTANTS, "user_data")


def build_file_object(file: StoredFile) -> dict[str, Any]:
    """Return a file; what becomes of it in a vector store, that store's file says."""
    return {
        "id": file.id,
        "object": "file",
        "bytes": file.size_bytes,
        "created_at": int(file.created_at),
        "filename": file.name,
        "purpose": file.purpose,
        "status": "processed",
        "status_details": None,
        "expires_at": None,
    }


def parse_purpose(fields: Mapping[str, str]) -> str:
    """Return the purpose that the fields of a form name. Raises `BadRequestError` for what is not followed."""
    purpose = fields.get("purpose")
    if purpose not in PURPOSES:
        raise BadRequestError(
            "The form names no purpose." if purpose is None else f"Files for {purpose[:40]!r} are not taken here.",
            hint=f"Send the field `purpose` with {' or '.join(PURPOSES)}: files are documents to search and ask.",
        )
    refuse_expiry(any(name.startswith("expires_after") for name in fields))
    unknown = next((name for name in fields if name != "purpose"), None)
    if unknown is not None:
        raise BadRequestError(f"The form has an unknown field {unknown[:40]!r}.", hint="Known: purpose, file.")
    return purpose


def refuse_expiry(is_wanted: bool) -> None:
    """Refuse to let something expire by itself. Raises `BadRequestError`."""
    if is_wanted:
        raise BadRequestError(
            "Nothing expires by itself here: `expires_after` would not be kept to.",
            hint="Leave it out, and delete what you no longer need; a deletion is complete and has a receipt.",
        )


Order = Literal["asc", "desc"]
ObjectId = Annotated[str | None, Query(max_length=200)]
PageLimit = Annotated[int, Query(ge=1, le=100)]


def build_list_page(found: Sequence[Mapping[str, Any]], *, has_more: bool) -> dict[str, Any]:
    """Return a page."""
    ids = [each["id"] for each in found]
    return {
        "object": "list",
        "data": list(found),
        "first_id": ids[0] if ids else None,
        "last_id": ids[-1] if ids else None,
        "has_more": has_more,
    }
