"""Stores document metadata as rows, and builds SQL conditions on these rows."""

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, delete, insert, or_, select

from ingest.storage.db.database import iter_slices
from ingest.storage.db.schema import card_values, document_attributes, documents
from ingest.storage.documents.filters import AnyOf, Condition, Conditions, build_attribute_name, iter_attribute_values

_COMPARE: Mapping[str, Callable[..., ColumnElement[bool]]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}


def build_metadata_conditions(
    tenant_id: str, conditions: Conditions, *, by_document: bool = False
) -> Iterator[ColumnElement[bool]]:
    """Yield SQL conditions that select the tenant's documents whose metadata and cards meet all `conditions`.

    Each condition is a subquery that uses an index, and its cost grows with the number of matching values. If
    `by_document` is true, the subquery runs once for each document instead, which is faster for a few documents.
    """
    for condition in conditions:
        if isinstance(condition, AnyOf):
            some = (
                and_(*build_metadata_conditions(tenant_id, each, by_document=by_document))
                for each in condition.alternatives
            )
            yield or_(*some)
        else:
            yield from _build_conditions(tenant_id, condition, by_document)


def _build_conditions(tenant_id: str, condition: Condition, by_document: bool) -> Iterator[ColumnElement[bool]]:
    column = (card_values if condition.of_card else document_attributes).c

    def build_subquery_condition(values: Select[tuple[str]]) -> ColumnElement[bool]:
        return (
            values.where(column.document_id == documents.c.id).exists() if by_document else documents.c.id.in_(values)
        )

    values = select(column.document_id).where(column.name == build_attribute_name(condition.attribute))
    if not by_document:  # for one document, a condition on the tenant would make SQLite scan all values of the tenant
        values = values.where(column.tenant_id == tenant_id)
    if condition.none_of:
        yield ~build_subquery_condition(values.where(column.value_key.in_(condition.none_of)))
    if condition.one_of is not None or condition.bounds:
        found = values if condition.one_of is None else values.where(column.value_key.in_(condition.one_of))
        for comparison, bound, is_instant in condition.bounds:
            compared = column.instant if is_instant else column.number
            found = found.where(_COMPARE[comparison](compared, bound))
        yield build_subquery_condition(found)


def store_attributes(
    connection: Connection, tenant_id: str, identifiers: Sequence[str], attributes: Mapping[str, Any]
) -> None:
    """Replace the metadata rows of these documents. All documents get the same metadata."""
    values = list(iter_attribute_values(attributes))
    for some in iter_slices(identifiers):
        connection.execute(delete(document_attributes).where(document_attributes.c.document_id.in_(some)))
        rows = [
            {
                "tenant_id": tenant_id,
                "document_id": identifier,
                "name": value.name,
                "value_key": value.key,
                "number": value.number,
                "instant": value.instant,
            }
            for identifier in some
            for value in values
        ]
        if rows:
            connection.execute(insert(document_attributes), rows)
