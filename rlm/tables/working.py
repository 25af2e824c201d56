"""Running a plan: rows are judged, the query is run, and the rows behind its result are found."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from ingest.tables import ROW_NUMBER, RecordTables
from retrieval.embedding import Embedder
from rlm.answers import Coverage, Interval, SearchedDocument
from rlm.cancelling import require_wanted
from rlm.corpus.corpus import Corpus
from rlm.errors import SqlError, SqlLimitError, SqlRefusedError
from rlm.estimates import Estimate, require_confirmation
from rlm.events import Event, Working
from rlm.llm.port import raised
from rlm.operators.cascade import EVERY_RECORD, CascadeLimits
from rlm.operators.judged import JudgedBy
from rlm.operators.operators import Operators
from rlm.operators.packing import PackLimits
from rlm.strategy import Context
from rlm.tables.catalog import Kind, TablesInScope
from rlm.tables.opened import Added, OpenedTable, open_table
from rlm.tables.plan import Plan, PlanError, SemanticColumn
from rlm.tables.semantic import JudgedColumn, estimate, judge, no_values
from rlm.tables.sql import SqlEngine, SqlResult

_MOST_RESULT_ROWS = 1_000
_MOST_ROWS_BEHIND = 1_000_000


class PlanRun:
    """The tables of one question, with what was judged of them so far; a plan that is mended finds that again."""

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
        self._cascade = EVERY_RECORD if context.wanted.every_record or embedder is None else CascadeLimits()
        self._operators = Operators(
            corpus,
            context.calls,
            embedder,
            limits=PackLimits.of(context.profile),
            cascade_limits=self._cascade,
            cancelled=context.cancelled,
        )

    def judged(self, plan: Plan) -> list[JudgedColumn]:
        """The judged columns of a plan."""
        return [self._judged[column] for column in plan.semantic_columns if column in self._judged]

    def try_out(self, plan: Plan) -> None:
        """Run the query over columns without values, before anything is spent on them. Raises as `query`."""
        if plan.semantic_columns:
            self._run(plan.sql, plan, judged=False, most_rows=1)

    def judge(self, plan: Plan) -> Iterator[Event]:
        """Have the rows judged that the plan names. Raises `RunTooLargeError` first where that is a lot of work.

        Raises the failure of the first call where not one row of a column could be judged.
        """
        waiting = [column for column in plan.semantic_columns if column not in self._judged]
        numbers = {column: self._wanted_rows(column) for column in waiting}
        total = Estimate()
        for column in waiting:
            opened = self._open(column.table)
            total += estimate(column, opened, numbers[column], self._context.profile, self._cascade)
        require_confirmation(total, self._context.wanted)
        for column in waiting:
            yield from self._judge(column, numbers[column])

    def query(self, plan: Plan) -> SqlResult:
        """The result of the plan's query. Raises `SqlError`, `SqlRefusedError` and `SqlLimitError`."""
        return self._run(plan.sql, plan, judged=True, most_rows=_MOST_RESULT_ROWS)

    def behind(self, plan: Plan) -> dict[str, list[int]]:
        """The rows that the result rests on, by table: as the plan says, or by the syntax of its query.

        Where neither tells, they are all rows of the tables that the query names.
        """
        found = self._row_numbers(lambda: plan.rows_sql, plan)
        if found is None:
            found = self._row_numbers(
                lambda: self._engine.rows_behind(plan.sql, cancelled=self._context.cancelled), plan
            )
        if found is not None:
            return found
        named = self._tables.mentioned(plan.sql)
        return {table.name: list(range(1, self._open(table.name).rows + 1)) for table in named}

    def opened(self, name: str) -> OpenedTable:
        """A table that was used."""
        return self._opened[name]

    def documents(self, behind: Mapping[str, Sequence[int]]) -> tuple[SearchedDocument, ...]:
        """The documents that rows are from, with how many of these each has."""
        counts: Counter[str] = Counter()
        for name, numbers in behind.items():
            counts.update(self._opened[name].by_document(numbers))
        found = ((self._corpus.with_id(each), count) for each, count in counts.items())
        return tuple(
            SearchedDocument(each.handle.document_id, each.title, count, 0) for each, count in found if each is not None
        )

    def interval(self, plan: Plan, result: SqlResult, behind: Mapping[str, Sequence[int]]) -> Interval | None:
        """The range of a count that rests on a classifier's labels, or on rows that nobody could judge."""
        if len(result.rows) != 1 or len(result.rows[0]) != 1 or len(behind) != 1:
            return None
        ((name, numbers),) = behind.items()
        if result.rows[0][0] != len(numbers):
            return None
        found = [column.interval(numbers) for column in self.judged(plan) if self._table_name(column.column) == name]
        known = [each for each in found if each is not None]
        return Interval(min(each.low for each in known), max(each.high for each in known)) if known else None

    def coverage(self, plan: Plan) -> Coverage:
        """What of the tables used a model judged, a classifier labelled, and code alone searched."""
        used = {table.name: table for table in self._tables.mentioned(plan.sql)}
        units = sum(self._open(name).rows for name in used)
        by_row: dict[tuple[str, int], set[JudgedBy]] = defaultdict(set)
        tokens: dict[str, int] = {}
        failed = 0
        for judged in self.judged(plan):
            name = self._table_name(judged.column)
            for number, by in zip(judged.numbers, judged.judged_by, strict=True):
                by_row[name, number].add(by)
            tokens[name] = max(tokens.get(name, 0), judged.found.coverage.tokens_read)
            failed = max(failed, judged.found.coverage.units_failed)
        whole = sum(
            self._corpus.tokens(part.document.handle[part.table.start : part.table.end])
            for table in used.values()
            if table.kind is Kind.RECORDS
            for part in table.parts
        )
        lost = sum(JudgedBy.NOBODY in by for by in by_row.values())
        read = sum(by == {JudgedBy.MODEL} for by in by_row.values())
        return Coverage(
            tokens_in_scope=self._corpus.size.tokens,
            tokens_read=sum(tokens.values()),
            tokens_searched=max(0, whole - sum(tokens.values())),
            units=units,
            units_read=read,
            units_searched=max(0, units - len(by_row)),
            units_inferred=len(by_row) - read - lost,
            units_failed=failed,
            unit="record",
        )

    def _judge(self, column: SemanticColumn, numbers: Sequence[int]) -> Iterator[Event]:
        require_wanted(self._context.cancelled)
        working = judge(column, self._open(column.table), numbers, self._operators)
        while True:
            try:
                progress = next(working)
            except StopIteration as ended:
                found: JudgedColumn = ended.value
                break
            yield Working(f'Judging the rows for "{column.name}"', progress.done, progress.total)
        if found.found.failure is not None and not any(by is not JudgedBy.NOBODY for by in found.judged_by):
            raise raised(found.found.failure)
        self._judged[column] = found

    def _wanted_rows(self, column: SemanticColumn) -> list[int]:
        opened = self._open(column.table)
        if not column.where:
            return list(range(1, opened.rows + 1))
        sql = f'SELECT _row FROM "{opened.table.name}" WHERE {column.where}'
        found = self._run(sql, Plan((), sql, "", ""), judged=False, most_rows=max(1, opened.rows))
        return sorted(_numbers(found, opened.rows))

    def _run(self, sql: str, plan: Plan, *, judged: bool, most_rows: int) -> SqlResult:
        names = [table.name for table in self._tables.mentioned(sql)]
        tables = [self._open(name).sql_table(self._folder, self._added(name, plan, judged=judged)) for name in names]
        return self._engine.query(tables, sql, max_rows=most_rows, cancelled=self._context.cancelled)

    def _added(self, name: str, plan: Plan, *, judged: bool) -> Added:
        rows = self._open(name).rows
        own = [column for column in plan.semantic_columns if self._table_name(column) == name]
        return {
            column.name: self._judged[column].added(rows)
            if judged and column in self._judged
            else no_values(column, rows)
            for column in own
        }

    def _row_numbers(self, query: Callable[[], str | None], plan: Plan) -> dict[str, list[int]] | None:
        """The rows that a query gives, by its first table.

        None where it cannot be run, or gives something else: the result stands without it.
        """
        try:
            sql = query() or ""
            named = self._tables.mentioned(sql)
            if not named:
                return None
            rows = self._open(named[0].name).rows
            found = self._run(sql, plan, judged=True, most_rows=max(1, min(rows, _MOST_ROWS_BEHIND)))
        except (SqlError, SqlRefusedError, SqlLimitError):
            return None
        right = [column.casefold() for column in found.columns] == [ROW_NUMBER]
        return {named[0].name: list(dict.fromkeys(_numbers(found, rows)))} if right else None

    def _open(self, name: str) -> OpenedTable:
        table = self._tables.named(name)
        if table is None:
            raise PlanError(f'There is no table "{name}".')
        if table.name not in self._opened:
            self._opened[table.name] = open_table(table, self._corpus, self._records)
        return self._opened[table.name]

    def _table_name(self, column: SemanticColumn) -> str:
        return self._open(column.table).table.name


def _numbers(found: SqlResult, rows: int) -> Iterator[int]:
    return (row[0] for row in found.rows if isinstance(row[0], int) and 1 <= row[0] <= rows)
