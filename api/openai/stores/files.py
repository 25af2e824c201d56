"""Files: the upload form, file objects and list pages."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from fastapi import Query

from api.http.problems import BadRequestError
from ingest.storage.uploads.records import ASSISTANTS, StoredFile

# Supported purposes of files. OpenAI's API has further purposes for work on models, such as fine-tuning, which is not
# supported here.
PURPOSES = (ASSISTANTS, "user_data")


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
        "expires_at": None,
    }


def parse_purpose(fields: Mapping[str, str]) -> str:
    """Return the purpose given in a form. Raises `BadRequestError` for unsupported fields and values."""
    purpose = fields.get("purpose")
    if purpose not in PURPOSES:
        raise BadRequestError(
            "The form has no field `purpose`."
            if purpose is None
            else f"The purpose {purpose[:40]!r} is not supported.",
            hint=f"Send the field `purpose` with {' or '.join(PURPOSES)}. Files are documents to search and ask about.",
        )
    reject_expiry(any(name.startswith("expires_after") for name in fields))
    unknown = next((name for name in fields if name != "purpose"), None)
    if unknown is not None:
        raise BadRequestError(f"The form has an unknown field {unknown[:40]!r}.", hint="Known fields: purpose, file.")
    return purpose


def reject_expiry(is_requested: bool) -> None:
    """Raise `BadRequestError` if the request asks for automatic expiry."""
    if is_requested:
        raise BadRequestError(
            "`expires_after` is not supported: nothing expires automatically.",
            hint="Omit `expires_after`, and delete objects that you no longer need.",
        )


Order = Literal["asc", "desc"]
ObjectId = Annotated[str | None, Query(max_length=200)]
PageLimit = Annotated[int, Query(ge=1, le=100)]


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
