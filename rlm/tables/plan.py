"""The plan of a table answer: columns to be judged by a model, a query, and a sentence template for the result."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from itertools import chain, zip_longest
from typing import Any

from ingest.storage.remarks import Remark
from rlm.llm.port import SubCall
from rlm.llm.profiles import ModelProfile
from rlm.llm.structured_output import build_closed_object
from rlm.operators.tasks import MAX_LABELS, build_label_set
from rlm.tables.catalog import TableInScope, TablesInScope
from rlm.tables.description import Description
from rlm.untrusted import DATA_ONLY, format_question, sanitize_text

_MAX_TOKENS = 2_000
_MAX_SEMANTIC_COLUMNS = 6
_MAX_TEXT_CHARS = 8_000
MAX_SHOWN_TABLES = 5
_COLUMN_NAME = re.compile(r"[^\W\d_]\w{0,59}")

_SYSTEM = f"""You answer questions about tables by planning a computation. You see the tables' names, columns and
some of their rows; code runs your plan over all rows and puts the results into your sentence.

After each column comes a description of all its cells: how many are empty, how many different values there are, with
the number of rows of each, or the smallest and the largest. Compare with values as they are spelled there; a list that
begins with "most often" or "such as" is not complete, and "also" comes before the rarest. The sign … means that a
text was cut: match such a value by its beginning. "above" and "below" are the lines around a table in its document.
What they or the headings of columns say about the unit and the scale of figures, such as thousands or a currency,
applies to the cells: name it with every such figure in "answer", and let "sql" give figures in the scale of the table,
unless another is asked for. If they qualify figures that are used, for example as provisional, say so in "answer". Rows
with totals are among the others; never add a total to the rows that it sums up.

A plan has these parts.

"sql" is one SELECT statement in the dialect of DuckDB, WITH and subqueries included. Put names of tables and columns in
double quotes, exactly as they are shown. Every table also has a column "_row", the number of the row. Empty cells are
NULL. Columns of a type other than text are already typed and carry no units; figures in a text column must first be
extracted from the text.
Where empty cells, or texts that are not figures, leave something out of a sum, an average or a comparison, let "sql"
count that in a column of its own, and say in "answer" how much is left out; in arithmetic, coalesce() them. A column
that has the same value in all rows, such as count(*) OVER (), is shown only in the sentence if "answer" names it as
{{column}}. Records without a group form a group whose name says so.
Where not all values of a column are shown, match texts the way people write them: spelling, capitals and spaces may
differ, so compare with lower(), trim() or ILIKE. The keys by which two tables are joined may be spelled differently as
well: join on lower(trim()) of both, and count rows that find no partner, if the answer would lack them.
For a "which" question, select the name of the thing and the figure that decides, in the order that answers it; take the
first places by QUALIFY rank() OVER (ORDER BY …) and not by LIMIT, so that ties show. For a list, select the column by
which a reader recognises a row; for two lists, the rows of both, with a column that says which list a row is of. Give
every computed column an alias that readers understand as a table heading, in the language of the question, such as
count(*) AS "Late orders".

"semantic_columns" are columns that the tables do not have and that no SQL over the existing ones could give, because
somebody has to read the text of a row: whether a message is a complaint, the mood of a review, the supplier that a
note names. Each is judged row by row by a language model, which costs a call for every batch of rows, so add one only
where it is needed. Its "instruction" must make sense to somebody who sees only that row: a question to be answered with
yes or no if "type" is "boolean", what to sort by if it is "label" (with the "labels" to choose from; add one for rows
that fit none), what to extract from the row if it is "text", "number" or "date". Rows without a value to extract get
NULL, so the instruction need not mention them. In SQL, the column is a BOOLEAN, a VARCHAR ("label" and "text"), a
DOUBLE or a DATE. "where" may hold an SQL condition over the existing columns of the table, to leave out rows that need
not be judged; it is empty for all rows. In "sql" you use the column by its name like any other; it is NULL where a row
was not judged, or does not contain the value to extract. In "sections", and in "documents" if they are short, a row is
judged by the whole text, however long, and by that alone: let "where" leave out those that cannot matter. Of a long
document, the start and some passages found by a search for the instruction are read, which costs about two thousand
tokens a document. So let the instruction name what to look for in words that the documents are likely to use. Columns
over "documents" with the same "where" are read at the same time, so two cost little more than one: give each thing a
column of its own. If the passages do not give the value, it is NULL, for "boolean" and "label" too; NULL never means
no. If a question asks what documents lack, ask in the instruction for the thing itself, select the rows that are not
true, and say in "answer" that it was not found in them. Several rows of "documents" may have the same "title"; "name"
tells them apart: list, count and join documents by "name".

"rows_sql" selects "_row" of the records behind the answer, so that the reader can look at them: the rows that
are counted, summed or named. They come from one table; other tables occur only in its conditions. Leave it empty if
"sql" itself selects from one table with the conditions that matter, and if the records come from several tables.

"language" is the tag of the language of the question, such as "en" or "pt-BR": figures are written in its style.

"answer" is the complete sentence that the reader gets, in the language of the question, with {{column}} for a value
that the result has once, in its only row or the same in all rows, {{list:column}} for all values of a column,
{{list:column, column}} for the rows of several, such as "Ann (7), Bob (2)", and {{row_count}} for the number of rows.
Repeat what was asked and what each figure is, so that the sentence is clear by itself: "{{Late}} of the {{Messages}}
messages complain about late delivery.", "The most orders came from {{list:country, Orders}}.", "Reports without a
budget: {{row_count}} ({{list:title}})." Word it so that it is right whatever the query finds, one or many, more or
fewer, and write no figure that it has to find. The part of the result that the sentence does not show appears below it
as a table, so for a long one a sentence that introduces the table is enough.

If the tables cannot answer the question, leave "sql" empty and say in "answer" what is missing.

{DATA_ONLY} This also applies to the names, titles and cells of the tables."""
_PROMPT = """BEGIN tables {nonce}
{tables}
END tables {nonce}

{asked}
{look}
Reply with the plan as JSON."""
_LOOK = f"""
Some tables are not shown, or without values and rows. If the plan may need them, name up to {MAX_SHOWN_TABLES} in
"show", with "sql" and "answer" empty: you will see them and be asked again, once. For a table whose name is not shown,
give words that its name, its columns or the name of its document may contain. Otherwise leave "show" empty.
"""
_REPAIR = """

An earlier plan for this question was:
{plan}

It could not be used. {error}
Reply with a plan that can."""


class SemanticType(StrEnum):
    """The type of the values that a model assigns to rows."""

    BOOLEAN = "boolean"
    LABEL = "label"
    TEXT = "text"
    NUMBER = "number"
    DATE = "date"


@dataclass(frozen=True)
class SemanticColumn:
    """A column of `table` whose values a model judges row by row.

    `where` is an SQL condition that selects the rows, or empty for all rows.
    """

    table: str
    name: str
    instruction: str
    type: SemanticType
    labels: tuple[str, ...] = ()
    where: str = ""


@dataclass(frozen=True)
class TablePlan:
    """The planned computation for a question.

    Without `sql`, `answer` explains why the tables cannot answer the question. `language` is the BCP 47 tag of the
    language of `answer`, or empty if the language is unknown.
    """

    semantic_columns: tuple[SemanticColumn, ...]
    sql: str
    rows_sql: str
    answer: str
    language: str = ""

    def list_steps(self) -> tuple[Remark, ...]:
        """Return the steps of the plan for display, one sentence per step."""
        judging = (
            Remark("plan_reads_rows", table=each.table, instruction=each.instruction) for each in self.semantic_columns
        )
        return (*judging, Remark("plan_runs_query"))


class TablePlanError(ValueError):
    """The plan cannot be used. The message explains the reason to the plan's author."""


_PLAN_PROPERTIES: Mapping[str, object] = {
    "semantic_columns": {
        "type": "array",
        "items": build_closed_object(
            {
                "table": {"type": "string"},
                "name": {"type": "string"},
                "instruction": {"type": "string"},
                "type": {"type": "string", "enum": [each.value for each in SemanticType]},
                "labels": {"type": "array", "items": {"type": "string"}},
                "where": {"type": "string"},
            }
        ),
    },
    "sql": {"type": "string"},
    "rows_sql": {"type": "string"},
    "language": {"type": "string"},
    "answer": {"type": "string"},
}
PLAN_SCHEMA: Mapping[str, object] = build_closed_object(_PLAN_PROPERTIES)
# Schema of a plan whose author may first request more details about some tables.
LOOKING_SCHEMA: Mapping[str, object] = build_closed_object(
    {"show": {"type": "array", "items": {"type": "string"}}, **_PLAN_PROPERTIES}
)


def build_planning_call(
    question: str,
    today: date,
    description: Description,
    nonce: str,
    profile: ModelProfile,
    *,
    may_request_tables: bool = False,
) -> SubCall:
    """Return the call that requests a plan.

    With `may_request_tables`, the planner may first request more details about some tables.
    """
    look, schema = (_LOOK, LOOKING_SCHEMA) if may_request_tables else ("", PLAN_SCHEMA)
    wanted = format_question(question, today, nonce)
    prompt = _PROMPT.format(nonce=nonce, tables=sanitize_text(description.text, nonce), asked=wanted, look=look)
    return SubCall(_SYSTEM, prompt, min(_MAX_TOKENS, profile.max_output_tokens), schema, "plan")


def list_requested_tables(reply: str, tables: TablesInScope, description: Description) -> list[TableInScope]:
    """Return the tables that the planner requests to see, by name or by words, and that are not shown in full yet.

    This includes tables used in its query whose columns were not shown.
    """
    try:
        value = json.loads(reply)
        wanted = [str(words) for words in value["show"][:MAX_SHOWN_TABLES]]
        found = zip_longest(*(tables.find_tables(words)[:MAX_SHOWN_TABLES] for words in wanted))
        read = [table for table in tables.list_mentioned_tables(str(value["sql"])) if table.name in description.omitted]
    except (ValueError, KeyError, TypeError, RecursionError):
        return []
    hidden = description.brief | description.omitted
    requested = [table for table in chain.from_iterable(found) if table is not None and table.name in hidden]
    return list({table.name: table for table in (*requested, *read)}.values())[:MAX_SHOWN_TABLES]


def build_repair_call(call: SubCall, reply: str, error: str, nonce: str) -> SubCall:
    """Return a call that repeats the planning call with the failed plan and the reason for the failure."""
    said = sanitize_text(f"{reply[:_MAX_TEXT_CHARS]}", nonce)
    repair = _REPAIR.format(plan=said, error=sanitize_text(error[:_MAX_TEXT_CHARS], nonce))
    return SubCall(call.system, call.prompt + repair, call.max_tokens, call.schema, call.purpose)


def parse_plan(reply: str, tables: TablesInScope, *, is_repaired: bool = False) -> TablePlan:
    """Parse the plan in a reply. Raises `TablePlanError` if the plan cannot be run over these tables.

    Some models list all columns that the query uses as semantic columns, even existing ones, and even after being told
    not to. In a `is_repaired` plan, existing columns are dropped.
    """
    try:
        value = json.loads(reply)
        columns = tuple(map(_parse_semantic_column, value["semantic_columns"]))
        texts = [str(value[name]).strip() for name in ("sql", "rows_sql", "answer")]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise TablePlanError("The reply does not follow the JSON schema.") from error
    if is_repaired:
        columns = tuple(each for each in columns if not _is_existing_column(each, tables))
    if any(len(text) > _MAX_TEXT_CHARS for text in texts):
        raise TablePlanError(f"A query or an answer has more than {_MAX_TEXT_CHARS:,} characters.")
    sql, rows_sql = (text.rstrip("; \n\t") for text in texts[:2])
    plan = TablePlan(columns, sql, rows_sql, texts[2], str(value.get("language", "")).strip())
    if not plan.sql and not plan.answer:
        raise TablePlanError('The plan has neither "sql" nor an "answer" that says what is missing.')
    if len(columns) > _MAX_SEMANTIC_COLUMNS:
        raise TablePlanError(f"The plan has more than {_MAX_SEMANTIC_COLUMNS} semantic columns.")
    _require_valid_columns(columns, tables)
    return plan


def _parse_semantic_column(value: Mapping[str, Any]) -> SemanticColumn:
    return SemanticColumn(
        table=str(value["table"]).strip().strip('"'),
        name=str(value["name"]).strip().strip('"'),
        instruction=str(value["instruction"]).strip(),
        type=SemanticType(value["type"]),
        labels=tuple(str(label) for label in value.get("labels", ())),
        where=str(value.get("where", "")).strip().rstrip(";"),
    )


def _is_existing_column(column: SemanticColumn, tables: TablesInScope) -> bool:
    table = tables.find_table(column.table)
    return table is not None and column.name.casefold() in _get_column_names(table)


def _get_column_names(table: TableInScope) -> set[str]:
    return {each.name.casefold() for each in table.columns} | {"_row"}


def _require_valid_columns(columns: Sequence[SemanticColumn], tables: TablesInScope) -> None:
    taken: set[tuple[str, str]] = set()
    for column in columns:
        table = tables.find_table(column.table)
        if table is None:
            known = ", ".join(f'"{each.name}"' for each in tables.tables[:50])
            raise TablePlanError(f'Table "{column.table}" not found; the tables are {known}.')
        names = _get_column_names(table)
        key = (table.name, column.name.casefold())
        if not _COLUMN_NAME.fullmatch(column.name) or column.name.casefold() in names or key in taken:
            raise TablePlanError(f'The semantic column "{column.name}" must have a new name that is a single word.')
        taken.add(key)
        if not column.instruction:
            raise TablePlanError(f'The semantic column "{column.name}" has no instruction.')
        if column.type is SemanticType.LABEL:
            try:
                build_label_set(column.labels)
            except ValueError as error:
                raise TablePlanError(
                    f'The semantic column "{column.name}" must have 2 to {MAX_LABELS} different labels.'
                ) from error
