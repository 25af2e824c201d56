"""Runs a plan: judges rows, runs the query, and finds the rows behind the result."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ingest.storage.remarks import Remark
from ingest.storage.tables.store import RecordTables
from ingest.storage.tables.types import ROW_NUMBER
from retrieval.encoders.port import Embedder
from rlm import events
from rlm.answers import CellRecords, Coverage, Interval, SearchedDocument
from rlm.corpus.corpus import Corpus
from rlm.corpus.handles import Handle
from rlm.errors import SqlError, SqlLimitError, SqlRefusedError, require_not_cancelled
from rlm.estimates import CostEstimate, estimate_judging_cost, estimate_searched_judging, require_confirmation
from rlm.events import Event
from rlm.llm.port import rebuild_error
from rlm.operators.judged import JudgementSource
from rlm.operators.operators import Operators
from rlm.operators.operators import Working as Judging
from rlm.strategy import Context
from rlm.tables.catalog import TableKind, TablesInScope
from rlm.tables.columns import COLUMN_TYPES, JudgedColumn, judge_columns, judge_document_columns
from rlm.tables.opened import Added, OpenedTable, open_table
from rlm.tables.plan import SemanticColumn, SemanticType, TablePlan, TablePlanError
from rlm.tables.searched import SEARCH_STEP, DocumentPassages, ReadingSize, choose_reading_size
from rlm.tables.sql import SqlEngine, SqlResult

_MAX_RESULT_ROWS = 1_000
_MAX_SOURCE_ROWS = 1_000_000
# The types of columns for which the model chooses among labels.
_CHOICES = frozenset({SemanticType.BOOLEAN, SemanticType.LABEL})


@dataclass(frozen=True)
class RowReading:
    """A model's reading of a document or section for the columns of a plan.

    `words` are the words that support the values. `passages` are the spans that were read, or None if the whole text
    was read. `is_found` is false if no value was found in these spans.
    """

    words: Sequence[str]
    passages: Sequence[Handle] | None
    is_found: bool = True


class PlanRun:
    """The tables of one question, and the judgements made so far, which a repaired plan reuses."""

    def __init__(
        self,
        context: Context,
        corpus: Corpus,
        tables: TablesInScope,
        records: RecordTables,
        engine: SqlEngine,
        embedder: Embedder | None,
        folder: Path,
    ) -> None:
        self._context = context
        self._corpus = corpus
        self._tables = tables
        self._records = records
        self._engine = engine
        self._folder = folder
        self._opened: dict[str, OpenedTable] = {}
        self._judged: dict[SemanticColumn, JudgedColumn] = {}
        reading = context.get_reader()
        self._reader = reading.profile
        self._operators = Operators.from_request(
            corpus, reading.calls, reading.profile, embedder, context.wanted, cancelled=context.cancelled
        )

    def list_judged_columns(self, plan: TablePlan) -> list[JudgedColumn]:
        return [self._judged[column] for column in plan.semantic_columns if column in self._judged]

    def dry_run(self, plan: TablePlan) -> None:
        """Run the query with empty judged columns, before anything is spent on judging.

        Raises the same errors as `run_query`.
        """
        if plan.semantic_columns:
            self._run_sql(plan.sql, plan, with_judgements=False, max_rows=1)

    def judge_rows(self, plan: TablePlan) -> Iterator[Event]:
        """Judge the rows that the plan names.

        Raises `RunTooLargeError` before any work if judging this many rows requires confirmation. If no row of a column
        could be judged, the error of the first call is raised.
        """
        groups = self._group_columns([column for column in plan.semantic_columns if column not in self._judged])
        total = sum((self._estimate_columns(columns, numbers) for columns, numbers in groups), CostEstimate())
        # guard: large-table-runs-confirmed
        require_confirmation(total, self._context.wanted)
        for columns, numbers in groups:
            yield from self._judge_columns(columns, numbers)

    def run_query(self, plan: TablePlan, *, traced_rows: int) -> SqlResult:
        """Return the result of the plan's query, with the records behind its first `traced_rows`.

        Raises `SqlError` if the engine cannot run the query, `SqlRefusedError` if it is not a SELECT over the tables,
        and `SqlLimitError` if it exceeds a limit.
        """
        return self._run_sql(plan.sql, plan, with_judgements=True, max_rows=_MAX_RESULT_ROWS, traced_rows=traced_rows)

    def find_source_rows(self, plan: TablePlan, result: SqlResult) -> dict[str, list[int]]:
        """Return the rows behind the result, keyed by table, as named by the plan or by the syntax of its query.

        If neither identifies the rows, only the documents and sections that a model read for the result are returned.
        """
        try:
            queries = self._engine.list_source_row_queries(plan.sql, plan.rows_sql, cancelled=self._context.cancelled)
        except (SqlError, SqlRefusedError, SqlLimitError):
            queries = []
        for name, sql in queries:
            if (found := self._find_row_numbers(name, sql, plan)) is not None:
                return found
        if result.records is not None and len(result.records.rows) == result.total_rows:
            ranges = (each for row in result.records.rows for each in row[None])
            numbers = dict.fromkeys(number for first, last in ranges for number in range(first, last + 1))
            return {self._open_table(result.records.table).table.name: list(numbers)}
        names = dict.fromkeys(map(self.get_table_name, plan.semantic_columns))
        return {name: read for name in names if (read := sorted(self.get_readings(plan, name)))}

    def iter_cell_source_rows(self, result: SqlResult) -> Iterator[CellRecords]:
        """Yield the records behind each result row, and those behind cells that depend on fewer records.

        If the result names no records, nothing is yielded.
        """
        found = result.records
        if found is None:
            return
        opened = self._open_table(found.table)
        for row, cells in enumerate(found.rows, start=1):
            for column, ranges in cells.items():
                numbers = [number for first, last in ranges for number in range(first, last + 1)]
                if parts := opened.list_source_rows(numbers):
                    yield CellRecords(row, column, parts)

    def get_table(self, name: str) -> OpenedTable:
        return self._opened[name]

    def get_readings(self, plan: TablePlan, name: str) -> dict[int, RowReading]:
        """Return a model's readings of the documents or sections of a table, keyed by row."""
        words: dict[int, list[str]] = defaultdict(list)
        spans: dict[int, list[Handle]] = defaultdict(list)
        whole, found = set[int](), set[int]()
        for judged in self.list_judged_columns(plan):
            if self.get_table_name(judged.column) != name or self._open_table(name).table.kind is TableKind.RECORDS:
                continue
            for number, quote in judged.iter_words():
                words[number] += [quote] if quote else []
                spans[number] += [each for each in judged.passages.get(number, ()) if each not in spans[number]]
                if number not in judged.passages:
                    whole.add(number)
                if number not in judged.not_found:
                    found.add(number)
        return {
            number: RowReading(own, None if number in whole else spans[number], number in found)
            for number, own in words.items()
        }

    def list_documents(self, plan: TablePlan, source_rows: Mapping[str, Sequence[int]]) -> tuple[SearchedDocument, ...]:
        """Return the documents of the rows behind the answer and of judged rows, with the number of each kind of row.

        If the rows behind an answer are unknown, the documents of the tables in its query are returned.
        """
        read: dict[str, set[int]] = defaultdict(set)
        for judged in self.list_judged_columns(plan):
            read[self.get_table_name(judged.column)].update(number for number, _ in judged.iter_words())
        counts, judged_counts = Counter[str](), Counter[str]()
        for name, numbers in source_rows.items():
            counts.update(self._opened[name].count_rows_by_document(numbers))
        for name, own in read.items():
            judged_counts.update(self._opened[name].count_rows_by_document(sorted(own)))
        if not source_rows:
            parts = (part for table in self._tables.list_mentioned_tables(plan.sql) for part in table.parts)
            counts.update({part.document.handle.document_id: 0 for part in parts})
        found = {each: self._corpus.find_document_by_id(each) for each in {**counts, **judged_counts}}
        return tuple(
            SearchedDocument(identifier, each.title, counts[identifier], judged_counts[identifier])
            for identifier, each in found.items()
            if each is not None
        )

    def compute_interval(
        self, plan: TablePlan, result: SqlResult, source_rows: Mapping[str, Sequence[int]]
    ) -> Interval | None:
        """Return the interval of a count that depends on a classifier's labels, or on rows that could not be judged."""
        if len(result.rows) != 1 or len(result.rows[0]) != 1 or len(source_rows) != 1:
            return None
        ((name, numbers),) = source_rows.items()
        if result.rows[0][0] != len(numbers):
            return None
        found = [
            column.compute_interval(numbers)
            for column in self.list_judged_columns(plan)
            if self.get_table_name(column.column) == name
        ]
        known = [each for each in found if each is not None]
        return Interval(min(each.low for each in known), max(each.high for each in known)) if known else None

    def compute_coverage(self, plan: TablePlan) -> Coverage:
        """Return which parts of the tables a model judged, a classifier labelled, or only code searched."""
        used = {table.name: table for table in self._tables.list_mentioned_tables(plan.sql)}
        units = sum(self._open_table(name).rows for name in used)
        by_row: dict[tuple[str, int], set[JudgementSource]] = defaultdict(set)
        tokens: dict[str, int] = {}
        unread: dict[str, int] = {}
        failed = not_found = 0
        for judged in self.list_judged_columns(plan):
            name = self.get_table_name(judged.column)
            for number, by in zip(judged.numbers, judged.found.judged_by, strict=True):
                by_row[name, number].add(by)
            tokens[name] = max(tokens.get(name, 0), judged.found.coverage.tokens_read)
            unread[name] = max(unread.get(name, 0), self._count_unread_tokens(judged))
            failed = max(failed, judged.found.coverage.units_failed)
            not_found = max(not_found, judged.found.coverage.units_not_found)
        whole = sum(
            self._corpus.estimate_tokens(part.document.handle[part.table.start : part.table.end])
            for table in used.values()
            if table.kind is TableKind.RECORDS
            for part in table.parts
        )
        lost = sum(JudgementSource.NOBODY in by for by in by_row.values())
        read = sum(by == {JudgementSource.MODEL} for by in by_row.values())
        return Coverage(
            tokens_in_scope=self._corpus.size.tokens,
            tokens_read=sum(tokens.values()),
            tokens_searched=max(0, whole - sum(tokens.values())) + sum(unread.values()),
            units=units,
            units_read=read,
            units_searched=max(0, units - len(by_row)),
            units_inferred=len(by_row) - read - lost,
            units_failed=failed,
            unit="record",
            units_not_found=not_found,
        )

    def _count_unread_tokens(self, judged: JudgedColumn) -> int:
        """Return the tokens outside the passages that were read of documents, which only code searched."""
        return sum(
            max(0, self._corpus.documents[number - 1].tokens - sum(map(self._corpus.estimate_tokens, spans)))
            for number, spans in judged.passages.items()
        )

    def _group_columns(self, columns: Sequence[SemanticColumn]) -> list[tuple[list[SemanticColumn], list[int]]]:
        """Return the columns that are judged together, with the rows that they are judged for.

        Columns of documents or sections are judged together if they have the same condition, because each row is long.
        A small model judges one column at a time, and so does a classifier, which needs the labels of one column.
        """
        groups: dict[object, tuple[list[SemanticColumn], list[int]]] = {}
        rows: dict[tuple[str, str], list[int]] = {}
        for column in columns:
            opened = self._open_table(column.table)
            where = (opened.table.name, column.where)
            rows[where] = numbers = rows.get(where) or self._select_rows(column)
            has_classifier = column.type in _CHOICES and not self._operators.cascade_limits.should_read_all(
                len(numbers)
            )
            is_joint = self._should_quote(opened) and not has_classifier
            groups.setdefault(where if is_joint else column, ([], numbers))[0].append(column)
        return list(groups.values())

    def _estimate_columns(self, columns: Sequence[SemanticColumn], rows: Sequence[int]) -> CostEstimate:
        opened, limits = self._open_table(columns[0].table), self._operators.limits
        values = any(column.type not in _CHOICES for column in columns)
        quoting = self._should_quote(opened)
        size = self._choose_reading_size(opened, columns, rows)
        long = [number for number in rows if size and self._get_tokens(number) > size.first_tokens]
        estimate = CostEstimate()
        if size and long:
            tokens = [self._get_tokens(number) for number in long]
            estimate += estimate_searched_judging(
                tokens, self._reader, size, pack=limits, values=values, quoting=quoting
            )
        whole = sorted(set(rows).difference(long))
        return estimate + estimate_judging_cost(
            len(whole),
            opened.estimate_tokens(whole),
            self._reader,
            pack_limits=limits,
            cascade_limits=self._operators.cascade_limits,
            with_values=values,
            with_quotes=quoting,
            columns=len(columns),
        )

    def _choose_reading_size(
        self, opened: OpenedTable, columns: Sequence[SemanticColumn], rows: Sequence[int]
    ) -> ReadingSize | None:
        """Return how much is read of each row that is a long document, or None if every row is read whole.

        Documents are not searched if the caller wants every record to be read.
        """
        if (
            opened.table.kind is not TableKind.DOCUMENTS
            or self._context.search_document is None
            or self._context.wanted.every_record
        ):
            return None
        return choose_reading_size([self._get_tokens(number) for number in rows], len(columns))

    def _get_tokens(self, row: int) -> int:
        """Return the number of tokens of a row of the table of documents."""
        return self._corpus.documents[row - 1].tokens

    def _judge_columns(self, columns: Sequence[SemanticColumn], row_numbers: Sequence[int]) -> Iterator[Event]:
        require_not_cancelled(self._context.cancelled)
        working = self._start_judging(columns, row_numbers)
        names = ", ".join(f'"{column.name}"' for column in columns)
        while True:
            try:
                progress = next(working)
            except StopIteration as ended:
                found: list[JudgedColumn] = ended.value
                break
            code = "searching_documents" if progress.step == SEARCH_STEP else "judging_rows"
            yield events.Working(Remark(code, columns=names), progress.done, progress.total)
        for each in found:
            report = each.found
            if report.failure is not None and all(by is JudgementSource.NOBODY for by in report.judged_by):
                raise rebuild_error(report.failure)
        self._judged.update(zip(columns, found, strict=True))

    def _start_judging(self, columns: Sequence[SemanticColumn], numbers: Sequence[int]) -> Judging[list[JudgedColumn]]:
        opened, operators, search = self._open_table(columns[0].table), self._operators, self._context.search_document
        quoting, size = self._should_quote(opened), self._choose_reading_size(opened, columns, numbers)
        if search is None or size is None:
            return judge_columns(columns, opened, numbers, operators, quoting=quoting)
        max_chars, cancelled = operators.limits.record_chars, self._context.cancelled
        passages = DocumentPassages(self._corpus, search, size, max_chars, cancelled=cancelled)
        question = self._context.question
        return judge_document_columns(
            columns, opened, numbers, operators, self._corpus, passages, question, quoting=quoting
        )

    def _should_quote(self, table: OpenedTable) -> bool:
        """Return whether rows are read completely by a model that can also copy supporting words."""
        return table.table.kind is not TableKind.RECORDS and not self._reader.small

    def _select_rows(self, column: SemanticColumn) -> list[int]:
        opened = self._open_table(column.table)
        if not column.where:
            return list(range(1, opened.rows + 1))
        sql = f'SELECT _row FROM "{opened.table.name}" WHERE {column.where}'
        found = self._run_sql(sql, TablePlan((), sql, "", ""), with_judgements=False, max_rows=max(1, opened.rows))
        return sorted(_iter_row_numbers(found, opened.rows))

    def _run_sql(
        self, sql: str, plan: TablePlan, *, with_judgements: bool, max_rows: int, traced_rows: int = 0
    ) -> SqlResult:
        names = [table.name for table in self._tables.list_mentioned_tables(sql)]
        tables = [
            self._open_table(name).build_sql_table(
                self._folder, self._build_added_columns(name, plan, with_judgements=with_judgements)
            )
            for name in names
        ]
        return self._engine.run_query(
            tables, sql, max_rows=max_rows, traced_rows=traced_rows, cancelled=self._context.cancelled
        )

    def _build_added_columns(self, table_name: str, plan: TablePlan, *, with_judgements: bool) -> Added:
        rows = self._open_table(table_name).rows
        own = [column for column in plan.semantic_columns if self.get_table_name(column) == table_name]
        return {
            column.name: self._judged[column].build_added(rows)
            if with_judgements and column in self._judged
            else (COLUMN_TYPES[column.type], [None] * rows)
            for column in own
        }

    def _find_row_numbers(self, table_name: str, sql: str, plan: TablePlan) -> dict[str, list[int]] | None:
        """Return the rows of a table that a query selects.

        Returns None if the query cannot be run or does not select rows. No error is raised, because the answer does not
        depend on these rows.
        """
        table = self._tables.find_table(table_name)
        if table is None:
            return None
        rows = self._open_table(table.name).rows
        try:
            found = self._run_sql(sql, plan, with_judgements=True, max_rows=max(1, min(rows, _MAX_SOURCE_ROWS)))
        except (SqlError, SqlRefusedError, SqlLimitError):
            return None
        right = [column.casefold() for column in found.columns] == [ROW_NUMBER]
        return {table.name: list(dict.fromkeys(_iter_row_numbers(found, rows)))} if right else None

    def _open_table(self, name: str) -> OpenedTable:
        table = self._tables.find_table(name)
        if table is None:
            raise TablePlanError(f'Table "{name}" not found.')
        if table.name not in self._opened:
            self._opened[table.name] = open_table(table, self._corpus, self._records)
        return self._opened[table.name]

    def get_table_name(self, column: SemanticColumn) -> str:
        return self._open_table(column.table).table.name


def _iter_row_numbers(result: SqlResult, row_count: int) -> Iterator[int]:
    return (row[0] for row in result.rows if isinstance(row[0], int) and 1 <= row[0] <= row_count)
