"""The record tables that a question may be about: their names, their columns, and some of their rows.

Two tables are always added to the tables of the files: `documents`, with a row for each document in scope, and
`sections`, with a row for each heading if any document has headings. Tables with the same columns are merged here.
Tables of different documents are merged only if at least two of their column names say what the columns contain.
"""

import json
import math
import re
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache
from itertools import islice
from typing import Any

from ingest.storage.errors import ContentChangedError
from ingest.storage.tables.profiles import (
    MAX_VALUE_CHARS,
    compute_column_profile,
    format_value,
    merge_profiles,
    select_profile_values,
    truncate_text,
)
from ingest.storage.tables.store import RecordTables
from ingest.storage.tables.types import PROPERTY_COLUMNS, Column, ColumnProfile, ColumnType, RecordTable
from retrieval.index.bm25 import CONTEXT_WEIGHT, Bm25Encoder, iter_matched_words
from retrieval.search.requests import Passage
from rlm.corpus.corpus import Corpus, CorpusDocument, ScopeSnapshot, Section, list_sections
from rlm.errors import DocumentUnreadableError, UnknownHandleError
from rlm.strategy import Search
from rlm.tables.description import (
    DESCRIBED_CHARS,
    MANY_TABLES_CHARS,
    DescribedTable,
    Description,
    TableContents,
    describe_tables,
    outline_tables,
)
from rlm.tables.names import count_telling_names, name_tables, reserve_name
from rlm.tables.surroundings import load_surroundings
from rlm.untrusted import to_one_line

DOCUMENTS, SECTIONS = "documents", "sections"
MAX_DESCRIBED = 30
MAX_OUTLINED = 10  # Maximum number of tables of which a row is loaded for the choice of a strategy.
# Number of passages to search for, to find the tables that a question may be about.
_LOOKUP_PASSAGES = 50
_FEW_TABLES = 3  # Maximum number of tables that are all described, so that their order is irrelevant.
# The constant k of reciprocal rank fusion for tables. It is smaller than for passages, because rankings of tables are
# short, so the first rank must count far more than the others.
_RRF_K = 10
_CHARS_PER_TOKEN = 4
_MAX_ATTRIBUTES = 60
_SAMPLE_ROWS, _SHOWN_DOCUMENTS = 3, 40
# Maximum number of tables of a merged table that are used for its profile and its caption. A merged table may consist
# of thousands of tables.
_MOST_PROFILED, _MOST_CAPTIONS = 200, 6
_DOCUMENT_COLUMNS = (
    Column("title", ColumnType.TEXT),
    Column("name", ColumnType.TEXT),
    Column("collection", ColumnType.TEXT),
    Column("characters", ColumnType.INTEGER),
    Column("tokens", ColumnType.INTEGER),
    Column("pages", ColumnType.INTEGER),
)
_PROPERTIES = frozenset(column.name for columns in PROPERTY_COLUMNS.values() for column in columns)
_SECTION_COLUMNS = (
    Column("document", ColumnType.TEXT),
    Column("heading", ColumnType.TEXT),
    Column("page", ColumnType.INTEGER),
    Column("tokens", ColumnType.INTEGER),
)
_BIGINT = 1 << 63
# The number of telling column names that tables of different documents must share to be merged: one name alone, such as
# "Total", is shared by unrelated tables.
_SHARED_NAMES = 2


class TableKind(StrEnum):
    """The source of a table's rows."""

    RECORDS = "records"
    DOCUMENTS = "documents"
    SECTIONS = "sections"


@dataclass(frozen=True)
class TablePart:
    """A table of one document, which is all or part of a table in scope."""

    document: CorpusDocument
    table: RecordTable


@dataclass(frozen=True)
class TableInScope:
    """A table with its name in SQL. `rows` is None if the rows have not been counted yet.

    The columns of the files are followed by the columns named in `origin`, which give the document and table of each
    row.
    """

    name: str
    kind: TableKind
    columns: tuple[Column, ...]
    rows: int | None
    parts: tuple[TablePart, ...] = ()
    origin: tuple[str, ...] = ()


@dataclass(frozen=True)
class TablesInScope:
    """Tables keyed by name, starting with the tables of the files, and the contents of some tables.

    `relevant` are the names of the tables of files that a question may be about.
    """

    tables: tuple[TableInScope, ...]
    contents: Mapping[str, TableContents]
    relevant: frozenset[str]

    @property
    def records(self) -> tuple[TableInScope, ...]:
        """The tables of the files, without the tables of documents and sections."""
        return tuple(table for table in self.tables if table.kind is TableKind.RECORDS)

    @property
    def others(self) -> tuple[TableInScope, ...]:
        """The tables of documents and sections."""
        return self.tables[len(self.records) :]

    @property
    def has_records(self) -> bool:
        """True if any table comes from a file rather than being a table of documents or sections."""
        return bool(self.records)

    @property
    def are_many(self) -> bool:
        """True if there are more tables from files than are described."""
        return len(self.records) > MAX_DESCRIBED

    def find_table(self, name: str) -> TableInScope | None:
        """Return the table with this name, or None. As in SQL, case is ignored."""
        return next((table for table in self.tables if table.name.casefold() == name.casefold()), None)

    def list_mentioned_tables(self, sql: str) -> list[TableInScope]:
        """Return the tables whose names occur in a query, in the order of their first occurrence."""
        places = (
            (re.search(rf"(?<!\w){re.escape(table.name)}(?!\w)", sql, re.IGNORECASE), table) for table in self.tables
        )
        found = [(match.start(), table) for match, table in places if match]
        return [table for _, table in sorted(found, key=lambda each: each[0])]

    def find_tables(self, words: str) -> Sequence[TableInScope]:
        """Return the table with this name, or else the tables of files that share words with `words`, nearest first."""
        named = self.find_table(words.strip().strip('"'))
        if named is not None:
            return [named]
        scores = _score_tables_by_words(self.records, words.replace("_", " "))
        ranked = sorted(zip(scores, self.records, strict=True), key=lambda each: -each[0])
        return [table for score, table in ranked if score > 0]

    def render_description(self, reading_tokens: int = 0) -> str:
        """Return the text of the description built by `build_description`."""
        return self.build_description(reading_tokens).text

    def build_description(self, reading_tokens: int = 0) -> Description:
        """Describe as many tables as fit in a prompt. Names, titles and cells are text from the documents.

        The tables of documents and sections are always described. If a model's profile allows reading many tokens of
        documents, the description may use up to a quarter of that number of tokens. If there are many tables, most of
        them do not matter to a question, and a planner can ask for others. So the description is shorter by default.
        """
        least = MANY_TABLES_CHARS if self.are_many and not reading_tokens else DESCRIBED_CHARS
        records, others = map(self._describe_table, self.records), map(self._describe_table, self.others)
        return describe_tables(list(records), list(others), max(least, reading_tokens * _CHARS_PER_TOKEN // 4))

    def render_outline(self) -> str:
        """Describe the relevant tables as briefly as the choice of a strategy allows."""
        relevant = [table for table in self.records if table.name in self.relevant]
        others = map(self._describe_table, self.others)
        omitted = len(self.records) - len(relevant)
        return outline_tables(list(map(self._describe_table, relevant)), list(others), omitted)

    def _describe_table(self, table: TableInScope) -> DescribedTable:
        return DescribedTable(
            table.name, table.columns, table.rows, _describe_source(table), self.contents.get(table.name)
        )


class TableCatalog:
    """Finds the tables of a corpus. All questions answered by a process share one catalog."""

    def __init__(self, records: RecordTables) -> None:
        self.records = records

    def list_tables(self, corpus: Corpus, question: str = "", search: Search | None = None) -> TablesInScope:
        """Return the tables of `outline_tables`, with the contents of those that can be described."""
        tables = self.outline_tables(corpus, question, search)
        described = (*tables.records[:MAX_DESCRIBED], *tables.others)
        return replace(tables, contents={table.name: self._load_contents(table, corpus) for table in described})

    def outline_tables(self, corpus: Corpus, question: str = "", search: Search | None = None) -> TablesInScope:
        """Return the tables of all documents of a corpus, with a row of each of the first tables.

        If a document has been hidden from the principal since the corpus was opened, its tables are omitted. If there
        are many tables, they are ordered by relevance: tables rank higher if a search for the question finds them, if
        they share rare words with the question, or if they have many rows.
        """
        snapshot = corpus.load_snapshot(self.records)
        records = list(_merge_parts(TablePart(*each) for each in snapshot.iter_tables()))
        relevant = frozenset(table.name for table in records)
        if len(records) > _FEW_TABLES and search is not None and question:
            records, relevant = _rank_tables(records, question, search(question, _LOOKUP_PASSAGES))
        others = [_build_documents_table(snapshot), *_iter_sections_tables(snapshot)]
        outlined = [table for table in records if table.name in relevant][:MAX_OUTLINED]
        contents = {table.name: TableContents(rows=self._load_first_row(table)) for table in outlined}
        return TablesInScope((*records, *others), contents, relevant)

    def load_contents(
        self, tables: TablesInScope, requested_tables: Sequence[TableInScope], corpus: Corpus
    ) -> TablesInScope:
        """Return the tables with their contents. The `requested_tables` tables come first."""
        contents = {
            table.name: self._load_contents(table, corpus)
            for table in requested_tables
            if table.name not in tables.contents
        }
        names = frozenset(table.name for table in requested_tables)
        others = (table for table in tables.tables if table.name not in names)
        return TablesInScope((*requested_tables, *others), {**tables.contents, **contents}, tables.relevant | names)

    def _load_first_row(self, table: TableInScope) -> Mapping[int, Sequence[str | None]]:
        part = table.parts[0]
        with suppress(KeyError, ContentChangedError):  # The document was deleted or changed in the meantime.
            rows = self.records.load_profile(part.document.handle.version_id, part.table.index).rows
            return {number: (*row, *get_origin_values(table, part)) for number, row in islice(rows.items(), 1)}
        return {}

    def _load_contents(self, table: TableInScope, corpus: Corpus) -> TableContents:
        if table.kind is TableKind.DOCUMENTS:
            return _build_documents_contents(table, corpus, corpus.load_snapshot(self.records))
        if table.kind is TableKind.SECTIONS:
            visible = corpus.restrict_to_documents(each.handle for each in corpus.load_snapshot(self.records).documents)
            shown = enumerate(islice(iter_sections(visible), _SAMPLE_ROWS), start=1)
            return TableContents(
                rows={number: _convert_to_strings(build_section_row(each, corpus)) for number, each in shown}
            )
        try:
            profiles = [
                self.records.load_profile(part.document.handle.version_id, part.table.index)
                for part in table.parts[:_MOST_PROFILED]
            ]
            around = [
                load_surroundings(
                    corpus, part.document, part.table, self.records.load_tables(part.document.handle.version_id)
                )
                for part in table.parts[:_MOST_CAPTIONS]
            ]
        # The document was deleted, hidden or changed in the meantime.
        except (KeyError, ContentChangedError, UnknownHandleError):
            return TableContents(parts=len(table.parts))
        columns: list[ColumnProfile | None] = []
        if len(profiles) == len(table.parts):
            of_parts = zip(*(profile.columns for profile in profiles), strict=False)
            columns += [
                merge_profiles(each, column.type) for each, column in zip(of_parts, table.columns, strict=False)
            ]
            columns += [None] * (len(table.columns) - len(table.origin) - len(columns))
            columns += [_build_origin_profile(table, at) for at in range(len(table.origin))]
        origin = get_origin_values(table, table.parts[0])
        rows_shown = {number: (*row, *origin) for number, row in profiles[0].rows.items()}
        return TableContents(columns, rows_shown, around, len(table.parts))


def _build_documents_contents(table: TableInScope, corpus: Corpus, snapshot: ScopeSnapshot) -> TableContents:
    columns: list[ColumnProfile | None] = [None] * len(_DOCUMENT_COLUMNS)
    attributes = list(map(_get_attributes, snapshot.documents))
    for column in table.columns[len(_DOCUMENT_COLUMNS) :]:
        if column.name in _PROPERTIES:
            values = [snapshot.properties.get(each, {}).get(column.name) for each in snapshot.documents]
            columns.append(compute_column_profile(values, column.type) if snapshot.has_all_properties else None)
        else:
            given = [each.get(column.name) for each in attributes]
            columns.append(
                compute_column_profile((_convert_to_type(value, column.type) for value in given), column.type)
            )
    names = [each.collection for each in snapshot.documents]
    columns[[column.name for column in _DOCUMENT_COLUMNS].index("collection")] = compute_column_profile(
        names, ColumnType.TEXT
    )
    numbers = {each.handle: number for number, each in enumerate(corpus.documents, start=1)}
    rows: dict[int, Sequence[str | None]] = {}
    for each in corpus.sample_documents(_SHOWN_DOCUMENTS):
        with suppress(UnknownHandleError):  # The document was deleted or hidden in the meantime.
            rows[numbers[each.handle]] = _convert_to_strings(build_document_row(each, corpus, table.columns))
    return TableContents(columns, rows)


def _build_origin_profile(table: TableInScope, column_index: int) -> ColumnProfile:
    counts: Counter[str] = Counter()
    for part in table.parts:
        counts[truncate_text(get_origin_values(table, part)[column_index], MAX_VALUE_CHARS)] += part.table.rows
    return ColumnProfile(ColumnType.TEXT, 0, len(counts), select_profile_values(counts))


def _convert_to_strings(row: Sequence[object]) -> list[str | None]:
    return [None if cell is None else format_value(cell) for cell in row]


def build_document_row(document: CorpusDocument, corpus: Corpus, columns: Sequence[Column]) -> tuple[object, ...]:
    """Return a document's row in the table `documents`, with its values in the order of `columns`."""
    text = corpus.load_text_map(document)
    pages = len(text.layout.places) or None
    fixed = (document.title, document.name, document.collection, document.characters, document.tokens, pages)
    known = {**_get_attributes(document), **text.properties}
    others = columns[len(_DOCUMENT_COLUMNS) :]
    return (*fixed, *(_convert_to_type(known.get(column.name), column.type) for column in others))


def _get_attributes(document: CorpusDocument) -> dict[str, Any]:
    return {_build_attribute_column_name(name): value for name, value in document.attributes.items()}


def build_section_row(section: Section, corpus: Corpus) -> tuple[object, ...]:
    """Return a section's row in the table `sections`."""
    title = corpus.get_document(section.handle).title
    return (title, " > ".join(section.heading_path) or None, section.page, section.tokens)


def iter_sections(corpus: Corpus) -> Iterator[Section]:
    """Yield the sections of all documents, in reading order."""
    for document in corpus.documents:
        with suppress(DocumentUnreadableError):  # The answer reports that this document was skipped.
            yield from list_sections(corpus, document.handle)


def get_origin_values(table: TableInScope, part: TablePart) -> tuple[str, ...]:
    """Return the values of the `table.origin` columns for a part's rows."""
    return (part.document.title, part.table.name)[: len(table.origin)]


def _rank_tables(
    tables: Sequence[TableInScope], question: str, passages: Sequence[Passage]
) -> tuple[list[TableInScope], frozenset[str]]:
    """Rank tables by fusing four rankings: by the passages found, by the words of the question, by size, and by names.

    Also return the names of the relevant tables: those that contain a passage or share words with the question.

    The method is reciprocal rank fusion (Cormack, Clarke & Buettcher, SIGIR 2009). Tied tables all get the rank of the
    last of them. The ranking by names puts tables with telling column names before the others. In a large scope it only
    decides between tables that are about equally relevant: on company filings, putting all tables with telling names
    first pushed every tenth table with an answer out of the description.
    """
    sizes = [float(table.rows or 0) for table in tables]
    named = [
        float(count_telling_names(table.columns[: len(table.columns) - len(table.origin)]) > 0) for table in tables
    ]
    found, shared = _score_tables_by_passages(tables, passages), _score_tables_by_words(tables, question)
    fused = map(sum, zip(*map(_compute_reciprocal_ranks, (found, shared, sizes, named)), strict=True))
    ranked = [table for _, table in sorted(zip(fused, tables, strict=True), key=lambda each: -each[0])]
    is_relevant = [score > len(passages) or words > 0 for score, words in zip(found, shared, strict=True)]
    return ranked, frozenset(table.name for table, kept in zip(tables, is_relevant, strict=True) if kept)


def _compute_reciprocal_ranks(scores: Sequence[float]) -> list[float]:
    ascending = sorted(scores)
    ranks = (len(scores) - bisect_left(ascending, score) for score in scores)
    return [1 / (_RRF_K + rank) if score > 0 else 0.0 for rank, score in zip(ranks, scores, strict=True)]


def _score_tables_by_words(tables: Sequence[TableInScope], question: str) -> list[float]:
    """Score tables by the words that they share with a question. Words that occur in few tables have more weight.

    The names of a table and of its file have more weight than the names of its columns.
    """
    in_titles, in_columns = (
        list(map(set, iter_matched_words(_get_encoder(), question, map(texts, tables))))
        for texts in (_join_titles, _join_column_names)
    )
    having = Counter(word for each in map(set.union, in_titles, in_columns) for word in each)
    weights = {word: math.log(1 + (len(tables) - count + 0.5) / (count + 0.5)) for word, count in having.items()}
    return [
        sum(CONTEXT_WEIGHT * weights[word] for word in titles) + sum(weights[word] for word in columns)
        for titles, columns in zip(in_titles, in_columns, strict=True)
    ]


@cache
def _get_encoder() -> Bm25Encoder:
    return Bm25Encoder()


def _join_titles(table: TableInScope) -> str:
    """Return the names of all tables merged into a table, and of their documents and files."""
    parts = table.parts[:_MOST_CAPTIONS]
    named = (each for part in parts for each in (part.table.name, part.document.title, part.document.name))
    return " ".join(dict.fromkeys(named))


def _join_column_names(table: TableInScope) -> str:
    return " ".join(column.name for column in table.columns)


def _score_tables_by_passages(tables: Sequence[TableInScope], passages: Sequence[Passage]) -> list[float]:
    """Score tables by passages, which are ordered best first.

    Tables that contain a passage rank above other tables of the document in which it was found.
    """
    by_document = {passage.version_id: rank for rank, passage in reversed(list(enumerate(passages)))}

    def score_table(table: TableInScope) -> float:
        versions = {part.document.handle.version_id for part in table.parts}
        within = (
            number
            for number, passage in enumerate(passages)
            if passage.version_id in versions and any(_is_overlapping(part, passage) for part in table.parts)
        )
        found = next(within, None)
        if found is not None:
            return float(2 * len(passages) - found)
        ranks = [by_document[version] for version in versions if version in by_document]
        return float(len(passages) - min(ranks)) if ranks else 0.0

    return [score_table(table) for table in tables]


def _is_overlapping(part: TablePart, passage: Passage) -> bool:
    is_same = part.document.handle.version_id == passage.version_id
    return is_same and part.table.start < passage.end and passage.start < part.table.end


def _merge_parts(parts: Iterable[TablePart]) -> Iterator[TableInScope]:
    """Merge tables whose columns have the same names.

    Tables of different documents are merged only if they share two telling column names. Otherwise unrelated tables
    would be merged because both have columns such as `column_1` and `2023`.
    """
    groups: dict[tuple[str, ...], list[TablePart]] = defaultdict(list)
    for part in parts:
        # guard: unrelated-tables-apart
        apart = () if count_telling_names(part.table.columns) >= _SHARED_NAMES else (part.document.handle.version_id,)
        groups[(*apart, *(column.name.casefold() for column in part.table.columns))].append(part)
    named = [[(part.table.name, part.document) for part in group] for group in groups.values()]
    for name, group in zip(name_tables(named, {DOCUMENTS, SECTIONS}), groups.values(), strict=True):
        columns = group[0].table.columns
        for part in group[1:]:
            columns = tuple(map(_merge_columns, columns, part.table.columns))
        origin = _list_origin_columns(group, columns)
        added = tuple(Column(each, ColumnType.TEXT) for each in origin)
        rows = sum(part.table.rows for part in group)
        yield TableInScope(name, TableKind.RECORDS, (*columns, *added), rows, tuple(group), origin)


def _list_origin_columns(parts: Sequence[TablePart], columns: Sequence[Column]) -> tuple[str, ...]:
    """Return the names of the columns that give the source of each row.

    The result is empty if all rows come from one table.
    """
    if len(parts) == 1:
        return ()
    taken = {column.name.casefold() for column in columns}
    documents = len({part.document.handle.version_id for part in parts})
    wanted = ("document", "table_name") if len(parts) > documents else ("document",)
    return tuple(reserve_name(name, taken) for name in wanted)


def _merge_columns(first: Column, second: Column) -> Column:
    unit = first.unit if first.unit == second.unit else ""
    if first.type is second.type:
        return Column(first.name, first.type, unit)
    types = {first.type, second.type}
    if types == {ColumnType.INTEGER, ColumnType.NUMBER}:
        return Column(first.name, ColumnType.NUMBER, unit)
    if types == {ColumnType.DATE, ColumnType.TIMESTAMP}:
        return Column(first.name, ColumnType.TIMESTAMP)
    return Column(first.name, ColumnType.TEXT)


def _build_documents_table(snapshot: ScopeSnapshot) -> TableInScope:
    types = dict.fromkeys(document.media_type for document in snapshot.documents)
    properties = dict.fromkeys(column for kind in types for column in PROPERTY_COLUMNS.get(kind, ()))
    values: dict[str, list[Any]] = defaultdict(list)
    for document in snapshot.documents:
        for name, value in document.attributes.items():
            values[_build_attribute_column_name(name)].append(value)
    attributes = (
        Column(name, _infer_type([value for value in values[name] if value is not None]))
        for name in islice(values, _MAX_ATTRIBUTES)
    )
    columns = (*_DOCUMENT_COLUMNS, *properties, *attributes)
    return TableInScope(DOCUMENTS, TableKind.DOCUMENTS, columns, len(snapshot.documents))


def _iter_sections_tables(snapshot: ScopeSnapshot) -> Iterator[TableInScope]:
    if snapshot.has_headings:
        yield TableInScope(SECTIONS, TableKind.SECTIONS, _SECTION_COLUMNS, None)


def _build_attribute_column_name(name: str) -> str:
    taken = _PROPERTIES | {column.name for column in _DOCUMENT_COLUMNS}
    plain = to_one_line(name) or "attribute"
    return f"{plain}_attribute" if plain.casefold() in taken or plain.startswith("_") else plain


def _infer_type(values: Sequence[Any]) -> ColumnType:
    kinds = {type(value) for value in values}
    if kinds == {bool}:
        return ColumnType.BOOLEAN
    if kinds == {int} and all(abs(value) < _BIGINT for value in values):
        return ColumnType.INTEGER
    return ColumnType.NUMBER if kinds in ({float}, {int, float}) else ColumnType.TEXT


def _convert_to_type(value: object, kind: ColumnType) -> object:
    if value is None or kind is not ColumnType.TEXT or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, default=str)


def _describe_source(table: TableInScope) -> str:
    if table.kind is TableKind.DOCUMENTS:
        return ": one row for each document, with its metadata"
    if table.kind is TableKind.SECTIONS:
        return ": one row for each section of a document, in reading order"
    first = table.parts[0].document.line
    others = len({part.document.handle.version_id for part in table.parts}) - 1
    return f', from "{first}"' + (f" and {others:,} other document{'s' if others > 1 else ''}" if others else "")
