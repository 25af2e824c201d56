"""The rows of a table in scope: their spans, their text for a model, and the file that SQL reads."""

import re
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache, cached_property
from itertools import accumulate, groupby
from pathlib import Path

from ingest.storage.answers.records import ITS_SECTIONS, WHOLE_DOCUMENT
from ingest.storage.tables.parquet import quote_literal, quote_name
from ingest.storage.tables.store import RecordTables
from ingest.storage.tables.types import ColumnType, RecordRow
from retrieval.search.requests import Passage
from rlm.answers import SourceRows
from rlm.checking.quotes import QuotedText
from rlm.corpus.corpus import Corpus
from rlm.corpus.handles import Handle
from rlm.llm.profiles import estimate_tokens
from rlm.tables.catalog import (
    TableInScope,
    TableKind,
    TablePart,
    build_document_row,
    build_section_row,
    get_origin_values,
    iter_sections,
)
from rlm.tables.sql import SqlTable, build_rows_select

# Columns added to a table, such as judged columns, keyed by name. Each column has a type, and a value for each row.
Added = Mapping[str, tuple[ColumnType, Sequence[object]]]
Cells = tuple[object, ...]
_ROWS_AT_ONCE = 5_000
# Column types of the SQL engine. If the types of a column differ between the original tables of a merged table, the
# merged column has the widest of these types.
_TYPES = {
    ColumnType.TEXT: "VARCHAR",
    ColumnType.INTEGER: "HUGEINT",
    ColumnType.NUMBER: "DECIMAL(38, 10)",
    ColumnType.DATE: "DATE",
    ColumnType.TIMESTAMP: "TIMESTAMP",
    ColumnType.BOOLEAN: "BOOLEAN",
}
# Number of rows whose texts are loaded to estimate the length of all rows.
_ESTIMATE_SAMPLE_ROWS = 20
# Maximum number of characters that a citation of a whole document or section quotes.
_QUOTED_CHARS = 1_000
_ROW_REFERENCE = re.compile(r"\brows? \d+(?: to \d+)?$")


class RecordRows:
    """Rows of one or more record tables with the same columns, numbered from 1.

    The rows of the first part have the lowest numbers.
    """

    def __init__(self, table: TableInScope, corpus: Corpus, records: RecordTables) -> None:
        self.table = table
        self._corpus = corpus
        self._records = records
        self._ends = list(accumulate(part.table.rows for part in table.parts))

    @property
    def rows(self) -> int:
        return self._ends[-1]

    def list_handles(self, row_numbers: Sequence[int]) -> list[Handle]:
        """Return the spans of the rows, in order."""
        return [part.document.handle[row.start : row.end] for part, row in self._iter_rows(row_numbers)]

    def iter_texts(self, row_numbers: Sequence[int]) -> Iterator[str]:
        """Yield the text of each row, in the format for models."""
        for part, row in self._iter_rows(row_numbers):
            values = (*row.values, *get_origin_values(self.table, part))
            yield "; ".join(
                f"{name}: {value}" for name, value in zip(self._column_names, values, strict=True) if value is not None
            )

    def estimate_tokens(self, row_numbers: Sequence[int]) -> int:
        """Estimate the total number of tokens in the texts of these rows."""
        sample = row_numbers[:: max(1, len(row_numbers) // _ESTIMATE_SAMPLE_ROWS)]
        return sum(map(estimate_tokens, self.iter_texts(sample))) * len(row_numbers) // max(1, len(sample))

    def build_sql_table(self, folder: Path, added_columns: Added) -> SqlTable:
        """Return the SQL table for a query, with added columns at the end.

        The table's files are written to `folder`.
        """
        files = [folder / f"{self.table.name}.{number}.parquet" for number in range(len(self.table.parts))]
        for part, file in zip(self.table.parts, files, strict=True):
            with self._corpus.record_reading(part.document):
                if not file.exists():
                    self._records.copy_table(part.document.handle.version_id, part.table.index, file)
        return SqlTable(self.table.name, self._build_selects(files), added_columns)

    def build_passages(self, row_numbers: Sequence[int]) -> list[Passage]:
        """Return the rows as passages for citations."""
        return [self._build_passage(part, row) for part, row in self._iter_rows(row_numbers)]

    def count_rows_by_document(self, row_numbers: Sequence[int]) -> Mapping[str, int]:
        """Return the number of these rows in each document, keyed by document id."""
        counts: Counter[str] = Counter()
        for part, own in self._iter_parts(row_numbers):
            counts[part.document.handle.document_id] += len(own)
        return counts

    def list_source_rows(self, row_numbers: Sequence[int]) -> tuple[SourceRows, ...]:
        """Return the rows grouped by their original documents and tables."""
        return tuple(
            SourceRows(part.document.handle.document_id, part.document.handle.version_id, part.table.index, tuple(own))
            for part, own in self._iter_parts(sorted(row_numbers))
        )

    def _build_passage(self, part: TablePart, row: RecordRow) -> Passage:
        """Return a row as a passage, with the row number in its heading if its location does not identify the row."""
        found = self._corpus.load_passage(part.document.handle[row.start : row.end])
        number = () if _ROW_REFERENCE.search(found.place) else (f"row {row.number}",)
        return replace(found, heading_path=(part.table.name, *number))

    @cached_property
    def _column_names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.table.columns)

    def _build_selects(self, files: Sequence[Path]) -> list[str]:
        """Return a SELECT for the rows of each part. Rows are numbered across all parts.

        Columns have the names and types of the merged table.
        """
        if len(files) == 1:
            return [build_rows_select(files[0])]
        befores = [0, *self._ends]
        return [
            build_rows_select(file, self._build_columns(part), row_offset=before)
            for file, part, before in zip(files, self.table.parts, befores, strict=False)
        ]

    def _build_columns(self, part: TablePart) -> str:
        names = [quote_name(column.name) for column in part.table.columns]
        values = [*names, *map(quote_literal, get_origin_values(self.table, part))]
        return ", ".join(
            f"CAST({value} AS {_TYPES[column.type]}) AS {quote_name(column.name)}"
            for value, column in zip(values, self.table.columns, strict=True)
        )

    def _iter_rows(self, row_numbers: Sequence[int]) -> Iterator[tuple[TablePart, RecordRow]]:
        for part, own in self._iter_parts(row_numbers):
            for at in range(0, len(own), _ROWS_AT_ONCE):
                some = own[at : at + _ROWS_AT_ONCE]
                # guard: table-rows-readers
                with self._corpus.record_reading(part.document):
                    rows = self._records.load_rows(part.document.handle.version_id, part.table.index, some)
                for row in rows:
                    yield part, row

    def _iter_parts(self, row_numbers: Sequence[int]) -> Iterator[tuple[TablePart, list[int]]]:
        """Yield each part with the numbers of the given rows in that part's own table, in the given order."""
        for place, group in groupby(row_numbers, key=lambda number: bisect_right(self._ends, number - 1)):
            before = self._ends[place - 1] if place else 0
            yield self.table.parts[place], [number - before for number in group]


class TextRows:
    """Rows that are documents or sections, with the same methods as `RecordRows`.

    A model reads their whole text, or passages of long documents.
    """

    def __init__(
        self, table: TableInScope, corpus: Corpus, spans: Sequence[Handle], load_values: Callable[[], list[Cells]]
    ) -> None:
        self.table = table
        self._corpus = corpus
        self._spans = spans
        self._values = cache(load_values)

    @property
    def rows(self) -> int:
        return len(self._spans)

    def list_handles(self, row_numbers: Sequence[int]) -> list[Handle]:
        return [self._spans[number - 1] for number in row_numbers]

    def iter_texts(self, row_numbers: Sequence[int]) -> Iterator[str]:
        for handle, text in zip(
            self.list_handles(row_numbers), self._corpus.iter_texts(self.list_handles(row_numbers)), strict=True
        ):
            document = self._corpus.get_document(handle)
            name = document.line if self.table.kind is TableKind.DOCUMENTS else document.title
            yield f"{name}\n{text}"

    def estimate_tokens(self, row_numbers: Sequence[int]) -> int:
        return sum(map(self._corpus.estimate_tokens, self.list_handles(row_numbers)))

    def build_sql_table(self, folder: Path, added_columns: Added) -> SqlTable:
        values = list(zip(*self._values(), strict=True)) or [()] * len(self.table.columns)
        own = {column.name: (column.type, each) for column, each in zip(self.table.columns, values, strict=True)}
        return SqlTable(
            self.table.name, [f"SELECT range + 1 AS _row FROM range({self.rows})"], {**own, **added_columns}
        )

    def build_passages(self, row_numbers: Sequence[int]) -> list[Passage]:
        return [self._corpus.load_passage(handle[:_QUOTED_CHARS]) for handle in self.list_handles(row_numbers)]

    def build_quoted_passage(self, row_number: int, words: Iterable[str]) -> tuple[Passage, list[str]]:
        """Return the citation for a row that was read completely: the passage from the first to the last of `words`.

        Also returns the words that were found, as spelled in the document. If none were found, for example because the
        text does not mention something, the passage is empty and its location states that the whole text was read.
        """
        span = self._spans[row_number - 1]
        text = self._corpus.load_text(span)
        source = QuotedText(text)
        found = [place for place in map(source.locate, words) if place is not None]
        if not found:
            what = "document" if self.table.kind is TableKind.DOCUMENTS else "section"
            place = f"the whole {what}, which the model read"
            return replace(self._corpus.load_passage(span[:0]), heading_path=(), page=None, place=place), []
        passage = self._corpus.load_passage(span[min(start for start, _ in found) : max(end for _, end in found)])
        return passage, [text[start:end] for start, end in found]

    def build_searched_passages(
        self, spans: Sequence[Handle], words: Iterable[str], *, is_found: bool
    ) -> list[tuple[Passage, list[str]]]:
        """Return the citations for a document of which these spans were read.

        Each consists of the part of a span from the first through the last of the `words` in it, and these words as
        spelled in the document. If no words are found, there is one empty passage, whose location states what was read.
        """
        left, found = list(words), []
        for span in spans:
            text = self._corpus.load_text(span)
            source = QuotedText(text)
            located = {word: at for word in left if (at := source.locate(word)) is not None}
            if located:
                left = [word for word in left if word not in located]
                begin, end = min(start for start, _ in located.values()), max(end for _, end in located.values())
                said = [text[start:end] for start, end in located.values()]
                found.append((self._corpus.load_passage(span[begin:end]), said))
        if found:
            return found
        place = "passages of the document, which the model read" if is_found else "not found in what was read"
        empty = self._corpus.load_passage(spans[0][:0])
        return [(replace(empty, heading_path=(), page=None, place=place), [])]

    def count_rows_by_document(self, row_numbers: Sequence[int]) -> Mapping[str, int]:
        return Counter(handle.document_id for handle in self.list_handles(row_numbers))

    def list_source_rows(self, row_numbers: Sequence[int]) -> tuple[SourceRows, ...]:
        """Return the rows grouped by document.

        Each row is the document itself, or one of its sections, identified by number.
        """
        table = WHOLE_DOCUMENT if self.table.kind is TableKind.DOCUMENTS else ITS_SECTIONS
        by_document: dict[tuple[str, str], list[int]] = defaultdict(list)
        for number in sorted(row_numbers):
            by_document[self._get_document_names(number)].append(self._numbers_in_document[number - 1])
        return tuple(SourceRows(*document, table, tuple(own)) for document, own in by_document.items())

    def _get_document_names(self, row_number: int) -> tuple[str, str]:
        span = self._spans[row_number - 1]
        return span.document_id, span.version_id

    @cached_property
    def _numbers_in_document(self) -> list[int]:
        """The number of each row among the rows of its document."""
        seen: Counter[tuple[str, str]] = Counter()
        numbers = []
        for row in range(1, self.rows + 1):
            seen[self._get_document_names(row)] += 1
            numbers.append(seen[self._get_document_names(row)])
        return numbers


OpenedTable = RecordRows | TextRows


def open_table(table: TableInScope, corpus: Corpus, records: RecordTables) -> OpenedTable:
    if table.kind is TableKind.RECORDS:
        corpus.record_use(part.document for part in table.parts)
        return RecordRows(table, corpus, records)
    if table.kind is TableKind.DOCUMENTS:
        spans = [document.handle for document in corpus.documents]
        return TextRows(
            table, corpus, spans, lambda: [build_document_row(each, corpus, table.columns) for each in corpus.documents]
        )
    sections = list(iter_sections(corpus))
    spans = [section.handle for section in sections]
    return TextRows(table, corpus, spans, lambda: [build_section_row(each, corpus) for each in sections])
