"""Questions and answers on the wire."""

from collections.abc import Collection, Mapping
from decimal import Decimal
from typing import Any, Literal, Self

from pydantic import Field, computed_field, model_validator

from api.answers.forms import Form
from api.http.wire import Wire
from ingest.storage.accounts.records import Principal
from ingest.storage.answers.records import StoredAnswer
from ingest.storage.documents.filters import parse_conditions
from rlm.answers import AnswerStatus, Check
from rlm.llm.budgets import Limits
from rlm.requests import AnswerOptions, AnswerScope, EarlierMessage, StrategyName


class BudgetIn(Wire):
    """The most that an answer may spend; what is left out has no limit.

    Dollars need a model whose price is known, and limit nothing where it is 0.
    """

    calls: int | None = Field(None, ge=0)
    prompt_tokens: int | None = Field(None, ge=0)
    completion_tokens: int | None = Field(None, ge=0)
    tokens: int | None = Field(None, ge=0, description="Read and written together.")
    dollars: Decimal | None = Field(None, ge=0)
    seconds: float | None = Field(None, gt=0, allow_inf_nan=False)

    def to_limits(self) -> Limits:
        return Limits(
            self.calls, self.prompt_tokens, self.completion_tokens, self.dollars, self.seconds, tokens=self.tokens
        )


class MessageIn(Wire):
    """A message of the conversation: by the user, or by the assistant in reply."""

    role: Literal["user", "assistant"]
    content: str = Field(max_length=50_000)


class QuestionIn(Wire):
    """A question of at most 4,000 characters, alone or with what was said before it.

    Send `question`, or `messages`, oldest first, of which the last is the question and the user's. Of a long
    conversation the model sees the last messages, about 24,000 characters. `conversation` with a `question` keeps the
    conversation here: `new` begins one, and the id in its answer goes on with it.

    `filters` are conditions on documents' metadata, as in a search. `stream` answers with server-sent events instead of
    one JSON, `background` with a run at once. `strategy` is how the answer is made: `direct` reads passages, `table`
    computes over records, `recursive` has the model write code that works through the documents, and `auto` leaves the
    choice to the model.

    Work whose estimate is large is refused with `confirmation_required`, unless `confirm` is true or a `budget` is set;
    what a budget does not cover is left out, and the answer says so. Of many records a model judges a sample and those
    that a classifier trained on it is not sure of; with `every_record` it judges them all. What a `recursive` answer
    will cost cannot be told before: without a `budget` it ends after 500 calls or 15 minutes, and after a dollar where
    the model's price is known and not 0 and `confirm` is not true.

    With `pause_on_budget` a run that meets its budget waits for somebody who adds to it or ends it with what it has.

    `render` asks for the answer as `html` or `mrkdwn` besides, which are safe to show as they are.
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
    confirm: bool = False
    budget: BudgetIn | None = None
    every_record: bool = False
    pause_on_budget: bool = False
    render: list[Form] = Field(default_factory=list, max_length=2)

    @model_validator(mode="after")
    def _require_one_question(self) -> Self:
        if (self.question is None) == (not self.messages):
            raise ValueError("send either `question` or `messages`")
        if self.messages and self.conversation is not None:
            raise ValueError("a kept `conversation` has its messages already: send `question` with it")
        if self.messages and self.messages[-1].role != "user":
            raise ValueError("the last of the `messages` is the question, so its role must be `user`")
        if self.pause_on_budget and not self.background:
            raise ValueError("only a run waits when its budget is met: send `background` with `pause_on_budget`")
        return self

    @property
    def asked(self) -> str:
        """The question itself."""
        return self.messages[-1].content if self.question is None else self.question

    @property
    def said_before(self) -> tuple[EarlierMessage, ...]:
        """The messages before the question; none for a kept conversation."""
        return tuple(EarlierMessage(each.role, each.content.replace("\0", " ")) for each in self.messages[:-1])

    def build_scope(self, caller: Principal) -> AnswerScope:
        """Return what the caller asks about, as far as it may see that. Raises `FilterError`."""
        parse_conditions(self.filters)
        named = tuple(self.collections), tuple(self.documents)
        return AnswerScope(caller.tenant_id, *named, self.filters, caller.readers)

    def build_options(self) -> AnswerOptions:
        budget = self.budget.to_limits() if self.budget else None
        return AnswerOptions(self.strategy, self.confirm, budget, self.every_record)


class QuoteOut(Wire):
    """The span of the passage with this `number` that a sentence rests on."""

    number: int
    start: int
    end: int
    text: str
    page: int | None
    place: str = ""


class CitationOut(Wire):
    """A passage that the answer rests on, and where it stands: `text[start:end]` of the version's normalized text.

    `quote` is that span as the document has it, empty where a model read the whole text and quoted no words of it, as
    `place` then says. `page` is the number of the page, slide or sheet it starts on, and `place` says in words where it
    stands in the file; empty where the format has no places. `verified` says that the model quoted it and code found it
    there; otherwise it is the part of the passage that is closest to the sentence. `quotes` are all spans of the
    passage that sentences of the answer rest on, in the order of the answer. Of a document that was `deleted` since, or
    closed to the caller, nothing is shown. `html` and `mrkdwn` are the title as a link to the span, where the answer
    was asked for in them.
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
    def quoted(self) -> list[str]:
        """The words of its quotes; its own where no sentence has any, and none of a deleted document."""
        return [each.text for each in self.quotes] or list(filter(None, [self.quote]))


class SentenceOut(Wire):
    """A sentence of the answer, `text[start:end]` of it, the numbers of its citations, and how it was checked.

    `check` is `verified` where a judge read the cited text and says that it supports the sentence; `quoted` where the
    cited text was found and nobody judged it, or it supports a part; `computed` where code counted or computed it from
    the records that are cited; `unsupported` where a judge says that the cited text does not support it; and
    `unchecked` where nothing is cited. `reason` says for people what is missing. `quotes` are up to five for each
    number of `citations`, the one nearest to the sentence first.
    """

    text: str
    start: int
    end: int
    citations: list[int]
    check: Check
    reason: str
    quotes: list[QuoteOut]


class SearchedDocumentOut(Wire):
    """A document in which passages were found, and how many of them a model read."""

    document_id: str
    title: str
    passages: int
    read: int


class ReadPassageOut(Wire):
    """A passage that a model read: `text[start:end]` of the version. `rank` is its rank in the search that found it.

    A passage of a scope that was read whole has no rank.
    """

    document_id: str
    version_id: str
    title: str
    start: int
    end: int
    page: int | None
    place: str
    rank: int | None


class SearchedOut(Wire):
    """The search behind an answer: `passages` were found by the `queries`, and a model read `read` of them.

    `read_passages` are those, of an answer from passages, in the order in which they were numbered for the model.
    """

    passages: int
    read: int
    documents: list[SearchedDocumentOut]
    queries: list[str]
    read_passages: list[ReadPassageOut] = Field(default_factory=list)


class UsageOut(Wire):
    """The language model calls and tokens that the answer took."""

    calls: int
    prompt_tokens: int
    completion_tokens: int


class CoverageOut(Wire):
    """How much of the scope a model read or judged, how much code searched, and how much was not opened.

    Tokens are estimates, and each counts once. The scope has `units`, each called a `unit`: documents, or records of
    tables. A classifier that was trained on the model's labels spoke for `units_inferred`; `units_failed` have no
    result.
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

    @computed_field  # type: ignore[prop-decorator]  # as pydantic documents it
    @property
    def tokens_unopened(self) -> int:
        return max(0, self.tokens_in_scope - self.tokens_read - self.tokens_searched)


class IntervalOut(Wire):
    """A range that holds the true value with probability `confidence`."""

    low: float
    high: float
    confidence: float


class ResultOut(Wire):
    """The value that the answer computed, for programs; `interval` where it rests on labels that may be wrong."""

    kind: str
    value: Any
    interval: IntervalOut | None


class CellRecordsOut(Wire):
    """How many records stand behind a row of a table, from 1, or behind its cell in `column`, from 0."""

    row: int
    column: int | None
    count: int


class ResultTableOut(Wire):
    """The table that the `sql` gave: its first rows, and how many it has.

    `semantic_columns` are the columns that a model filled in, each with its instruction, and `quantities` the numbers
    of those, from 0, that are counts or sums. `records` counts what stands behind each row, where that is known, and
    behind a cell that rests on some of its row's records only. `GET /v1/answers/{id}/rows?row=1&column=0` has them.
    """

    columns: list[str]
    rows: list[list[Any]]
    total_rows: int
    sql: str
    semantic_columns: dict[str, str]
    quantities: list[int] = Field(default_factory=list)
    records: list[CellRecordsOut] = Field(default_factory=list)


class AnswerOut(Wire):
    """An answer. `text` is Markdown as a model wrote it, and carries the markers `[1]` of `citations`.

    Do not render `text`: a document may have told the model to put links, pictures or HTML into it. `html` and `mrkdwn`
    (Slack) are made of it on request, with `render`; their only links lead to cited spans of your documents.

    `id` is null where the answer could not be kept, `conversation` where it belongs to none. `question` is the question
    as it was answered: one that stands alone. `rows_behind_total` counts the records that a computed answer rests on;
    `GET /v1/answers/{id}/rows` has them. Not `finished` is what was found before a budget or another limit ended the
    work. `dollars` is what `usage` cost, null where the model's price is not known. `notes` are for people.
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

    @classmethod
    def from_kept_answer(cls, kept: StoredAnswer, deleted: Collection[str] = ()) -> "AnswerOut":
        """Make it from a kept answer; `deleted` are the ids of documents that are no longer shown."""
        return cls.from_body(kept.body, identifier=kept.id, conversation=kept.conversation_id, deleted=deleted)

    @classmethod
    def from_body(
        cls, body: Mapping[str, Any], *, identifier: str | None, conversation: str | None, deleted: Collection[str] = ()
    ) -> "AnswerOut":
        """Make it from the JSON of an answer, as `rlm.answers.build_answer_json` writes it.

        Members that the next release has added are left out: during an upgrade both read what either keeps.
        """
        shown = _redact_documents(body, deleted) if deleted else body
        named = {"id": identifier, "conversation": conversation, "citations": _build_citations(shown)}
        # guard: answer-of-next-release
        return cls.model_validate({**shown, **named}, extra="ignore")


def extract_cited_documents(body: Mapping[str, Any]) -> set[str]:
    """Return the documents that an answer names: those it quotes, and those in which something was found."""
    named = [*body["citations"], *body["searched"]["documents"]]
    return {each["document_id"] for each in named}


def _build_citations(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the citations of an answer, each with the different quotes that its sentences have from it."""
    quotes: dict[int, dict[tuple[int, int], Any]] = {each["number"]: {} for each in body["citations"]}
    for each in (quote for sentence in body["sentences"] for quote in sentence["quotes"]):
        if each["number"] in quotes:
            quotes[each["number"]].setdefault((each["start"], each["end"]), each)
    return [{**each, "quotes": list(quotes[each["number"]].values())} for each in body["citations"]]


def _redact_documents(body: Mapping[str, Any], deleted: Collection[str]) -> dict[str, Any]:
    """Return an answer without titles and quotations of deleted documents, and without values computed from them."""
    nothing = {"title": "", "heading_path": [], "place": "", "quote": "", "deleted": True}
    gone = {each["number"] for each in body["citations"] if each["document_id"] in deleted}
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
                {**each, "title": ""} if each["document_id"] in deleted else each
                for each in body["searched"]["documents"]
            ],
            "read_passages": [
                each for each in body["searched"].get("read_passages", ()) if each["document_id"] not in deleted
            ],
        },
    }
    return {**shown, "table": None, "result": None} if gone else shown
