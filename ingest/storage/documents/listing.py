"""Listings of documents by name, collection, type and state, in any order, a page at a time.

They go by `document_listing`, which has a narrow row for each live document: 100,000 of them are read through in some
tens of milliseconds on either database, so that no filter and no order needs an index of its own.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Engine, Select, and_, case, func, or_, select

from ingest.catalog.listing_rows import folded
from ingest.listing import EVERYTHING, START, DocumentFilter, ListPlace, ListTotal
from ingest.storage.accounts.access import Readers, listed_for
from ingest.storage.db.database import read
from ingest.storage.db.schema import batch_entries, document_listing, documents, versions
from ingest.storage.documents.records import Document, ListOrder, VersionState
from ingest.storage.documents.rows import document_of, document_query

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
