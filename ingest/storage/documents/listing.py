"""Listings of documents by name, collection, type and state, in any order, a page at a time.

They go by `document_listing`, which has a narrow row for each live document: 100,000 of them are read through in some
tens of milliseconds on either database, so that no filter and no order needs an index of its own.
"""

import re
import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Row,
    Select,
    and_,
    case,
    delete,
    func,
    or_,
    select,
    tuple_,
    update,
)

from ingest.storage.accounts.access import Readers, listed_for
from ingest.storage.db.database import portions, read, upsert
from ingest.storage.db.schema import batch_entries, document_listing, documents, versions
from ingest.storage.documents.records import Document, ListOrder, VersionState
from ingest.storage.documents.rows import document_of, document_query

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


@dataclass(frozen=True)
class DocumentFilter:
    """Which documents a listing shows; empty members show all.

    Of a `batch`, those whose bytes were sent into it; of a `container`, its entries; `with_omissions`, those whose
    text leaves something out; `named`, those with these characters in their name or title, whatever their case;
    `identifiers`, these alone.
    """

    collection: str | None = None
    states: Collection[VersionState] = ()
    media_types: Collection[str] = ()
    container: str | None = None
    batch: str | None = None
    with_omissions: bool = False
    named: str = ""
    identifiers: Collection[str] = ()


EVERYTHING = DocumentFilter()


@dataclass(frozen=True)
class ListPlace:
    """A place in a listing: a document's `sequence`, and the value that the listing is ordered by."""

    sequence: int = 0
    value: str | int | None = None


START = ListPlace()


@dataclass(frozen=True)
class ListTotal:
    """The sums of a listing; `through` is the `sequence` of the latest of its documents."""

    documents: int
    size_bytes: int
    chunks: int
    through: int


_BY_STATE = (
    VersionState.FAILED,
    VersionState.ACCEPTED,
    VersionState.PARSING,
    VersionState.CHUNKING,
    VersionState.INDEXING,
    VersionState.SEARCHABLE,
    VersionState.EMBEDDING,
    VersionState.READY,
)
_row = document_listing.c
_RANK = case({state.value: rank for rank, state in enumerate(_BY_STATE)}, value=_row.state, else_=len(_BY_STATE))
_BY_ARRIVAL = frozenset({ListOrder.OLDEST, ListOrder.NEWEST})


class Listing:
    """Listings of a tenant's documents, as far as these readers may see them."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def page(
        self,
        tenant_id: str,
        wanted: DocumentFilter,
        readers: Readers,
        *,
        order: ListOrder = ListOrder.OLDEST,
        after: ListPlace = START,
        limit: int = 50,
    ) -> list[tuple[Document, ListPlace]]:
        """List documents in this order, each with its place: those after a place, or from the first."""
        value, falls = _ordered_by(order)
        shown = _shown(tenant_id, wanted, readers, _row.document_id, _row.sequence, value.label("value"))
        if after.sequence:
            shown = shown.where(_beyond(after, value, order, falls=falls))
        page = shown.order_by(*_in_order(_row.sequence, value, order, falls=falls)).limit(limit).subquery("page")
        query = document_query().add_columns(page.c.value.label("place"))
        query = query.join(page, page.c.document_id == documents.c.id)
        query = query.order_by(*_in_order(page.c.sequence, page.c.value, order, falls=falls))
        with read(self._engine) as connection:
            found = [(document_of(row), row.place) for row in connection.execute(query).all()]
        return [(document, ListPlace(document.sequence, place)) for document, place in found]

    def ids(
        self, tenant_id: str, wanted: DocumentFilter, readers: Readers, *, after: int, through: int, limit: int
    ) -> Sequence[tuple[int, str]]:
        """List sequences and ids of documents in order of arrival: those after one of them, up to another."""
        query = _shown(tenant_id, wanted, readers, _row.sequence, _row.document_id)
        # guard: bulk-stops-at-plan
        query = query.where(_row.sequence > after, _row.sequence <= through).order_by(_row.sequence).limit(limit)
        with read(self._engine) as connection:
            return [(row[0], row[1]) for row in connection.execute(query).all()]

    def count(self, tenant_id: str, wanted: DocumentFilter, readers: Readers) -> int:
        """Count the documents that a filter shows."""
        with read(self._engine) as connection:
            return int(connection.execute(_shown(tenant_id, wanted, readers, func.count())).scalar_one())

    def total(self, tenant_id: str, wanted: DocumentFilter, readers: Readers) -> ListTotal:
        """Sum up the documents that a filter shows."""
        sums = (func.coalesce(func.sum(column), 0) for column in (_row.size_bytes, versions.c.chunks))
        query = _shown(
            tenant_id, wanted, readers, func.count(), *sums, func.coalesce(func.max(_row.sequence), 0)
        ).join_from(document_listing, versions, versions.c.id == _row.version_id)
        with read(self._engine) as connection:
            return ListTotal(*map(int, connection.execute(query).one()))

    def media_types(self, tenant_id: str, readers: Readers) -> dict[str, int]:
        """Count the documents of each type."""
        query = _shown(tenant_id, EVERYTHING, readers, _row.media_type, func.count())
        with read(self._engine) as connection:
            rows = connection.execute(query.group_by(_row.media_type).order_by(_row.media_type)).all()
        return {row[0]: row[1] for row in rows}


def _shown(
    tenant_id: str,
    wanted: DocumentFilter,
    readers: Readers,
    *columns: Any,  # noqa: ANN401 - of a select
) -> Select[Any]:
    # guard: listing-readers
    mine = _row.tenant_id == tenant_id, listed_for(tenant_id, readers)
    return select(*columns).select_from(document_listing).where(*mine, *_conditions(wanted))


def _ordered_by(order: ListOrder) -> tuple[ColumnElement[Any], bool]:
    """Return the value that an order goes by, and whether it falls."""
    values: dict[str, ColumnElement[Any]] = {"name": _row.sort_key, "size": _row.size_bytes, "state": _RANK}
    value = values.get(order.removeprefix("-"), _row.sequence)
    return value, order.startswith("-") or order is ListOrder.NEWEST


def _in_order(
    sequence: ColumnElement[int], value: ColumnElement[Any], order: ListOrder, *, falls: bool
) -> list[ColumnElement[Any]]:
    if order in _BY_ARRIVAL:
        return [sequence.desc() if falls else sequence]
    return [value.desc() if falls else value, sequence]


def _beyond(after: ListPlace, value: ColumnElement[Any], order: ListOrder, *, falls: bool) -> ColumnElement[bool]:
    if order in _BY_ARRIVAL:
        return _row.sequence < after.sequence if falls else _row.sequence > after.sequence
    further = value < after.value if falls else value > after.value
    return or_(further, and_(value == after.value, _row.sequence > after.sequence))


def _conditions(wanted: DocumentFilter) -> list[ColumnElement[bool]]:
    """Return the conditions on `document_listing`."""
    found: list[ColumnElement[bool]] = []
    if wanted.collection is not None:
        found.append(_row.collection == wanted.collection)
    if wanted.states:
        found.append(_row.state.in_([state.value for state in wanted.states]))
    if wanted.media_types:
        found.append(_row.media_type.in_(list(wanted.media_types)))
    if wanted.container is not None:
        entries = select(documents.c.id).where(documents.c.container_id == wanted.container)
        found.append(_row.document_id.in_(entries))
    if wanted.batch is not None:
        sent = select(batch_entries.c.document_id).where(batch_entries.c.batch_id == wanted.batch)
        found.append(_row.document_id.in_(sent))
    if wanted.with_omissions:
        found.append(_row.has_omissions)
    if named := folded(wanted.named):
        found.append(_row.searched.contains(named, autoescape=True))
    if wanted.identifiers:
        found.append(_row.document_id.in_(list(wanted.identifiers)))
    return found
