"""Loads the records behind a computed answer from their tables, one page at a time."""

from collections.abc import Iterator, Sequence
from itertools import islice

from api.admission.services import Services
from api.answers.conversation_schemas import RowOut
from api.http.problems import BadRequestError
from ingest.storage.accounts.records import Principal
from ingest.storage.answers.records import ITS_SECTIONS, RowRanges, StoredAnswer
from rlm.answers import convert_to_json_value
from rlm.corpus.corpus import iter_section_spans

_BEGINNING_CHARS = 1_000


def select_row_ranges(stored_answer: StoredAnswer, row: int | None, column: int | None) -> Sequence[RowRanges]:
    """Return the records behind an answer, or behind one row or cell of its table.

    If no records are stored for a cell, return the records of its row. Raises `BadRequestError` if the row has none
    either.
    """
    if row is None and column is None:
        return stored_answer.rows_behind
    if row is None:
        raise BadRequestError("`column` requires a `row`.", hint="Send both `row` and `column`, or neither.")
    found = {each.column: each.parts for each in stored_answer.cells_behind if each.row == row}
    columns = len((stored_answer.body["table"] or {}).get("columns", ()))
    if (column or 0) >= columns or (column not in found and None not in found):
        raise BadRequestError(
            f"No records are stored for row {row} of the answer's table.",
            hint="The answer's `table.records` lists the rows and cells that have records.",
        )
    return found[column] if column in found else found[None]


def load_source_rows(
    services: Services, caller: Principal, table_ranges: Sequence[RowRanges], offset: int, limit: int
) -> list[RowOut]:
    """Return up to `limit` records, starting at number `offset`, counted from 0.

    Records have no text or values if their document version was deleted or replaced, or if the caller cannot read it.
    """
    named = {each.document_id for each in table_ranges}
    deleted = services.answers.conversations.list_withheld_documents(named, caller.readers)
    found: list[RowOut] = []
    for part, numbers in _iter_page_rows(table_ranges, offset, limit):
        gone = part.document_id in deleted
        found += (
            [_build_deleted_row(part, number) for number in numbers] if gone else _load_rows(services, part, numbers)
        )
    return found


def _iter_page_rows(
    table_ranges: Sequence[RowRanges], offset: int, limit: int
) -> Iterator[tuple[RowRanges, list[int]]]:
    """Yield the row numbers of the page, table by table."""
    end = offset + limit
    for part in table_ranges:
        if offset < min(len(part), end):
            yield part, list(islice(part.iter_numbers(), offset, end))
        offset, end = max(0, offset - len(part)), end - len(part)
        if end <= 0:
            return


def _load_rows(services: Services, row_ranges: RowRanges, row_numbers: list[int]) -> list[RowOut]:
    # Negative table numbers stand for whole documents and sections.
    if row_ranges.table < 0:
        return [_load_text_row(services, row_ranges, number) for number in row_numbers]
    tables = services.contents.tables.load_tables(row_ranges.version_id)
    if row_ranges.table >= len(tables):  # The document was replaced, and the data of its previous version was removed.
        return [_build_deleted_row(row_ranges, number) for number in row_numbers]
    names = [column.name for column in tables[row_ranges.table].columns]
    positions = services.contents.texts.load_positions(row_ranges.version_id)
    return [
        RowOut(
            document_id=row_ranges.document_id,
            version_id=row_ranges.version_id,
            table=row_ranges.table,
            row=row.number,
            file_row=positions.find_sheet_row(row.start, row.end),
            start=row.start,
            end=row.end,
            text=services.contents.texts.read(row_ranges.version_id, row.start, row.end),
            values=dict(zip(names, convert_to_json_value(row.values), strict=True)),
            place=services.asking.searcher.locate(row_ranges.version_id, row.start, row.end).words,
        )
        for row in services.contents.tables.load_rows(row_ranges.version_id, row_ranges.table, row_numbers)
    ]


def _load_text_row(services: Services, row_ranges: RowRanges, row_number: int) -> RowOut:
    """Load the beginning of a document or section and return it as a record."""
    document = services.documents.catalog.load_live_documents({row_ranges.document_id}).get(row_ranges.document_id)
    try:
        found = services.contents.texts.load_map(row_ranges.version_id)
    except KeyError:
        document = None
    if document is None:
        return _build_deleted_row(row_ranges, row_number)
    start, end = 0, found.characters
    values = {"title": document.title or document.name, "name": document.name}
    if row_ranges.table == ITS_SECTIONS:
        path, start, end = next(islice(iter_section_spans(found), row_number - 1, None))
        values = {"title": values["title"], "heading": " > ".join(path)}
    end = min(end, start + _BEGINNING_CHARS)
    return RowOut(
        document_id=row_ranges.document_id,
        version_id=row_ranges.version_id,
        table=None,
        row=row_number,
        start=start,
        end=end,
        text=services.contents.texts.read(row_ranges.version_id, start, end),
        values=values,
    )


def _build_deleted_row(row_ranges: RowRanges, row_number: int) -> RowOut:
    return RowOut(
        document_id=row_ranges.document_id,
        version_id=row_ranges.version_id,
        table=row_ranges.table if row_ranges.table >= 0 else None,
        row=row_number,
        start=None,
        end=None,
        text="",
        values={},
        gone=True,
    )
