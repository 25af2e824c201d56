"""An answer: its sentences with their citations and checks, the text that was read, and the cost."""

import json
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Any

from ingest.storage.answers.records import CellRanges, RowRanges, StoredAnswer, group_into_ranges
from ingest.storage.remarks import Remark, convert_remark_to_json
from retrieval.search.requests import Passage
from rlm.llm.budgets import Usage
from rlm.requests import AnswerScope


class AnswerStatus(StrEnum):
    """The extent to which the documents answer the question, according to the model that read them.

    Checks never change the status.
    """

    ANSWERED = "answered"
    PARTIAL = "partial"  # A limit ended the work, or the model reported that a part is missing.
    NOT_FOUND = "not_found"
    EXTRACTIVE = "extractive"


class Check(StrEnum):
    """The result of checking one sentence."""

    VERIFIED = "verified"  # A judge read the cited text and found that it supports the sentence.
    # The cited text was found, but no judge confirmed that it supports the whole sentence. Either there was no judge,
    # or the judge found only partial support, or the words that the model quoted are not in the passage.
    QUOTED = "quoted"
    COMPUTED = "computed"  # Code counted or computed the sentence's statement from the cited records.
    UNSUPPORTED = "unsupported"  # A judge found that the cited text does not support the sentence.
    UNCHECKED = "unchecked"  # The sentence has no citation, or cites text that the model did not read.


class Support(StrEnum):
    """The part of a sentence that the cited text supports, according to the judge."""

    FULL = "full"
    PARTIAL = "partial"
    NONE = "none"


@dataclass(frozen=True)
class Quote:
    """A span of a cited passage that supports a sentence. `number` is the citation's number."""

    number: int
    start: int
    end: int
    text: str
    page: int | None = None
    place: str = ""


@dataclass(frozen=True)
class Citation:
    """A passage that supports an answer.

    `number` counts from 1 within the answer and appears in the answer's text as `[1]`.

    `start` and `end` are offsets in code points of the version's normalized text. `quote` is the document's text in
    that span. `place` describes the location in the file (`page 12`, `slide 4`). `verified` is true if the model quoted
    the span and code found the quotation in the document. Otherwise the span is the part of the passage most similar to
    the sentence, or empty if nothing is similar.
    """

    number: int
    document_id: str
    version_id: str
    title: str
    heading_path: tuple[str, ...]
    page: int | None
    start: int
    end: int
    quote: str
    verified: bool
    place: str = ""


@dataclass(frozen=True)
class Sentence:
    """A sentence, list item or heading of the answer: `Answer.text[start:end] == text`, markers included.

    `citations` are the numbers of the sentence's markers. `quotes` are the spans that support it; several may come from
    one passage. `reason` explains to users why the sentence is unsupported or only partly supported. `support` is the
    judge's verdict, or None if no judge gave one.
    """

    text: str
    start: int
    end: int
    citations: tuple[int, ...] = ()
    check: Check = Check.UNCHECKED
    reason: str = ""
    quotes: tuple[Quote, ...] = ()
    support: Support | None = None


@dataclass(frozen=True)
class SearchedDocument:
    """A document in the search results, with the numbers of its passages found and of its passages read by a model."""

    document_id: str
    title: str
    passages: int
    read: int


@dataclass(frozen=True)
class ReadPassage:
    """A passage that a model read: the span `[start, end)` of a version's text.

    `rank` is the passage's rank in the search results, or None if the whole scope was read without a search.
    """

    document_id: str
    version_id: str
    title: str
    start: int
    end: int
    page: int | None
    place: str
    rank: int | None


@dataclass(frozen=True)
class SearchSummary:
    """The number of passages or records found, the number read by a model, and their documents, best first.

    `read_passages` are the passages that an answer is based on, in the order of their numbers in the prompt.
    """

    passages: int
    read: int
    documents: tuple[SearchedDocument, ...]
    queries: tuple[str, ...] = ()
    read_passages: tuple[ReadPassage, ...] = ()


@dataclass(frozen=True)
class Coverage:
    """The token counts of a scope: read or judged by a model, searched by code, and not opened.

    Each token is counted once, in the first of these three categories that applies. Token counts are estimates. The
    scope has `units` documents or table records, and `unit` is the word for one of them. `units_inferred` were labelled
    by a classifier trained on a model's labels; `units_failed` have no result. `units_not_found` are those of
    `units_read` of which only passages were read, and whose value was not found in them.
    """

    tokens_in_scope: int
    tokens_read: int
    tokens_searched: int
    units: int
    units_read: int
    units_searched: int = 0
    units_inferred: int = 0
    units_failed: int = 0
    unit: str = "document"
    units_not_found: int = 0

    @property
    def tokens_unopened(self) -> int:
        return max(0, self.tokens_in_scope - self.tokens_read - self.tokens_searched)

    @property
    def is_complete(self) -> bool:
        """True if every unit was read, searched or inferred, and none failed."""
        return not self.units_failed and self.units_read + self.units_searched + self.units_inferred >= self.units

    def to_sentence(self) -> Remark:
        """Describe the coverage: "Of about 11,000,000 tokens, a model read 196,000 and code searched 10,800,000."."""
        whole = _round_tokens(self.tokens_in_scope)
        return Remark(
            "coverage" if whole == self.tokens_in_scope else "coverage_about",
            tokens=Remark("tokens", n=whole),
            read=_round_tokens(self.tokens_read),
            searched=_round_tokens(self.tokens_searched),
            rest=Remark(
                "coverage_rest",
                unopened=Remark("coverage_unopened", tokens=_round_tokens(self.tokens_unopened))
                if self.tokens_unopened
                else "",
                inferred=self._count_units("coverage_inferred", self.units_inferred),
                not_found=self._count_units("coverage_not_found", self.units_not_found),
                failed=self._count_units("coverage_failed", self.units_failed),
            ),
        )

    def _count_units(self, code: str, count: int) -> str:
        return Remark(code, units=Remark(f"{self.unit}s", n=count)) if count else ""


@dataclass(frozen=True)
class Interval:
    """A range that contains the true value with probability `confidence`."""

    low: float
    high: float
    confidence: float = 0.95


@dataclass(frozen=True)
class Result:
    """The computed value of an answer, for programs: a number, a label, a list, or any other JSON value.

    `interval` is the range of a count that depends on uncertain labels. It is None if the value is exact or no range is
    known.
    """

    kind: str
    value: object
    interval: Interval | None = None


@dataclass(frozen=True)
class ResultTable:
    """The result table of a `SELECT`: its first rows, and the total number of rows.

    `quantities` are the zero-based indexes of the columns that contain counts or sums.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[object, ...], ...]
    total_rows: int
    sql: str
    semantic_columns: Mapping[str, str] = field(default_factory=dict)
    quantities: tuple[int, ...] = ()


@dataclass(frozen=True)
class SourceRows:
    """Rows of one table in a version, by row number (counted from 1), in file order.

    `table` is the zero-based index of the table in the version.

    If the rows are documents or sections, `table` is `WHOLE_DOCUMENT` or `ITS_SECTIONS` of
    `ingest.storage.answers.records`.
    """

    document_id: str
    version_id: str
    table: int
    rows: tuple[int, ...]


@dataclass(frozen=True)
class CellRecords:
    """The records from which row `row` (counted from 1) of a result was computed.

    If `column` (counted from 0) is set, these are only the records for that cell.
    """

    row: int
    column: int | None
    parts: tuple[SourceRows, ...]


class OutputKind(StrEnum):
    """The kinds of output that a program gets instead of, or beside, the text of an answer."""

    JSON = "json"
    CALL = "call"  # A call of one of the program's tools.
    ADDITION = "addition"  # Text that the results of the program's tools add to the answer.
    REFUSAL = "refusal"  # The answer could not be put into the requested form.


@dataclass(frozen=True)
class Output:
    """An answer in the form that a program requested.

    `text` is JSON, the arguments of a call as JSON, an addition, or the reason for a refusal. `tool` is the name of the
    called tool.
    """

    kind: OutputKind
    text: str
    tool: str = ""


@dataclass(frozen=True)
class Answer:
    """The answer returned to a caller. `text` is Markdown with citation markers such as `[1]`.

    `question` is the question that was answered; a follow-up is rewritten as a standalone question. `model` is None if
    no language model was used. `timings_ms` is keyed by stage and ends with `total`. `rows_behind` are the records from
    which the answer was computed; `cells_behind` are the records for each number in `table`, where they are known.
    `finished` is false if a budget or another limit ended the work early. `dollars` is the price of `usage`, or None if
    the model has no known price. `notes` are shown to users; for example, a check was not possible. `output` is the
    answer in the form that a program requested.
    """

    status: AnswerStatus
    text: str
    sentences: tuple[Sentence, ...]
    citations: tuple[Citation, ...]
    strategy: str
    model: str | None
    searched: SearchSummary
    question: str = ""
    reasons: tuple[str, ...] = ()
    notes: tuple[Remark, ...] = ()
    usage: Usage = field(default_factory=Usage)
    timings_ms: Mapping[str, float] = field(default_factory=dict)
    coverage: Coverage | None = None
    result: Result | None = None
    table: ResultTable | None = None
    rows_behind: tuple[SourceRows, ...] = ()
    cells_behind: tuple[CellRecords, ...] = ()
    finished: bool = True
    dollars: float | None = None
    output: Output | None = None


@dataclass(frozen=True)
class OfferedQuote:
    """A quotation that a model gave for the passage `number`."""

    number: int
    text: str


@dataclass(frozen=True)
class Draft:
    """A strategy's answer before checking. `text` is the concatenation of the streamed pieces.

    `evidence` maps the number of each marker in the text to its passage. If `computed` is true, code computed the
    statements and no judge is needed, except for the sentences in `stated`. If the answer is that the documents do not
    say it, `read` has all passages that the model read.
    """

    status: AnswerStatus
    text: str
    evidence: Mapping[int, Passage]
    searched: SearchSummary
    quotes: tuple[OfferedQuote, ...] = ()
    computed: bool = False
    stated: frozenset[str] = frozenset()
    finished: bool = True
    reasons: tuple[str, ...] = ()
    notes: tuple[Remark, ...] = ()
    coverage: Coverage | None = None
    result: Result | None = None
    table: ResultTable | None = None
    rows_behind: tuple[SourceRows, ...] = ()
    cells_behind: tuple[CellRecords, ...] = ()
    read: tuple[Passage, ...] = ()


def summarize_search(
    passages: Sequence[Passage], read_passages: Sequence[Passage] = (), queries: Sequence[str] = ()
) -> SearchSummary:
    """Summarize which documents were found and how much of each was read.

    The document with the best passage comes first. Without queries, everything in scope was read.
    """
    titles = {passage.document_id: passage.title for passage in passages}
    documents = tuple(
        SearchedDocument(
            document_id,
            title,
            sum(passage.document_id == document_id for passage in passages),
            sum(passage.document_id == document_id for passage in read_passages),
        )
        for document_id, title in titles.items()
    )
    shown = tuple(
        ReadPassage(
            each.document_id,
            each.version_id,
            each.title,
            each.start,
            each.end,
            each.page,
            each.place,
            each.rank if queries else None,
        )
        for each in read_passages
    )
    return SearchSummary(len(passages), len(read_passages), documents, tuple(queries), shown)


def build_answer_json(answer: Answer) -> dict[str, Any]:
    """Return an answer as JSON with the fields of `Answer`. Only the number of source rows is included."""
    body: dict[str, Any] = convert_to_json_value(asdict(replace(answer, rows_behind=(), cells_behind=())))
    del body["rows_behind"], body["cells_behind"]
    body["coded_notes"] = convert_to_json_value(tuple(map(convert_remark_to_json, answer.notes)))
    body["coded_reasons"] = convert_to_json_value(tuple(map(convert_remark_to_json, answer.reasons)))
    if answer.table is not None:
        body["table"]["records"] = [
            {"row": each.row, "column": each.column, "count": _count_source_rows(each.parts)}
            for each in answer.cells_behind
        ]
    return body | {"rows_behind_total": _count_source_rows(answer.rows_behind)}


def _count_source_rows(source_rows: Iterable[SourceRows]) -> int:
    return sum(len(each.rows) for each in source_rows)


def build_stored_answer(
    answer: Answer,
    answer_id: str,
    tenant_id: str,
    question: str,
    conversation_id: str | None,
    owner: str | None = None,
    *,
    scope: AnswerScope | None = None,
    request: Mapping[str, Any] | None = None,
) -> StoredAnswer:
    """Build an answer's stored record.

    `question` is the caller's original question. `owner` is the caller. `scope` is the scope of the question, which
    the conversation shows with it. `request` contains the members of the request that a protocol's replies repeat.
    """
    body, rows = build_answer_json(answer), _build_stored_row_ranges(answer.rows_behind)
    if scope is not None:
        body["scope"] = {"collections": list(scope.collections), "documents": list(scope.documents)}
    if request is not None:
        body["request"] = dict(request)
    cells = tuple(
        CellRanges(each.row, each.column, _build_stored_row_ranges(each.parts)) for each in answer.cells_behind
    )
    return StoredAnswer(answer_id, tenant_id, conversation_id, None, question, body, rows, time.time(), owner, cells)


def _build_stored_row_ranges(source_rows: Iterable[SourceRows]) -> tuple[RowRanges, ...]:
    return tuple(
        RowRanges(each.document_id, each.version_id, each.table, group_into_ranges(each.rows)) for each in source_rows
    )


def convert_to_json_value(value: object) -> Any:  # noqa: ANN401 - any JSON
    """Convert a value to JSON that every client and database accepts.

    Sets become sorted lists, dict keys become strings, decimals become numbers, and dates and times become ISO strings.
    A number that JSON cannot represent becomes null, and a lone surrogate becomes a question mark.
    """
    match value:
        case None | bool() | int():
            return value
        case float():
            return value if math.isfinite(value) else None
        case Decimal():
            whole = value == value.to_integral_value() and int(value.as_tuple().exponent) >= 0
            return int(value) if whole else convert_to_json_value(float(value))
        case date():
            return value.isoformat()
        case Mapping():
            return {_format_json_key(key): convert_to_json_value(each) for key, each in value.items()}
        case list() | tuple():
            return [convert_to_json_value(each) for each in value]
        case set() | frozenset():
            return sorted(map(convert_to_json_value, value), key=json.dumps)
        case _:
            return _replace_surrogates(str(value))


def _format_json_key(key: object) -> str:
    if isinstance(key, tuple):
        return f"({', '.join(map(_format_json_key, key))})"
    return _replace_surrogates(str(key))


def _replace_surrogates(text: str) -> str:
    """Replace lone surrogates, which code generated by a model may produce and which cannot be encoded."""
    return text.encode("utf-8", "replace").decode()


def _round_tokens(tokens: int) -> int:
    """Round to three significant digits, because token counts are estimates."""
    return round(tokens, min(0, 3 - len(str(tokens))))
