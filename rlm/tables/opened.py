"""The rows of a table in scope: their spans, what a model reads of them, and the file that SQL reads them from."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import accumulate, groupby
from pathlib import Path
from typing import Protocol

from ingest.tables import Column, ColumnType, RecordTables, Row
from retrieval.passages import Passage
from rlm.answers import TableRows
from rlm.corpus.contents import Section
from rlm.corpus.corpus import Corpus
from rlm.corpus.handles import Handle
from rlm.llm.tokens import estimated_tokens
from rlm.tables.catalog import Kind, Part, TableInScope, all_sections, document_row, origin_values, section_row
from rlm.tables.parquet import Source, write_numbers, write_rows
from rlm.tables.sql import SqlTable

# What is judged by SQL beside the columns of a file: a type, and a value for each row.
Added = Mapping[str, tuple[ColumnType, Sequence[object]]]
_ROWS_AT_ONCE = 5_000
# Rows whose texts are looked at to estimate how long all are.
_SAMPLED = 20
# What a citation quotes of a whole document or section: its beginning.
_QUOTED_CHARS = 1_000


class OpenedTable(Protocol):
    """Rows by number, from 1, as SQL has it in `_row`."""

    @property
    def table(self) -> TableInScope: ...

    @property
    def rows(self) -> int: ...

    def handles(self, numbers: Sequence[int]) -> list[Handle]:
        """The span of each row."""

    def texts(self, numbers: Sequence[int]) -> Iterator[str]:
        """What a model reads of each row."""

    def tokens(self, numbers: Sequence[int]) -> int:
        """About how many tokens the texts of these rows have in all."""

    def sql_table(self, folder: Path, added: Added) -> SqlTable:
        """The table for a query, with more columns; files are written into `folder`."""

    def passages(self, numbers: Sequence[int]) -> list[Passage]:
        """Rows as what citations quote from."""

    def by_document(self, numbers: Sequence[int]) -> Mapping[str, int]:
        """How many of these rows each document has, by its id."""

    def behind(self, numbers: Sequence[int]) -> tuple[TableRows, ...]:
        """Rows by their own documents and tables; none for what is no record table."""


def open_table(table: TableInScope, corpus: Corpus, records: RecordTables) -> OpenedTable:
    """The rows of a table; nothing is read before it is needed."""
    if table.kind is Kind.RECORDS:
        return _Records(table, corpus, records)
    return _Documents(table, corpus) if table.kind is Kind.DOCUMENTS else _Sections(table, corpus)


class _Records:
    """Rows of one or more record tables with the same columns, those of the first part first."""

    def __init__(self, table: TableInScope, corpus: Corpus, records: RecordTables) -> None:
        self.table = table
        self._corpus = corpus
        self._records = records
        self._ends = list(accumulate(part.table.rows for part in table.parts))
        self._file: Path | None = None

    @property
    def rows(self) -> int:
        return self._ends[-1]

    def handles(self, numbers: Sequence[int]) -> list[Handle]:
        return [part.document.handle[row.start : row.end] for part, row in self._read(numbers)]

    def texts(self, numbers: Sequence[int]) -> Iterator[str]:
        for part, row in self._read(numbers):
            values = (*row.values, *origin_values(self.table, part))
            yield "; ".join(
                f"{name}: {value}" for name, value in zip(self._names, values, strict=True) if value is not None
            )

    def tokens(self, numbers: Sequence[int]) -> int:
        sample = numbers[:: max(1, len(numbers) // _SAMPLED)]
        return sum(map(estimated_tokens, self.texts(sample))) * len(numbers) // max(1, len(sample))

    def sql_table(self, folder: Path, added: Added) -> SqlTable:
        if self._file is None:
            self._file = folder / f"{self.table.name}.parquet"
            self._write(folder, self._file)
        return SqlTable(self.table.name, self._file, added)

    def passages(self, numbers: Sequence[int]) -> list[Passage]:
        return [self._passage(part, row) for part, row in self._read(numbers)]

    def by_document(self, numbers: Sequence[int]) -> Mapping[str, int]:
        counts: Counter[str] = Counter()
        for part, own in self._by_part(numbers):
            counts[part.document.handle.document_id] += len(own)
        return counts

    def behind(self, numbers: Sequence[int]) -> tuple[TableRows, ...]:
        return tuple(
            TableRows(part.document.handle.document_id, part.document.handle.version_id, part.table.index, tuple(own))
            for part, own in self._by_part(sorted(numbers))
        )

    def _passage(self, part: Part, row: Row) -> Passage:
        span = part.document.handle[row.start : row.end]
        return Passage(
            document_id=span.document_id,
            version_id=span.version_id,
            title=part.document.title,
            heading_path=(part.table.name, f"row {row.number}"),
            start=span.start,
            end=span.end,
            page=self._corpus.map(part.document).page_of(span.start),
            text=self._corpus.text(span),
            rank=1,
            score=1.0,
        )

    @cached_property
    def _names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.table.columns)

    def _write(self, folder: Path, target: Path) -> None:
        sources = []
        for number, part in enumerate(self.table.parts):
            file = target if len(self.table.parts) == 1 else folder / f"{self.table.name}.{number}.parquet"
            self._records.copy_to(part.document.handle.version_id, part.table.index, file)
            names = tuple(column.name for column in part.table.columns)
            sources.append(Source(file, names, origin_values(self.table, part)))
        if len(sources) > 1:
            write_rows(sources, self.table.columns, target)
            for source in sources:
                source.file.unlink()

    def _read(self, numbers: Sequence[int]) -> Iterator[tuple[Part, Row]]:
        for part, own in self._by_part(numbers):
            for at in range(0, len(own), _ROWS_AT_ONCE):
                some = own[at : at + _ROWS_AT_ONCE]
                for row in self._records.rows(part.document.handle.version_id, part.table.index, some):
                    yield part, row

    def _by_part(self, numbers: Sequence[int]) -> Iterator[tuple[Part, list[int]]]:
        """The numbers that rows have within their own tables, in the order given."""
        for place, group in groupby(numbers, key=lambda number: bisect_right(self._ends, number - 1)):
            before = self._ends[place - 1] if place else 0
            yield self.table.parts[place], [number - before for number in group]


class _Texts:
    """Rows that are documents or sections: a model reads the whole text."""

    def __init__(self, table: TableInScope, corpus: Corpus) -> None:
        self.table = table
        self._corpus = corpus

    @property
    def rows(self) -> int:
        return len(self._spans)

    def handles(self, numbers: Sequence[int]) -> list[Handle]:
        return [self._spans[number - 1] for number in numbers]

    def texts(self, numbers: Sequence[int]) -> Iterator[str]:
        for handle, text in zip(self.handles(numbers), self._corpus.read_all(self.handles(numbers)), strict=True):
            yield f"{self._corpus.document(handle).title}\n{text}"

    def tokens(self, numbers: Sequence[int]) -> int:
        return sum(map(self._corpus.tokens, self.handles(numbers)))

    def sql_table(self, folder: Path, added: Added) -> SqlTable:
        file = folder / f"{self.table.name}.parquet"
        if not file.exists():
            write_numbers(self.rows, file)
        columns = zip(self.table.columns, zip(*self._values, strict=True), strict=True) if self.rows else ()
        own = {column.name: (column.type, values) for column, values in columns}
        return SqlTable(self.table.name, file, {**_empty(self.table.columns), **own, **added})

    def passages(self, numbers: Sequence[int]) -> list[Passage]:
        return [self._corpus.passage(handle[:_QUOTED_CHARS]) for handle in self.handles(numbers)]

    def by_document(self, numbers: Sequence[int]) -> Mapping[str, int]:
        return Counter(handle.document_id for handle in self.handles(numbers))

    def behind(self, numbers: Sequence[int]) -> tuple[TableRows, ...]:
        return ()

    @property
    def _spans(self) -> Sequence[Handle]:
        raise NotImplementedError

    @property
    def _values(self) -> Sequence[tuple[object, ...]]:
        raise NotImplementedError


class _Documents(_Texts):
    @cached_property
    def _spans(self) -> Sequence[Handle]:
        return [document.handle for document in self._corpus.documents]

    @cached_property
    def _values(self) -> Sequence[tuple[object, ...]]:
        return [document_row(each, self._corpus, self.table.columns) for each in self._corpus.documents]


class _Sections(_Texts):
    @cached_property
    def _sections(self) -> Sequence[Section]:
        return list(all_sections(self._corpus))

    @cached_property
    def _spans(self) -> Sequence[Handle]:
        return [section.handle for section in self._sections]

    @cached_property
    def _values(self) -> Sequence[tuple[object, ...]]:
        return [section_row(each, self._corpus) for each in self._sections]


def _empty(columns: Sequence[Column]) -> dict[str, tuple[ColumnType, Sequence[object]]]:
    return {column.name: (column.type, ()) for column in columns}
