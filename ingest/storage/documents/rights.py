"""The right to change a document's readers.

The document's uploader and the admins of its collection or tenant have this right.
"""

from ingest.storage.accounts.records import Principal
from ingest.storage.documents.records import Document
from ingest.storage.errors import NotUploaderError


def require_readers_right(document: Document, caller: Principal | None) -> None:
    """Raise `NotUploaderError` unless the caller may change the document's readers.

    If `caller` is None, the service itself makes the change, which is always allowed.
    """
    if caller is None or caller.is_admin or document.collection in caller.collections.managed:
        return
    if not document.uploaded_by:
        raise NotUploaderError(
            f"Only admins of its collection may change who can read document {document.id}: "
            "it was uploaded before uploaders were recorded.",
            hint=f"Ask an admin of the collection {document.collection!r} or of your tenant.",
        )
    if caller.owner != document.uploaded_by:
        raise NotUploaderError(
            f"Only its uploader and admins of its collection may change who can read document {document.id}.",
            hint=f"Ask the uploader, or an admin of the collection {document.collection!r} or of your tenant.",
        )
