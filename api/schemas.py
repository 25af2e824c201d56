"""What crosses the wire: Pydantic models of requests and answers, made from the core's records."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from ingest.catalog.catalog import Total
from ingest.documents import Deletion, Document, VersionState
from ingest.progress import Progress, progress_of
from retrieval.query_cache import CacheCounts
from rlm.answers import Answer, AnswerStatus, answer_json
from rlm.llm.budgets import Limits
from rlm.requests import AnswerScope, StrategyName, Wanted


class Wire(BaseModel):
    """Unknown members of a request are refused, so that a misspelt one is noticed."""

    model_config = ConfigDict(extra="forbid")


class Reason(Wire):
    """Why a document failed, and what to do."""

    code: str
    detail: str
    hint: str


class ProgressOut(Wire):
    """How far a document is. `fraction` runs from 0 to 1 over the whole of its ingest.

    `attempt` is 0 before the first and grows when something was tried again; `queue_position` counts the jobs before
    it, and is null while it is worked on; `seconds_left` is about the time until it is ready. What cannot be known is
    null, and in listings these three always are.
    """

    stage: VersionState
    fraction: float
    pages: int | None
    chunks: int | None
    chunks_embedded: int
    attempt: int | None
    queue_position: int | None
    seconds_left: float | None

    @classmethod
    def of(cls, progress: Progress) -> "ProgressOut":
        left = progress.seconds_left
        return cls(**{**asdict(progress), "seconds_left": None if left is None else round(left, 1)})


class DocumentOut(Wire):
    """A document and the state of its newest version.

    `active_version` is the one that searches find: not `version` while a replacement is under way, or when it failed.
    `chunks_reused` counts the chunks of `version` whose vectors were taken from chunks of the
    tenant's that say the same, as those of the version before mostly do.
    """

    id: str
    collection: str
    name: str
    title: str | None
    media_type: str
    size_bytes: int
    state: VersionState
    progress: ProgressOut
    failure: Reason | None
    pages: int | None
    characters: int | None
    tokens: int | None
    version: str
    active_version: str | None
    chunks_reused: int
    metadata: dict[str, Any]
    created_at: datetime
    searchable_at: datetime | None
    ready_at: datetime | None

    @classmethod
    def of(cls, document: Document, progress: Progress | None = None) -> "DocumentOut":
        """`progress` as the catalog found it, or else what the document itself says."""
        version = document.version
        failure = version.failure
        return cls(
            id=document.id,
            collection=document.collection,
            name=document.name,
            title=document.title,
            media_type=document.media_type,
            size_bytes=version.size_bytes,
            state=version.state,
            progress=ProgressOut.of(progress or progress_of(version)),
            failure=failure and Reason(code=failure.code, detail=failure.detail, hint=failure.hint),
            pages=version.pages,
            characters=version.characters,
            tokens=version.tokens or None,
            version=version.id,
            active_version=document.active_version_id,
            chunks_reused=version.chunks_reused,
            metadata=document.attributes,
            created_at=instant(document.created_at),
            searchable_at=version.searchable_at and instant(version.searchable_at),
            ready_at=version.ready_at and instant(version.ready_at),
        )


class DocumentPage(Wire):
    """A page of documents in order of arrival; `next_cursor` is None on the last one."""

    documents: list[DocumentOut]
    next_cursor: str | None


class UploadedOut(DocumentOut):
    """`duplicate` says that these bytes were already there."""

    duplicate: bool


class RejectedOut(Wire):
    """A file of a form that was not accepted, with its problem."""

    name: str
    problem: dict[str, Any]


class UploadsOut(Wire):
    """What became of each file of a form with several."""

    documents: list[UploadedOut]
    rejected: list[RejectedOut]


class DeletionOut(Wire):
    """The receipt of a deletion; `id` is the document's. `collected` says that nothing is left and the sums are final.

    Until then a worker may still be stopping, or the index is away. Nothing of the document can be found all the same.
    """

    id: str
    receipt: str
    deleted_at: datetime
    versions: int
    chunks_removed: int
    bytes_removed: int
    collected: bool

    @classmethod
    def of(cls, deletion: Deletion) -> "DeletionOut":
        return cls(
            id=deletion.document_id,
            receipt=deletion.id,
            deleted_at=instant(deletion.deleted_at),
            versions=deletion.versions,
            chunks_removed=deletion.chunks_removed,
            bytes_removed=deletion.bytes_removed,
            collected=deletion.collected,
        )


class QueryCacheOut(Wire):
    """How many of the caller's searches this process answered from its query cache, since it started, and not."""

    hits: int
    misses: int


class StatusOut(Wire):
    """How many of the caller's documents are in each state, and sums over all of them as far as they are known."""

    documents: dict[VersionState, int]
    chunks: int
    chunks_embedded: int
    tokens: int
    query_cache: QueryCacheOut

    @classmethod
    def of(cls, totals: Mapping[VersionState, Total], cache: CacheCounts) -> "StatusOut":
        return cls(
            documents={state: total.documents for state, total in totals.items()},
            chunks=sum(total.chunks for total in totals.values()),
            chunks_embedded=sum(total.chunks_embedded for total in totals.values()),
            tokens=sum(total.tokens for total in totals.values()),
            query_cache=QueryCacheOut(hits=cache.hits, misses=cache.misses),
        )


class BudgetIn(Wire):
    """The most that an answer may spend; what is left out has no limit.

    Dollars need a model whose price is known, and limit nothing where it is 0.
    """

    calls: int | None = Field(None, ge=0)
    prompt_tokens: int | None = Field(None, ge=0)
    completion_tokens: int | None = Field(None, ge=0)
    dollars: Decimal | None = Field(None, ge=0)
    seconds: float | None = Field(None, gt=0, allow_inf_nan=False)

    def limits(self) -> Limits:
        return Limits(self.calls, self.prompt_tokens, self.completion_tokens, self.dollars, self.seconds)


class QuestionIn(Wire):
    """A question. `stream` answers with server-sent events instead of one JSON, `background` with a run at once.

    `strategy` is chosen where it is `auto`. A run over many records whose estimate is large is refused with
    `confirmation_required`, unless `confirm` is true or a `budget` is set; what a budget does not cover is left out,
    and the answer says so. Of many records a model reads a sample and what a classifier trained on it is not sure of;
    with `every_record` it reads them all. What a run of code that the model writes will cost cannot be told before:
    without a `budget` it ends after 500 calls or 15 minutes, and after a dollar where the model's price is known and
    not 0 and `confirm` is not true.
    """

    question: str
    collections: list[str] = Field(default_factory=list, max_length=100)
    documents: list[str] = Field(default_factory=list, max_length=1000)
    strategy: StrategyName = StrategyName.AUTO
    stream: bool = False
    background: bool = False
    confirm: bool = False
    budget: BudgetIn | None = None
    every_record: bool = False

    def scope(self, tenant_id: str) -> AnswerScope:
        return AnswerScope(tenant_id, tuple(self.collections), tuple(self.documents))

    def wanted(self) -> Wanted:
        budget = self.budget.limits() if self.budget else None
        return Wanted(self.strategy, self.confirm, budget, self.every_record)


def instant(seconds: float) -> datetime:
    """UTC."""
    return datetime.fromtimestamp(seconds, UTC)


class CitationOut(Wire):
    """A quotation and where it stands: `text[start:end]` of the version's normalized text, found there by code."""

    number: int
    document_id: str
    version_id: str
    title: str
    heading_path: list[str]
    page: int | None
    start: int
    end: int
    quote: str
    verified: bool


class ClaimOut(Wire):
    """A statement, the numbers of its citations, and whether they support it."""

    text: str
    citations: list[int]
    supported: bool
    reason: str


class SearchedDocumentOut(Wire):
    """A document that was looked at; `read` is less than `passages` in direct answers and chains alone."""

    document_id: str
    title: str
    passages: int
    read: int


class SearchedOut(Wire):
    """What an answer was looked for in.

    Of a direct answer or a chain, `passages` were found and `read` of them shown to the model; of an exhaustive one,
    they are the records that conditions in code left, and those of them that the model judged; of a recursive one,
    both count the spans that the model's code was given or had judged.
    """

    passages: int
    read: int
    documents: list[SearchedDocumentOut]


class UsageOut(Wire):
    """What the language model was asked to do."""

    calls: int
    prompt_tokens: int
    completion_tokens: int


class CoverageOut(Wire):
    """How much of what was in scope was read, and what failed; tokens are estimates.

    Of an exhaustive answer the scope is the records that a step of its plan was about, those that conditions in code
    left. `slices` counts them, `slices_read` those that the model judged, `slices_inferred` those that a classifier
    labelled, `slices_failed` those that a call failed for; the rest the budget did not cover. Of a record that was
    judged by its beginning, `tokens_read` has that part. Where nothing had to be judged, nothing is read.

    Of a recursive answer the slices are all documents in scope. One is read when any span of it was given to code or
    judged, inferred when only a classifier labelled records of it, and failed when a record of it was not judged.
    `tokens_read` counts the spans, each token once; text that code searched for a pattern is not read.
    """

    tokens_in_scope: int
    tokens_read: int
    slices: int
    slices_read: int
    slices_inferred: int
    tokens_inferred: int
    slices_failed: int
    tokens_failed: int
    unit: str


class IntervalOut(Wire):
    """A range that holds the true value with probability `confidence`."""

    low: float
    high: float
    confidence: float


class ResultOut(Wire):
    """What the answer computed, for programs."""

    kind: str
    value: Any
    interval: IntervalOut | None
    table: dict[str, int]


class AnswerOut(Wire):
    """An answer. `text` carries the markers `[1]` of `citations`.

    Not `finished` is what was found before a budget or another limit ended the search for more. `dollars` is what
    `usage` cost, null where the model's price is not known.
    """

    status: AnswerStatus
    text: str
    claims: list[ClaimOut]
    citations: list[CitationOut]
    strategy: str
    model: str | None
    searched: SearchedOut
    reasons: list[str]
    usage: UsageOut
    timings_ms: dict[str, float]
    coverage: CoverageOut | None
    result: ResultOut | None
    finished: bool = True
    dollars: float | None = None

    @classmethod
    def of(cls, answer: Answer) -> "AnswerOut":
        return cls(**answer_json(answer))
