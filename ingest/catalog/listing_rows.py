"""The rows of `document_listing`: a narrow one for each live document, derived from it and its latest version.

Whoever changes a document or its latest version calls `relist` or `relist_state` in the same commit, as the last that
it does with them. `ingest.storage.documents.listing` reads the rows.
"""

import re
import unicodedata
from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Connection, Row, Select, and_, delete, select, tuple_, update

from ingest.storage.db.database import portions, upsert
from ingest.storage.db.schema import document_listing, documents, versions
from ingest.storage.documents.records import VersionState

_SORTED_CHARS = 200
_DIGITS = re.compile(r"[0-9]+")
_PADDED = 12
_SPACE = re.compile(r"\s+")
_SAME = ("tenant_id", "sequence", "collection", "media_type", "state", "size_bytes", "has_readers", "has_omissions")


def relist(connection: Connection, identifiers: Collection[str], *, states: bool = True) -> None:
    """Derive the rows of these documents again; deleted documents have none.

    Without `states`, those that rows have stay: so does who changes a document while a worker tells its progress, which
    it does not wait for.
    """
    for some in portions(sorted(set(identifiers))):
        gone = select(documents.c.tenant_id, documents.c.sequence).where(
            documents.c.id.in_(some), documents.c.deleted_at.is_not(None)
        )
        place = tuple_(document_listing.c.tenant_id, document_listing.c.sequence)
        connection.execute(delete(document_listing).where(place.in_(gone)))
        _write(connection, connection.execute(listing_query().where(documents.c.id.in_(some))).all(), states=states)


def relist_state(connection: Connection, document_id: str, version_id: str, state: VersionState) -> None:
    """Change the state of a document's row if this is its latest version, which happens oftenest, in one statement."""
    place = select(documents.c.tenant_id, documents.c.sequence).where(documents.c.id == document_id)
    row = document_listing.c
    of_version = tuple_(row.tenant_id, row.sequence).in_(place), row.version_id == version_id, row.state != state
    connection.execute(update(document_listing).where(*of_version).values(state=state))


def listing_query() -> Select[Any]:
    """Select what the rows of live documents are derived from."""
    latest = and_(versions.c.id == documents.c.latest_version_id, versions.c.document_id == documents.c.id)
    return (
        select(
            documents.c.tenant_id,
            documents.c.sequence,
            documents.c.id,
            documents.c.latest_version_id,
            documents.c.collection,
            documents.c.media_type,
            documents.c.name,
            documents.c.title,
            documents.c.readers.is_not(None).label("has_readers"),
            versions.c.state,
            versions.c.size_bytes,
            versions.c.omissions.is_not(None).label("has_omissions"),
        )
        .join(versions, latest)
        .where(documents.c.deleted_at.is_(None))
    )


def listing_row(found: Row[Any]) -> dict[str, Any]:
    """Derive the row of a document from a row of `listing_query`."""
    return {
        **{name: found._mapping[name] for name in _SAME},
        "document_id": found.id,
        "version_id": found.latest_version_id,
        "sort_key": sort_key(found.title or found.name),
        "searched": f"{folded(found.name)}\n{folded(found.title or '')}",
    }


def folded(text: str) -> str:
    """Return text as it is searched: without differences of case and width, and with single spaces.

    So no match reaches over the end of the line between a name and a title.
    """
    plain = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return _SPACE.sub(" ", plain)


def sort_key(text: str) -> str:
    """Return the text by which names are ordered: `Note 9` before `note 10`, and `äpfel` with `apple`."""
    bare = "".join(each for each in unicodedata.normalize("NFKD", folded(text)) if not unicodedata.combining(each))
    return _DIGITS.sub(lambda digits: digits[0].zfill(_PADDED), bare.strip())[:_SORTED_CHARS]


def _write(connection: Connection, found: Sequence[Row[Any]], *, states: bool) -> None:
    if not found:
        return
    new = upsert(connection, document_listing)
    keys = [column.name for column in document_listing.primary_key]
    kept = set(keys) if states else {*keys, "state"}
    changed = {column.name: new.excluded[column.name] for column in document_listing.c if column.name not in kept}
    again = new.on_conflict_do_update(index_elements=keys, set_=changed)
    connection.execute(again, [listing_row(each) for each in found])
