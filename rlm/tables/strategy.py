"""Answers questions over tables: a model plans, code computes, and the records behind each number are the evidence."""

import tempfile
from collections import defaultdict
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ingest.storage.remarks import Remark, name_problem
from retrieval.encoders.port import Embedder
from rlm.answers import AnswerStatus, Draft, Interval, ResultTable, SearchSummary, convert_to_json_value
from rlm.corpus.corpus import Corpus
from rlm.errors import LanguageModelOutputError, RunTooLargeError, SqlError, SqlRefusedError, require_not_cancelled
from rlm.events import Delta, Drafted, Event, Planned, Routed
from rlm.llm.port import SubCall, request_reply
from rlm.operators.judged import Classification
from rlm.strategy import Context, Strategy
from rlm.tables.catalog import DOCUMENTS, SECTIONS, TableCatalog, TablesInScope
from rlm.tables.evidence import Evidence, build_evidence
from rlm.tables.plan import (
    TablePlan,
    TablePlanError,
    build_planning_call,
    build_repair_call,
    list_requested_tables,
    parse_plan,
)
from rlm.tables.render import (
    build_result,
    find_stated_columns,
    get_locale,
    has_row_list,
    list_unknown_placeholders,
    needs_table,
    render_markdown_table,
    render_sentence,
)
from rlm.tables.sql import SqlEngine, SqlResult
from rlm.tables.working import PlanRun

# A list of documents may have a few hundred rows, which people read, sort and download.
_MAX_RESULT_TABLE_ROWS = 500
_MAX_DOCUMENTS = 50


# A plan and its result. The result is None if the plan states that the tables cannot answer the question.
Computed = tuple[TablePlan, SqlResult | None]


@dataclass(frozen=True)
class HandOver:
    """The recursive strategy, which answers questions that are too costly for a table, and its spending limits."""

    build_strategy: Callable[[], Strategy]
    limits: str

    def build_event(self, error: RunTooLargeError) -> Routed:
        """Return the event that says why a question is handed over, and which limits hold from then on."""
        return Routed("recursive", Remark("route_too_large", estimate=error.detail), self.limits)


class TableStrategy:
    """Computes answers from the record tables in scope.

    With `embedder`, a classifier labels the rows that the model does not need to read.
    """

    def __init__(
        self,
        catalog: TableCatalog,
        engine: SqlEngine,
        embedder: Embedder | None = None,
        *,
        fallback: Strategy | None = None,
        beyond: HandOver | None = None,
    ) -> None:
        """Create the strategy.

        If the plan states that the tables cannot answer the question, `fallback` answers it. Without `fallback`, the
        plan's statement is the answer. If the plan would cost so much that it requires confirmation, `beyond` answers
        the question instead. Without `beyond`, the question is refused.
        """
        self._otherwise = fallback
        self._beyond = beyond
        self._catalog = catalog
        self._engine = engine
        self._embedder = embedder

    def stream(self, context: Context) -> Iterator[Event]:
        """Answer in the same way as `Strategy.stream`.

        Raises `LanguageModelOutputError` after a second unusable plan, `SqlError`, `SqlRefusedError` and
        `SqlLimitError` if a query cannot be run, and `RunTooLargeError` before many rows are judged without
        confirmation, unless the question can be handed over.
        """
        corpus = context.corpus()
        tables = self._catalog.list_tables(corpus, context.question, context.search)
        too_large: RunTooLargeError | None = None
        with tempfile.TemporaryDirectory(prefix="leadline-tables-") as folder:
            run = PlanRun(context, corpus, tables, self._catalog.records, self._engine, self._embedder, Path(folder))
            try:
                plan, result = yield from self._compute_plan(context, corpus, tables, run)
                draft = None if result is None else _build_draft(plan, result, run)
            except RunTooLargeError as error:
                if self._beyond is None:
                    raise
                too_large = error
        if too_large is not None and self._beyond is not None:
            yield self._beyond.build_event(too_large)
            yield from self._beyond.build_strategy().stream(context)
            return
        if draft is None and self._otherwise is not None:
            yield Routed("direct", Remark("route_not_in_tables", why=plan.answer))
            yield from self._otherwise.stream(context)
            return
        draft = draft or Draft(AnswerStatus.NOT_FOUND, plan.answer, {}, SearchSummary(0, 0, ()))
        yield Delta(draft.text)
        yield Drafted(draft)

    def _compute_plan(
        self, context: Context, corpus: Corpus, tables: TablesInScope, run: PlanRun
    ) -> Generator[Event, None, Computed]:
        """Create a plan and run it.

        The planner may request more details about tables once, and an unusable plan is sent back once. A small model
        plans only with the tables that it is shown.
        """
        nonce, profile = context.nonce(), context.profile
        # If there are many tables, most of them do not matter to a question, so their first description is short.
        shown = tables.build_description(0 if tables.are_many and not profile.small else profile.reading_tokens)
        may_look = bool(shown.brief | shown.omitted) and not profile.small
        call = build_planning_call(context.question, context.today, shown, nonce, profile, may_request_tables=may_look)
        reply = _request_plan(context, call)
        if may_look and (wanted := list_requested_tables(reply, tables, shown)):
            tables = self._catalog.load_contents(tables, wanted, corpus)
            shown = tables.build_description(profile.reading_tokens)
            call = build_planning_call(context.question, context.today, shown, nonce, profile)
            reply = _request_plan(context, call)
        try:
            plan, result = yield from self._run_plan(reply, tables, run)
            _require_result_columns(plan, result)
            return plan, result
        except (TablePlanError, SqlError, SqlRefusedError) as error:
            call = build_repair_call(call, reply, getattr(error, "detail", str(error)), nonce)
        try:
            return (yield from self._run_plan(_request_plan(context, call), tables, run, is_repaired=True))
        except TablePlanError as error:
            raise LanguageModelOutputError(f"The plan over the tables cannot be used. {error}") from error

    def _run_plan(
        self, reply: str, tables: TablesInScope, run: PlanRun, *, is_repaired: bool = False
    ) -> Generator[Event, None, Computed]:
        plan = parse_plan(reply, tables, is_repaired=is_repaired)
        if not plan.sql:
            return plan, None
        run.dry_run(plan)
        yield Planned(plan.list_steps(), plan.sql)
        yield from run.judge_rows(plan)
        return plan, run.run_query(plan, traced_rows=_MAX_RESULT_TABLE_ROWS)


def _request_plan(context: Context, call: SubCall) -> str:
    require_not_cancelled(context.cancelled)
    return request_reply(context.calls, call, cancelled=context.cancelled).text


def _require_result_columns(plan: TablePlan, result: SqlResult | None) -> None:
    """Raise `TablePlanError` if the sentence has a placeholder for a column that is not in the result."""
    unknown = list_unknown_placeholders(plan.answer, result) if result is not None else []
    if result is not None and unknown:
        columns = ", ".join(result.columns)
        raise TablePlanError(
            f"The answer has a placeholder for {', '.join(unknown)}; the result has the columns {columns}."
        )


def _build_draft(plan: TablePlan, result: SqlResult, run: PlanRun) -> Draft:
    behind = run.find_source_rows(plan, result)
    evidence = build_evidence(plan, result, behind, run)
    count = evidence.rows
    text = _render_answer_text(plan, result, evidence)
    coverage, interval = run.compute_coverage(plan), run.compute_interval(plan, result, behind)
    return Draft(
        status=AnswerStatus.ANSWERED if coverage.is_complete else AnswerStatus.PARTIAL,
        text=text,
        evidence=evidence.passages,
        searched=SearchSummary(count, coverage.units_read, run.list_documents(plan, behind)[:_MAX_DOCUMENTS]),
        quotes=evidence.quotes,
        computed=True,
        finished=not any("budget_exhausted" in judged.found.refused for judged in run.list_judged_columns(plan)),
        notes=(*_iter_notes(plan, run, interval), *_iter_citation_notes(text, evidence)),
        coverage=coverage,
        result=build_result(result, interval, _MAX_RESULT_TABLE_ROWS),
        table=_build_result_table(plan, result),
        rows_behind=tuple(
            rows for name, numbers in behind.items() for rows in run.get_table(name).list_source_rows(numbers)
        ),
        cells_behind=tuple(run.iter_cell_source_rows(result)),
    )


def _render_answer_text(plan: TablePlan, result: SqlResult, evidence: Evidence) -> str:
    """Return the sentence and the table, if one is needed.

    Markers are placed at the rows of a list or table if there is one, otherwise in the sentence.
    """
    answer, locale = plan.answer, get_locale(plan.language)
    by_row, has_table, has_list = (
        evidence.list_row_markers(result),
        needs_table(answer, result),
        has_row_list(answer, result),
    )
    is_marked = bool(by_row) and (has_list or (has_table and result.total_rows > 1))
    text = render_sentence(answer, result, "" if is_marked else evidence.markers, by_row, locale)
    if not has_table:
        return text
    in_table = by_row if is_marked and not has_list else ()
    return f"{text}\n\n{render_markdown_table(result, find_stated_columns(answer, result), in_table, locale)}"


def _build_result_table(plan: TablePlan, result: SqlResult) -> ResultTable:
    rows = tuple(tuple(convert_to_json_value(row)) for row in result.rows[:_MAX_RESULT_TABLE_ROWS])
    judged = {column.name: column.instruction for column in plan.semantic_columns}
    return ResultTable(result.columns, rows, result.total_rows, plan.sql, judged, tuple(sorted(result.quantities)))


def _iter_notes(plan: TablePlan, run: PlanRun, interval: Interval | None) -> Iterator[Remark]:
    if interval is not None:
        low, high = round(interval.low), round(interval.high)
        yield Remark("count_between", low=low, high=high, confidence=round(100 * interval.confidence))
    yield from _iter_reading_notes(plan, run)
    yield from _iter_not_found_notes(plan, run)
    for judged in run.list_judged_columns(plan):
        if isinstance(judged.found, Classification) and judged.found.classifier_note:
            yield judged.found.classifier_note
        for code, count in judged.found.refused.items():
            yield Remark("rows_not_judged", column=judged.column.name, n=count, problem=name_problem(code))


def _iter_citation_notes(text: str, evidence: Evidence) -> Iterator[Remark]:
    """Yield a note that says how many of the records behind an answer are cited, unless all or none are."""
    cited = evidence.count_cited_rows(text)
    if 0 < cited < evidence.rows:
        yield Remark("records_cited", n=cited, records=evidence.rows)


def _iter_reading_notes(plan: TablePlan, run: PlanRun) -> Iterator[Remark]:
    """Yield notes that say which columns are a model's reading of records, and how many records it read."""
    columns: dict[tuple[str, int, int], list[str]] = defaultdict(list)
    for judged in run.list_judged_columns(plan):
        if count := sum(1 for _ in judged.iter_words()):
            key = run.get_table_name(judged.column), count, len(judged.passages)
            columns[key].append(f'"{judged.column.name}"')
    for (table, count, searched), names in columns.items():
        part = Remark("read_by_search", searched=searched) if searched else ""
        read: dict[str, Any] = {"n": count, "columns": ", ".join(names), "part": part}
        if table in (DOCUMENTS, SECTIONS):
            yield Remark("read_documents" if table == DOCUMENTS else "read_sections", **read)
        else:
            yield Remark("read_rows", table=table, **read)


def _iter_not_found_notes(plan: TablePlan, run: PlanRun) -> Iterator[Remark]:
    """Yield a note for each column with values that were not found in the passages that were read."""
    for judged in run.list_judged_columns(plan):
        if count := len(judged.not_found):
            yield Remark("values_not_found", column=judged.column.name, n=count)
