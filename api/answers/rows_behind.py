"""Loads the records behind a computed answer from their tables, one page at a time."""

from collections.abc import Iterator, Sequence
from itertools import islice

from api.admission.services import Services
from api.answers.conversation_schemas import RowOut
from api.http.problems import BadRequestError
from ingest.storage.accounts.records import Principal
from ingest.storage.answers.records import ITS_SECTIONS, RowRanges, StoredAnswer
from rlm.answers import convert_to_json
from rlm.corpus.corpus import iter_section_spans

_BEGINNING_CHARS = 1_000


def select_row_ranges(kept: StoredAnswer, row: int | None, column: int | None) -> Sequence[RowRanges]:
    """Return the records behind an answer, or behind one row or cell of its table.

    If no records are stored for a cell, return the records of its row. Raises `BadRequestError` if the row has none
    either.
    """
    if row is None and column is None:
        return kept.rows_behind
    if row is None:
        raise BadRequestError("`column` requires a `row`.", hint="Send both `row` and `column`, or neither.")
    found = {each.column: each.parts for each in kept.cells_behind if each.row == row}
    columns = len((kept.body["table"] or {}).get("columns", ()))
    if (column or 0) >= columns or (column not in found and None not in found):
        raise BadRequestError(
            f"No records are stored for row {row} of the answer's table.",
            hint="The answer's `table.records` lists the rows and cells that have records.",
        )
    return found[column] if column in found else found[None]


def load_source_rows(
    services: Services, caller: Principal, parts: Sequence[RowRanges], begin: int, limit: int
) -> list[RowOut]:
    """Return up to `limit` records, starting at number `begin`, counted from 0.

    Records have no text or values if their document version was deleted or replaced, or if the caller cannot read it.
    """
    named = {each.document_id for each in parts}
    deleted = services.answers.conversations.list_withheld_documents(named, caller.readers)
    found: list[RowOut] = []
    for part, numbers in _iter_page(parts, begin, limit):
        gone = part.document_id in deleted
        found += [_build_gone_row(part, number) for number in numbers] if gone else _read_rows(services, part, numbers)
    return found


def _iter_page(parts: Sequence[RowRanges], begin: int, limit: int) -> Iterator[tuple[RowRanges, list[int]]]:
    """Yield the row numbers of the page, table by table."""
    end = begin + limit
    for part in parts:
        if begin < min(len(part), end):
            yield part, list(islice(part.iter_numbers(), begin, end))
        begin, end = max(0, begin - len(part)), end - len(part)
        if end <= 0:
            return


def _read_rows(services: Services, part: RowRanges, numbers: list[int]) -> list[RowOut]:
    # Negative table numbers stand for whole documents and sections.
    if part.table < 0:
        return [_read_text_row(services, part, number) for number in numbers]
    tables = services.contents.tables.load_tables(part.version_id)
    if part.table >= len(tables):  # The document was replaced, and the data of its previous version was removed.
        return [_build_gone_row(part, number) for number in numbers]
    names = [column.name for column in tables[part.table].columns]
    return [
        RowOut(
            document_id=part.document_id,
            version_id=part.version_id,
            table=part.table,
            row=row.number,
            start=row.start,
            end=row.end,
            text=services.contents.texts.read(part.version_id, row.start, row.end),
            values=dict(zip(names, convert_to_json(row.values), strict=True)),
            place=services.asking.searcher.locate(part.version_id, row.start, row.end).words,
        )
        for row in services.contents.tables.load_rows(part.version_id, part.table, numbers)
    ]


def _read_text_row(services: Services, part: RowRanges, number: int) -> RowOut:
    """Load the beginning of a document or section and return it as a record."""
    document = services.documents.catalog.load_live_documents({part.document_id}).get(part.document_id)
    try:
        found = services.contents.texts.load_map(part.version_id)
    except KeyError:
        document = None
    if document is None:
        return _build_gone_row(part, number)
    start, end = 0, found.characters
    values = {"title": document.title or document.name, "name": document.name}
    if part.table == ITS_SECTIONS:
        path, start, end = next(islice(iter_section_spans(found), number - 1, None))
        values = {"title": values["title"], "heading": " > ".join(path)}
    end = min(end, start + _BEGINNING_CHARS)
    return RowOut(
        document_id=part.document_id,
        version_id=part.version_id,
        table=None,
        row=number,
        start=start,
        end=end,
        text=services.contents.texts.read(part.version_id, start, end),
        values=values,
    )


def _build_gone_row(part: RowRanges, number: int) -> RowOut:
    return RowOut(
        document_id=part.document_id,
        version_id=part.version_id,
        table=part.table if part.table >= 0 else None,
        row=number,
        start=None,
        end=None,
        text="",
        values={},
        gone=True,
    )
