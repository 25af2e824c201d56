"""Finds out whether one row of a record table answers a question, or the table has to be computed.

A model that is too small to plan can still write one SELECT. Its result is not used. The syntax of the SELECT says what
the question needs, in any language: a count, a comparison or a list, or the row that has given values. Running it says
how many rows have these values.
"""

import json
import re
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from ingest.storage.errors import ContentChangedError
from ingest.storage.tables.parquet import quote_name
from ingest.storage.tables.profiles import format_value
from ingest.storage.tables.store import RecordTables
from ingest.storage.tables.types import RecordRow, RecordTable
from retrieval.search.requests import Passage
from rlm.checking.quotes import QuotedText
from rlm.corpus.corpus import CorpusDocument
from rlm.errors import (
    BudgetExhaustedError,
    DocumentUnreadableError,
    LanguageModelOutputError,
    SqlError,
    SqlLimitError,
    SqlRefusedError,
    UnknownHandleError,
)
from rlm.llm.port import SubCall, request_reply
from rlm.llm.structured_output import build_closed_object
from rlm.strategy import Context
from rlm.tables.names import reserve_name
from rlm.tables.sql import SqlEngine, SqlResult, SqlTable, build_rows_select
from rlm.untrusted import DATA_ONLY, format_question, sanitize_text, to_one_line

SYSTEM = f"Write one SQL SELECT statement that answers the question from the table.\n\n{DATA_ONLY}"
_SCHEMA = build_closed_object({"sql": {"type": "string"}})
# Maximum number of tokens of a SELECT. The SELECT for a row is short; a longer one is cut off, and is no lookup.
_SQL_TOKENS = 80
_TABLE = "t"
# Maximum number of characters of all column names, and of a row, in the prompt.
_NAMES_CHARS, _ROW_CHARS = 1_500, 1_000
# Errors of a document that was deleted, hidden or changed after the question was asked.
_GONE = (KeyError, ContentChangedError, UnknownHandleError, DocumentUnreadableError)
_OTHER_THAN_WORDS = re.compile(r"\W+")
_WORD = re.compile(r"\w+")


class LookupTest:
    """Tests whether the cited row is all that a question needs. Makes one short call to the model of the context."""

    def __init__(self, records: RecordTables, engine: SqlEngine) -> None:
        self._records = records
        self._engine = engine

    def find_computed_table(self, context: Context, passage: Passage, quote: str) -> RecordTable | None:
        """Return the record table of a passage's rows if its other rows matter to the question, too.

        Returns None without a call to the model if the passage, or the place of `quote` in it, has no rows of a record
        table, or if it has all rows of the table. In doubt, for example if the SELECT cannot be run, returns the table.
        Raises the errors of the call, except for an unusable reply or a spent budget.
        """
        corpus = context.corpus()
        document = corpus.find_document_by_id(passage.document_id)
        if document is None or document.handle.version_id != passage.version_id:
            return None
        start, end = _locate_quote(passage, quote)
        with suppress(*_GONE):
            for table in corpus.load_tables(document):
                numbers = self._find_rows(table, passage, passage.start, passage.end)
                quoted = self._find_rows(table, passage, start, end)
                if numbers and quoted and len(numbers) < table.rows:
                    with suppress(*_GONE):
                        if self._is_row_lookup(context, document, table, numbers, quoted.start):
                            return None
                    return table
        return None

    def _find_rows(self, table: RecordTable, passage: Passage, start: int, end: int) -> range | None:
        found = self._records.find_row_range(passage.version_id, table.index, start, end)
        return None if found is None else range(found[0], found[1] + 1)

    def _is_row_lookup(
        self, context: Context, document: CorpusDocument, table: RecordTable, numbers: range, example: int
    ) -> bool:
        """Return whether the model's SELECT for the question looks up one of the rows with these numbers.

        The prompt shows the row with the number `example`.
        """
        with context.corpus().record_reading(document):
            rows = self._records.load_rows(document.handle.version_id, table.index, numbers)
        shown = next((row for row in rows if row.number == example), rows[0])
        result = self._run_lookup(context, document, table, shown)
        return result is not None and _is_one_of(rows, result)

    def _run_lookup(
        self, context: Context, document: CorpusDocument, table: RecordTable, example: RecordRow
    ) -> SqlResult | None:
        """Run the model's SELECT for the question. Returns None if there is no SELECT that can be run."""
        names = _name_columns(table)
        nonce = context.nonce()
        call = _build_call(context, table, names, example, nonce)
        try:
            sql = str(json.loads(request_reply(context.calls, call, cancelled=context.cancelled).text)["sql"])
        except (ValueError, KeyError, LanguageModelOutputError, BudgetExhaustedError):
            return None
        with tempfile.TemporaryDirectory(prefix="leadline-lookup-") as folder:
            file = Path(folder, "table.parquet")
            with context.corpus().record_reading(document):
                self._records.copy_table(document.handle.version_id, table.index, file)
            columns = ", ".join(
                f"{quote_name(column.name)} AS {quote_name(name)}"
                for column, name in zip(table.columns, names, strict=True)
            )
            tables = [SqlTable(_TABLE, [build_rows_select(file, columns)])]
            try:
                # Small models mistake the mark of the table for its name.
                sql = sql.replace(nonce, _TABLE)
                return self._engine.run_query(tables, sql, max_rows=2, traced_rows=2, cancelled=context.cancelled)
            except (SqlError, SqlRefusedError, SqlLimitError):
                return None


def _name_columns(table: RecordTable) -> list[str]:
    """Return a name for each column that SQL accepts without quotes, even if the column is called "order"."""
    taken: set[str] = set()
    return [reserve_name(f"c_{_OTHER_THAN_WORDS.sub('_', each.name)}".casefold(), taken) for each in table.columns]


def _build_call(context: Context, table: RecordTable, names: Sequence[str], example: RecordRow, nonce: str) -> SubCall:
    cells = " | ".join("" if value is None else format_value(value) for value in example.values)
    columns = to_one_line(", ".join(names), _NAMES_CHARS)
    described = f"Table {_TABLE}({columns}), {table.rows:,} rows. A row: {to_one_line(cells, _ROW_CHARS)}"
    lines = [f"BEGIN table {nonce}", sanitize_text(described, nonce), f"END table {nonce}", ""]
    prompt = "\n".join([*lines, format_question(context.question, None, nonce)])
    return SubCall(SYSTEM, prompt, _SQL_TOKENS, _SCHEMA, "plan")


def _locate_quote(passage: Passage, quote: str) -> tuple[int, int]:
    """Return the span of the quotation in the document, or the span of the passage if it is not found."""
    found = QuotedText(passage.text).locate(quote)
    return (passage.start, passage.end) if found is None else (passage.start + found[0], passage.start + found[1])


def _is_one_of(rows: Sequence[RecordRow], result: SqlResult) -> bool:
    """Return whether a SELECT looks up exactly one row of its table, and the row is one of these.

    If no row has exactly the values of the lookup, the row among these counts that has all of their words: questions
    shorten names.
    """
    if result.lookup is None or result.total_rows > 1:
        return False
    if result.total_rows == 1 and result.records is not None:
        ((first, last),) = result.records.rows[0][None]
        return first == last and any(row.number == first for row in rows)
    words = {word for value in result.lookup for word in _list_words(value)}
    having = [row for row in rows if words <= {word for value in row.values for word in _list_words(value)}]
    return bool(words) and len(having) == 1


def _list_words(value: object) -> list[str]:
    return [] if value is None else _WORD.findall(str(value).casefold())
