"""Wire models for questions and answers."""

from collections.abc import Collection, Mapping
from decimal import Decimal
from typing import Any, Literal, Self

from pydantic import Field, computed_field, model_validator

from api.answers.forms import Form
from api.answers.output_schemas import OutputIn, OutputOut
from api.http.remark_schemas import RemarkOut
from api.http.wire import Wire
from ingest.storage.accounts.records import Principal
from ingest.storage.answers.records import StoredAnswer
from ingest.storage.documents.filters import parse_conditions
from rlm.answers import AnswerStatus, Check, Support
from rlm.checking.levels import infer_support
from rlm.llm.budgets import Limits
from rlm.requests import AnswerOptions, AnswerScope, EarlierMessage, StrategyName


class BudgetIn(Wire):
    """The maximum that an answer may spend. Omitted fields are not limited.

    A limit in dollars requires a model with a known price, and has no effect if the price is 0.
    """

    calls: int | None = Field(None, ge=0)
    prompt_tokens: int | None = Field(None, ge=0)
    completion_tokens: int | None = Field(None, ge=0)
    tokens: int | None = Field(None, ge=0, description="Prompt and completion tokens combined.")
    dollars: Decimal | None = Field(None, ge=0)
    seconds: float | None = Field(None, gt=0, allow_inf_nan=False)

    def to_limits(self) -> Limits:
        return Limits(
            self.calls, self.prompt_tokens, self.completion_tokens, self.dollars, self.seconds, tokens=self.tokens
        )


class MessageIn(Wire):
    """A message of the conversation, written by the user or by the assistant."""

    role: Literal["user", "assistant"]
    content: str = Field(max_length=50_000)


class QuestionIn(Wire):
    """A question of at most 4,000 characters, on its own or with its conversation.

    Send either `question` or `messages`. `messages` are ordered oldest first and end with the user's question. If the
    conversation is long, the model gets only the last messages, up to about 24,000 characters. `conversation` together
    with a `question` stores the conversation on the server. Send `new` to start a conversation, and then the id from
    the answer to continue it.

    `filters` are conditions on document metadata, as in a search. `stream` returns server-sent events instead of one
    JSON object; `background` returns a run immediately. `detach` returns a pending answer immediately, whose events can
    be followed by several clients, and requires a `conversation`. `strategy` determines how the answer is
    generated: `direct` reads passages, `table` computes over records, `recursive` lets the model write code that works
    through the documents, and `auto` lets the model choose.

    If the estimated cost is large, the request is refused with `confirmation_required`, unless `confirm` is true, a
    `budget` is set, or `auto` can answer with `recursive`. Work that exceeds the budget is skipped, and the answer says
    so. If there are many records, a model judges only a sample of them, plus those that a classifier trained on the
    sample is unsure about. Of long documents, it reads the passages that a search finds. With `every_record`, the model
    judges all records and reads documents whole. The cost of a `recursive` answer cannot be estimated. Without a
    `budget`, it ends after 500 calls or 15 minutes. Unless `confirm` is true, it also ends after one dollar if the
    model has a known price above 0.

    With `pause_on_budget`, a run that reaches its budget waits until someone adds to the budget or finishes the run
    with a partial result. `render` also returns the answer as `html` or `mrkdwn`, which are safe to display. `output`
    also puts the answer into a form for programs.
    """

    question: str | None = None
    messages: list[MessageIn] = Field(default_factory=list, max_length=1000)
    conversation: str | None = Field(None, min_length=1, max_length=100)
    collections: list[str] = Field(default_factory=list, max_length=100)
    documents: list[str] = Field(default_factory=list, max_length=1000)
    filters: dict[str, Any] = Field(default_factory=dict, examples=[{"year": {"gte": 1800, "lt": 1900}}])
    strategy: StrategyName = StrategyName.AUTO
    stream: bool = False
    background: bool = False
    detach: bool = False
    confirm: bool = False
    budget: BudgetIn | None = None
    every_record: bool = False
    pause_on_budget: bool = False
    render: list[Form] = Field(default_factory=list, max_length=2)
    output: OutputIn | None = None

    @model_validator(mode="after")
    def _require_one_question(self) -> Self:
        if self.output is not None and (self.background or self.detach):
            raise ValueError(
                "`output` cannot be combined with `background` or `detach`, which produce text only: omit them and "
                "wait for the answer, or omit `output`"
            )
        if (self.question is None) == (not self.messages):
            raise ValueError("send either `question` or `messages`, not both")
        if self.messages and self.conversation is not None:
            raise ValueError(
                "a stored `conversation` already contains its messages: send `question` instead of `messages`"
            )
        if self.messages and self.messages[-1].role != "user":
            raise ValueError("the last message is the question, so its role must be `user`")
        if self.pause_on_budget and not self.background:
            raise ValueError("`pause_on_budget` requires `background`, because only runs can pause")
        if self.detach and self.conversation is None:
            raise ValueError("`detach` requires a `conversation`, in which the question is stored")
        if self.detach and (self.stream or self.background):
            raise ValueError("`detach` cannot be combined with `stream` or `background`")
        return self

    @property
    def question_text(self) -> str:
        """The text of the question."""
        return self.messages[-1].content if self.question is None else self.question

    @property
    def earlier_messages(self) -> tuple[EarlierMessage, ...]:
        """The messages before the question. Empty if the conversation is stored on the server."""
        return tuple(EarlierMessage(each.role, each.content.replace("\0", " ")) for each in self.messages[:-1])

    def build_scope(self, caller: Principal) -> AnswerScope:
        """Return the question's scope, limited to documents that the caller may read.

        Raises `FilterError` if the filters are not valid.
        """
        parse_conditions(self.filters)
        named = tuple(self.collections), tuple(self.documents)
        return AnswerScope(caller.tenant_id, *named, self.filters, caller.readers)

    def build_options(self) -> AnswerOptions:
        budget = self.budget.to_limits() if self.budget else None
        return AnswerOptions(self.strategy, self.confirm, budget, self.every_record)


class QuoteOut(Wire):
    """A span that supports a sentence. `number` is the number of the passage that contains the span."""

    number: int
    start: int
    end: int
    text: str
    page: int | None
    place: str = ""


class CitationOut(Wire):
    """A passage that the answer cites: `text[start:end]` of the version's normalized text.

    `quote` is the text of that span as it appears in the document. If a model read the whole text without quoting it,
    `quote` is empty and `place` says so. `page` is the number of the page, slide or sheet on which the span starts.
    `place` is the position in words; it is empty if the format has no positions. `verified` means that the model quoted
    the span and code found the quotation there; otherwise, the span is the part of the passage closest to the sentence.
    `quotes` are all spans of the passage that support sentences of the answer, in answer order. If the document was
    `deleted` or you cannot read it, none of its content is shown. `html` and `mrkdwn` are the title as a link to the
    span, if the answer was rendered in these formats.
    """

    number: int
    document_id: str
    version_id: str
    title: str
    heading_path: list[str]
    page: int | None
    place: str = Field("", examples=["page 12", "slide 4", "sheet Costs, row 40"])
    start: int
    end: int
    quote: str
    verified: bool
    quotes: list[QuoteOut] = Field(default_factory=list)
    deleted: bool = False
    html: str | None = None
    mrkdwn: str | None = None

    @property
    def quoted_texts(self) -> list[str]:
        """The texts of `quotes` or, if there are none, of `quote`. Empty if the document was deleted."""
        return [each.text for each in self.quotes] or list(filter(None, [self.quote]))


class SentenceOut(Wire):
    """A sentence of the answer, `text[start:end]`, with the numbers of its citations and the result of its check.

    `check` is `verified` if a judge found that the cited text supports the sentence; `quoted` if the cited text was
    found but not judged, or supports only part of the sentence; `computed` if code counted or computed the sentence's
    value from the cited records; `unsupported` if a judge found that the cited text does not support the sentence; and
    `unchecked` if the sentence has no citation. `support` is the judge's verdict on the sentence: the cited text
    supports all of it (`full`), a part (`partial`) or nothing (`none`); it is null if no judge gave a verdict. `reason`
    explains to users what is missing. `quotes` contains up to five quotes for each number in `citations`, the one
    closest to the sentence first.
    """

    text: str
    start: int
    end: int
    citations: list[int]
    check: Check
    reason: str
    quotes: list[QuoteOut]
    support: Support | None = None


class SearchedDocumentOut(Wire):
    """A document, with the number of its passages that the search found and the number that a model read."""

    document_id: str
    title: str
    passages: int
    read: int


class FoundPassageOut(Wire):
    """A passage that a search found: `text[start:end]` of the version, in code points.

    `page` is null if the format has no pages, and `place` is the position in words.
    """

    document_id: str
    version_id: str
    title: str
    start: int
    end: int
    page: int | None
    place: str


class ReadPassageOut(FoundPassageOut):
    """A passage that a model read: `text[start:end]` of the version. `rank` is its rank in the search that found it.

    `rank` is null if the whole scope was read instead of searched.
    """

    rank: int | None


class SearchedOut(Wire):
    """The search behind an answer: the `queries` found `passages` passages, and a model read `read` of them.

    For an answer from passages, `read_passages` lists the passages read, in the order of their numbers in the prompt.
    """

    passages: int
    read: int
    documents: list[SearchedDocumentOut]
    queries: list[str]
    read_passages: list[ReadPassageOut] = Field(default_factory=list)


class UsageOut(Wire):
    """The number of language model calls and tokens that the answer used."""

    calls: int
    prompt_tokens: int
    completion_tokens: int


class CoverageOut(Wire):
    """Coverage of the scope: how much a model read or judged, how much code searched, and how much was not opened.

    Token counts are estimates, and no token is counted twice. `unit` names the units that `units` counts: documents, or
    records of tables. `units_inferred` were labelled by a classifier that was trained on the model's labels;
    `units_failed` have no result. `units_not_found` are those of `units_read` of which only passages were read, and
    whose value was not found in them.
    """

    tokens_in_scope: int
    tokens_read: int
    tokens_searched: int
    units: int
    units_read: int
    units_searched: int
    units_inferred: int
    units_failed: int
    unit: str
    units_not_found: int = 0

    @computed_field  # type: ignore[prop-decorator]  # as pydantic documents it
    @property
    def tokens_unopened(self) -> int:
        return max(0, self.tokens_in_scope - self.tokens_read - self.tokens_searched)


class IntervalOut(Wire):
    """A range that contains the true value with probability `confidence`."""

    low: float
    high: float
    confidence: float


class ResultOut(Wire):
    """The computed value of the answer in machine-readable form.

    `interval` is set if the value is based on labels that may be wrong.
    """

    kind: str
    value: Any
    interval: IntervalOut | None


class CellRecordsOut(Wire):
    """The number of records behind a row or a cell of a table.

    `row` counts from 1, and the `column` of a cell counts from 0.
    """

    row: int
    column: int | None
    count: int


class ResultTableOut(Wire):
    """The result table of the `sql`: its first rows, and its total number of rows.

    `semantic_columns` are the columns that a model filled in, each with the model's instruction. `quantities` lists the
    indexes (from 0) of the columns that contain counts or sums. `records` counts the records behind each row, if known,
    and behind each cell that is based on only some of its row's records. `GET /v1/answers/{id}/rows?row=1&column=0`
    lists these records.
    """

    columns: list[str]
    rows: list[list[Any]]
    total_rows: int
    sql: str
    semantic_columns: dict[str, str]
    quantities: list[int] = Field(default_factory=list)
    records: list[CellRecordsOut] = Field(default_factory=list)


class AnswerOut(Wire):
    """An answer. `text` is Markdown written by a model, with markers such as `[1]` that refer to `citations`.

    Do not render `text`, because instructions in a document may have caused the model to insert links, images or HTML.
    Request `html` or `mrkdwn` (Slack) with `render` instead; the only links in them lead to cited spans of your
    documents.

    `id` is null if the answer was not stored, and `conversation` is null if the answer belongs to none. `question` is
    the question that was answered; a follow-up is rewritten as a standalone question. `rows_behind_total` counts the
    records behind a computed answer; `GET /v1/answers/{id}/rows` lists them. If `finished` is false, a budget or
    another limit ended the work early. `dollars` is the cost of `usage`, or null if the model's price is not known.
    `notes` are remarks for users. `coded_notes` and `coded_reasons` are the same remarks with their codes; a reason
    without a code is null, and both are empty in answers of earlier releases. `output` is the answer in the form that
    the request asked for.
    """

    id: str | None
    conversation: str | None
    status: AnswerStatus
    text: str
    question: str
    sentences: list[SentenceOut]
    citations: list[CitationOut]
    strategy: str
    model: str | None
    searched: SearchedOut
    reasons: list[str]
    notes: list[str]
    coded_reasons: list[RemarkOut | None] = Field(default_factory=list)
    coded_notes: list[RemarkOut | None] = Field(default_factory=list)
    usage: UsageOut
    timings_ms: dict[str, float]
    coverage: CoverageOut | None
    result: ResultOut | None
    table: ResultTableOut | None
    rows_behind_total: int
    finished: bool
    dollars: float | None
    html: str | None = None
    mrkdwn: str | None = None
    output: OutputOut | None = None

    @classmethod
    def from_stored_answer(cls, stored_answer: StoredAnswer, deleted_documents: Collection[str] = ()) -> "AnswerOut":
        """Build the model from a stored answer. `deleted_documents` lists the documents that must not be shown."""
        return cls.from_body(
            stored_answer.body,
            identifier=stored_answer.id,
            conversation=stored_answer.conversation_id,
            deleted_documents=deleted_documents,
        )

    @classmethod
    def from_body(
        cls,
        body: Mapping[str, Any],
        *,
        identifier: str | None,
        conversation: str | None,
        deleted_documents: Collection[str] = (),
    ) -> "AnswerOut":
        """Build the model from the JSON of an answer, as written by `rlm.answers.build_answer_json`.

        Unknown fields are ignored, because during an upgrade, processes of the next release may already write answers.
        Sentences of earlier releases have no `support`: it is inferred where the result of the check implies it.
        """
        shown = _redact_deleted_documents(body, deleted_documents) if deleted_documents else body
        named = {
            "id": identifier,
            "conversation": conversation,
            "citations": _build_citations(shown),
            **{f"coded_{name}": _select_codes(shown, name) for name in ("notes", "reasons")},
            "sentences": [{**each, "support": infer_support(each)} for each in shown["sentences"]],
        }
        # guard: answer-of-next-release
        return cls.model_validate({**shown, **named}, extra="ignore")


def _select_codes(body: Mapping[str, Any], name: str) -> list[Any]:
    """Return the codes of the notes or reasons, or nothing if these texts were changed.

    An earlier release that withholds or masks a text during an upgrade does not know the codes.
    """
    coded: list[Any] = body.get(f"coded_{name}", [])
    said = [text if each is None else each["text"] for each, text in zip(coded, body[name], strict=False)]
    # guard: codes-of-changed-remarks
    return coded if said == body[name] else []


def extract_cited_document_ids(body: Mapping[str, Any]) -> set[str]:
    """Return the ids of all documents that an answer quotes or in which its search found passages."""
    named = [*body["citations"], *body["searched"]["documents"]]
    return {each["document_id"] for each in named}


def _build_citations(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the citations of an answer, each with the distinct quotes from it that support sentences."""
    quotes: dict[int, dict[tuple[int, int], Any]] = {each["number"]: {} for each in body["citations"]}
    for each in (quote for sentence in body["sentences"] for quote in sentence["quotes"]):
        if each["number"] in quotes:
            quotes[each["number"]].setdefault((each["start"], each["end"]), each)
    return [{**each, "quotes": list(quotes[each["number"]].values())} for each in body["citations"]]


def _redact_deleted_documents(body: Mapping[str, Any], deleted_documents: Collection[str]) -> dict[str, Any]:
    """Return an answer without titles and quotations of deleted documents, and without values computed from them."""
    nothing = {"title": "", "heading_path": [], "place": "", "quote": "", "deleted": True}
    gone = {each["number"] for each in body["citations"] if each["document_id"] in deleted_documents}
    shown = {
        **body,
        "citations": [{**each, **nothing} if each["number"] in gone else each for each in body["citations"]],
        "sentences": [
            {**each, "quotes": [quote for quote in each["quotes"] if quote["number"] not in gone]}
            for each in body["sentences"]
        ],
        "searched": {
            **body["searched"],
            "documents": [
                {**each, "title": ""} if each["document_id"] in deleted_documents else each
                for each in body["searched"]["documents"]
            ],
            "read_passages": [
                each
                for each in body["searched"].get("read_passages", ())
                if each["document_id"] not in deleted_documents
            ],
        },
    }
    return {**shown, "table": None, "result": None} if gone else shown
