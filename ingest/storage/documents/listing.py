"""Lists documents page by page, filtered by name, collection, type and state, in any sort order.

Listings read `document_listing`, which has a narrow row for each live document. Scanning 100,000 rows takes a few tens
of milliseconds on either database, so filters and sort orders need no separate indexes.
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

from ingest.storage.accounts.access import Readers, build_listing_condition
from ingest.storage.db.database import build_upsert, iter_slices, read_transaction
from ingest.storage.db.schema import batch_entries, document_listing, documents, versions
from ingest.storage.documents.attributes import build_metadata_conditions
from ingest.storage.documents.filters import Conditions
from ingest.storage.documents.records import Document, ListOrder, VersionState
from ingest.storage.documents.rows import build_document, build_document_query

_SORTED_CHARS = 200
_DIGITS = re.compile(r"[0-9]+")
# Number of digits to which numbers in names are padded with zeros, so that `Note 9` is sorted before `note 10`.
_DIGITS_WIDTH = 12
_SPACE = re.compile(r"\s+")
_COPIED_COLUMNS = (
    "tenant_id",
    "sequence",
    "collection",
    "media_type",
    "state",
    "size_bytes",
    "has_readers",
    "has_omissions",
)


def refresh_listing(connection: Connection, identifiers: Collection[str], *, include_states: bool = True) -> None:
    """Update the listing rows of these documents, and delete the rows of deleted documents.

    If `include_states` is false, the state in each row is not changed. Callers that change a document pass false, so
    that they do not wait for a worker that is recording the document's progress.
    """
    for some in iter_slices(sorted(set(identifiers))):
        gone = select(documents.c.tenant_id, documents.c.sequence).where(
            documents.c.id.in_(some), documents.c.deleted_at.is_not(None)
        )
        place = tuple_(document_listing.c.tenant_id, document_listing.c.sequence)
        connection.execute(delete(document_listing).where(place.in_(gone)))
        _store_listing_rows(
            connection,
            connection.execute(build_listing_query().where(documents.c.id.in_(some))).all(),
            include_states=include_states,
        )


def refresh_listing_state(connection: Connection, document_id: str, version_id: str, state: VersionState) -> None:
    """Set the state in a document's row if `version_id` is its latest version.

    The update is a single statement, because it runs often.
    """
    place = select(documents.c.tenant_id, documents.c.sequence).where(documents.c.id == document_id)
    row = document_listing.c
    of_version = tuple_(row.tenant_id, row.sequence).in_(place), row.version_id == version_id, row.state != state
    connection.execute(update(document_listing).where(*of_version).values(state=state))


def build_listing_query() -> Select[Any]:
    """Select the columns from which the listing rows of live documents are built."""
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


def build_listing_row(row: Row[Any]) -> dict[str, Any]:
    """Build a document's listing row from a row returned by `build_listing_query`."""
    return {
        **{name: row._mapping[name] for name in _COPIED_COLUMNS},
        "document_id": row.id,
        "version_id": row.latest_version_id,
        "sort_key": build_sort_key(row.title or row.name),
        "searched": f"{fold_text(row.name)}\n{fold_text(row.title or '')}",
    }


def fold_text(text: str) -> str:
    """Normalize text for search: fold case and width, and replace white space with single spaces.

    Only the line break between a name and a title is retained, so that no match can span both.
    """
    plain = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return _SPACE.sub(" ", plain)


def build_sort_key(text: str) -> str:
    """Build the sort key of a name, so that `Note 9` is sorted before `note 10`, and `äpfel` next to `apple`."""
    bare = "".join(each for each in unicodedata.normalize("NFKD", fold_text(text)) if not unicodedata.combining(each))
    return _DIGITS.sub(lambda digits: digits[0].zfill(_DIGITS_WIDTH), bare.strip())[:_SORTED_CHARS]


def _store_listing_rows(connection: Connection, rows: Sequence[Row[Any]], *, include_states: bool) -> None:
    if not rows:
        return
    new = build_upsert(connection, document_listing)
    keys = [column.name for column in document_listing.primary_key]
    kept = set(keys) if include_states else {*keys, "state"}
    changed = {column.name: new.excluded[column.name] for column in document_listing.c if column.name not in kept}
    again = new.on_conflict_do_update(index_elements=keys, set_=changed)
    connection.execute(again, [build_listing_row(each) for each in rows])


@dataclass(frozen=True)
class DocumentFilter:
    """Conditions on listed documents. An empty condition matches all documents.

    `batch` selects documents whose bytes were sent in that batch, and `container` selects the entries of that
    container. `with_omissions` selects documents whose text omits content of the file. `named` is a substring of the
    name or title, ignoring case. `identifiers` restricts the listing to these ids. `conditions` are on the metadata and
    the cards of documents. `outside` excludes the documents of that collection.
    """

    collection: str | None = None
    states: Collection[VersionState] = ()
    media_types: Collection[str] = ()
    container: str | None = None
    batch: str | None = None
    with_omissions: bool = False
    named: str = ""
    identifiers: Collection[str] = ()
    conditions: Conditions = ()
    outside: str | None = None


EVERYTHING = DocumentFilter()


@dataclass(frozen=True)
class ListingCursor:
    """A position in a listing: a document's `sequence`, and its value in the sort column."""

    sequence: int = 0
    value: str | int | None = None


LISTING_START = ListingCursor()


@dataclass(frozen=True)
class ListingTotal:
    """The totals of a listing. `through` is the sequence number of the latest document in the listing."""

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


class DocumentListing:
    """Lists and counts the documents of a tenant that given readers may see."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def list_page(
        self,
        tenant_id: str,
        filters: DocumentFilter,
        readers: Readers,
        *,
        order: ListOrder = ListOrder.OLDEST,
        after: ListingCursor = LISTING_START,
        limit: int = 50,
    ) -> list[tuple[Document, ListingCursor]]:
        """List documents in the given order, each with its cursor.

        The page starts after a cursor or with the first document.
        """
        value, falls = _get_sort_column(order)
        shown = build_listed_query(tenant_id, filters, readers, _row.document_id, _row.sequence, value.label("value"))
        if after.sequence:
            shown = shown.where(_build_cursor_condition(after, value, order, is_descending=falls))
        page = (
            shown.order_by(*_build_order(_row.sequence, value, order, is_descending=falls))
            .limit(limit)
            .subquery("page")
        )
        query = build_document_query().add_columns(page.c.value.label("place"))
        query = query.join(page, page.c.document_id == documents.c.id)
        query = query.order_by(*_build_order(page.c.sequence, page.c.value, order, is_descending=falls))
        with read_transaction(self._engine) as connection:
            found = [(build_document(row), row.place) for row in connection.execute(query).all()]
        return [(document, ListingCursor(document.sequence, place)) for document, place in found]

    def list_sequences_and_ids(
        self, tenant_id: str, filters: DocumentFilter, readers: Readers, *, after: int, last_sequence: int, limit: int
    ) -> Sequence[tuple[int, str]]:
        """List the sequence numbers and ids of documents in order of arrival, between `after` and `last_sequence`."""
        query = build_listed_query(tenant_id, filters, readers, _row.sequence, _row.document_id)
        # guard: bulk-stops-at-plan
        query = query.where(_row.sequence > after, _row.sequence <= last_sequence).order_by(_row.sequence).limit(limit)
        with read_transaction(self._engine) as connection:
            return [(row[0], row[1]) for row in connection.execute(query).all()]

    def count_documents(self, tenant_id: str, filters: DocumentFilter, readers: Readers) -> int:
        """Count the documents that match a filter."""
        with read_transaction(self._engine) as connection:
            return int(connection.execute(build_listed_query(tenant_id, filters, readers, func.count())).scalar_one())

    def compute_listing_total(self, tenant_id: str, filters: DocumentFilter, readers: Readers) -> ListingTotal:
        """Compute the totals of the documents that match a filter."""
        sums = (func.coalesce(func.sum(column), 0) for column in (_row.size_bytes, versions.c.chunks))
        query = build_listed_query(
            tenant_id, filters, readers, func.count(), *sums, func.coalesce(func.max(_row.sequence), 0)
        ).join_from(document_listing, versions, versions.c.id == _row.version_id)
        with read_transaction(self._engine) as connection:
            return ListingTotal(*map(int, connection.execute(query).one()))

    def count_media_types(self, tenant_id: str, readers: Readers) -> dict[str, int]:
        """Count the documents of each media type."""
        query = build_listed_query(tenant_id, EVERYTHING, readers, _row.media_type, func.count())
        with read_transaction(self._engine) as connection:
            rows = connection.execute(query.group_by(_row.media_type).order_by(_row.media_type)).all()
        return {row[0]: row[1] for row in rows}


def build_listed_query(
    tenant_id: str,
    filters: DocumentFilter,
    readers: Readers,
    *columns: Any,  # noqa: ANN401 - of a select
) -> Select[Any]:
    """Select columns of the listed documents that match a filter and that these readers may see."""
    # guard: listing-readers
    mine = _row.tenant_id == tenant_id, build_listing_condition(tenant_id, readers)
    return select(*columns).select_from(document_listing).where(*mine, *_build_conditions(tenant_id, filters))


def _get_sort_column(order: ListOrder) -> tuple[ColumnElement[Any], bool]:
    """Return the sort column of an order, and whether the order is descending."""
    values: dict[str, ColumnElement[Any]] = {"name": _row.sort_key, "size": _row.size_bytes, "state": _RANK}
    value = values.get(order.removeprefix("-"), _row.sequence)
    return value, order.startswith("-") or order is ListOrder.NEWEST


def _build_order(
    sequence: ColumnElement[int], value: ColumnElement[Any], order: ListOrder, *, is_descending: bool
) -> list[ColumnElement[Any]]:
    if order in _BY_ARRIVAL:
        return [sequence.desc() if is_descending else sequence]
    return [value.desc() if is_descending else value, sequence]


def _build_cursor_condition(
    after: ListingCursor, value: ColumnElement[Any], order: ListOrder, *, is_descending: bool
) -> ColumnElement[bool]:
    if order in _BY_ARRIVAL:
        return _row.sequence < after.sequence if is_descending else _row.sequence > after.sequence
    further = value < after.value if is_descending else value > after.value
    return or_(further, and_(value == after.value, _row.sequence > after.sequence))


def _build_collection_conditions(filters: DocumentFilter) -> list[ColumnElement[bool]]:
    inside = [] if filters.collection is None else [_row.collection == filters.collection]
    return inside if filters.outside is None else [*inside, _row.collection != filters.outside]


def _build_conditions(tenant_id: str, filters: DocumentFilter) -> list[ColumnElement[bool]]:
    """Build the conditions on `document_listing`."""
    found = _build_collection_conditions(filters)
    if filters.states:
        found.append(_row.state.in_([state.value for state in filters.states]))
    if filters.media_types:
        found.append(_row.media_type.in_(list(filters.media_types)))
    if filters.container is not None:
        entries = select(documents.c.id).where(documents.c.container_id == filters.container)
        found.append(_row.document_id.in_(entries))
    if filters.batch is not None:
        sent = select(batch_entries.c.document_id).where(batch_entries.c.batch_id == filters.batch)
        found.append(_row.document_id.in_(sent))
    if filters.with_omissions:
        found.append(_row.has_omissions)
    if named := fold_text(filters.named):
        found.append(_row.searched.contains(named, autoescape=True))
    if filters.identifiers:
        found.append(_row.document_id.in_(list(filters.identifiers)))
    if filters.conditions:
        matching = build_metadata_conditions(tenant_id, filters.conditions)
        found.append(_row.document_id.in_(select(documents.c.id).where(documents.c.tenant_id == tenant_id, *matching)))
    return found
