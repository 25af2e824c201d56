"""The rights to change a document's readers, and to move it to another collection.

The document's uploader and the admins of its collection or tenant may change its readers. Whoever may write in both
collections may move it.
"""

from ingest.storage.accounts.records import Principal
from ingest.storage.documents.records import Document
from ingest.storage.errors import DocumentStateError, NotUploaderError


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
    if document.uploaded_by not in caller.owners:
        raise NotUploaderError(
            f"Only its uploader and admins of its collection may change who can read document {document.id}.",
            hint=f"Ask the uploader, or an admin of the collection {document.collection!r} or of your tenant.",
        )


def require_move_right(document: Document, collection: str, caller: Principal | None) -> None:
    """Raise an error unless the caller may move the document to this collection.

    If `caller` is None, the service itself makes the change, which needs no permission. Raises
    `CollectionNotFoundError` if the caller may not see one of the two collections, `RoleMissingError` if the caller
    has only read access to one of them, and `DocumentStateError` for an entry of an archive, mailbox or message.
    """
    if caller is not None:
        # guard: move-needs-both-collections
        for each in (document.collection, collection):
            caller.collections.require_writable(each)
    # guard: entry-stays-with-container
    if document.container_id is not None:
        raise DocumentStateError(
            f"Document {document.id} is inside document {document.container_id} and belongs to the same collection.",
            hint=f"Move document {document.container_id} instead.",
        )
