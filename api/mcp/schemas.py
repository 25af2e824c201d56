"""What tools take and return. Descriptions here are read by models that choose a tool and fill its arguments."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field

from api.answers.run_schemas import RunWithAnswerOut
from api.answers.schemas import AnswerOut, BudgetIn, CitationOut, CoverageOut, SentenceOut
from api.documents.content_schemas import OutlineEntryOut
from api.documents.schemas import DocumentOut, Reason
from api.http.wire import Wire
from api.openai.annotations import build_safe_text
from ingest.storage.documents.metadata import MAX_READERS
from ingest.storage.documents.records import Document, VersionState
from ingest.storage.texts.normalize import remove_invisible
from retrieval.search.requests import MAX_QUERY_CHARS
from retrieval.search.search import Hit
from rlm.requests import StrategyName

Collections = Annotated[
    list[str],
    Field(
        default_factory=list,
        max_length=100,
        description="Only these collections, by name; all that you may read if empty.",
    ),
]
Documents = Annotated[
    list[str],
    Field(default_factory=list, max_length=1_000, description="Only these documents, by id; all if empty."),
]
Filters = Annotated[
    dict[str, Any],
    Field(
        default_factory=dict,
        description="Conditions on documents' metadata by name: a value, a list of values, or an object of gt, gte, "
        'lt, lte (numbers or dates), in and not, such as {"year": {"gte": 2020}}.',
    ),
]
DocumentId = Annotated[str, Field(max_length=64, description="A document's id, as `search` and `list` return it.")]
Visible = Annotated[str, AfterValidator(remove_invisible)]
Cursor = Annotated[str | None, Field(None, description="`next_cursor` of the page before.")]


class SearchArguments(Wire):
    """Arguments of `search`."""

    query: str = Field(
        max_length=MAX_QUERY_CHARS, description="What to look for, in words or as a question, in any language."
    )
    collections: Collections
    documents: Documents
    filters: Filters
    limit: int = Field(8, ge=1, le=50, description="How many passages to return.")


class PassageOut(Wire):
    """A passage: `start` to `end` are code points of the document's text, and `place` is where it stands in the file.

    `table_header` is the header of the table in whose rows it begins.
    """

    document: str = Field(validation_alias="document_id")
    version: str = Field(validation_alias="version_id")
    title: Visible
    collection: str
    headings: list[Visible] = Field(validation_alias="heading_path")
    place: str
    page: int | None
    start: int
    end: int
    text: Visible
    table_header: Visible
    score: float

    @classmethod
    def from_hit(cls, hit: Hit) -> Self:
        return cls.from_records(hit.passage, hit)


class PassagesOut(Wire):
    """Passages, best first.

    With `reranked`, scores are what a reranker says of each passage with the query, of any size and below 0 too; else
    they are of the fused rankings, from 0 to 1. Compare scores of one search only.
    """

    passages: list[PassageOut]
    reranked: bool
    unreadable: list[str] = Field(
        default_factory=list,
        description="Titles of documents that were found, and whose stored text was changed or is missing.",
    )


class ReadArguments(Wire):
    """Arguments of `read`."""

    document: DocumentId
    start: int | None = Field(
        None, ge=0, description="First code point to read, such as a passage's `start`, or `next_start` to go on."
    )
    end: int | None = Field(None, ge=0, description="Read to before this code point.")
    page: int | None = Field(None, ge=1, description="The number of a page, slide or sheet, to read all of it.")
    section: str | None = Field(
        None, max_length=1_000, description="The title of a heading, to read its whole section."
    )
    version: str | None = Field(
        None, max_length=64, description="The version that a span was given for: an error if it was replaced since."
    )
    limit: int = Field(20_000, ge=1, le=100_000, description="The most characters to return; `next_start` goes on.")


class TextOut(Wire):
    """A part of a document's text. `next_start` is where to go on, null at the end of what was asked for.

    `characters` is the length of the whole text.
    """

    document: str
    version: str
    title: str
    place: str
    start: int
    end: int
    text: str
    next_start: int | None
    characters: int


class OutlineArguments(Wire):
    """Arguments of `outline`."""

    document: DocumentId
    limit: int = Field(200, ge=1, le=500, description="How many entries to return.")
    cursor: Cursor


class OutlineOut(Wire):
    """Headings, pages, slides, sheets and tables in reading order, each with its span of the text, for `read`."""

    version: str
    entries: list[OutlineEntryOut]
    next_cursor: str | None


class ListArguments(Wire):
    """Arguments of `list`."""

    collection: str | None = Field(None, max_length=128, description="Only this collection.")
    named: str = Field("", max_length=200, description="Only documents with these characters in their name or title.")
    limit: int = Field(50, ge=1, le=200, description="How many documents to return.")
    cursor: Cursor


class ListedDocumentOut(Wire):
    """A document; it can be searched and read once its state is `searchable` or `ready`."""

    document: str = Field(validation_alias="id")
    name: str
    title: str | None
    collection: str
    state: VersionState
    pages: int | None
    characters: int | None
    metadata: dict[str, Any]
    failure: Reason | None
    created_at: datetime

    @classmethod
    def from_document(cls, document: Document) -> Self:
        return cls.from_records(DocumentOut.from_document(document))


class ListedCollectionOut(Wire):
    """A collection: its name, as arguments take it, its title if it has one, and how many documents it has."""

    collection: str
    title: str | None
    documents: int


class DocumentsOut(Wire):
    """Documents, newest first; on the first page also the collections that you may use."""

    documents: list[ListedDocumentOut]
    collections: list[ListedCollectionOut]
    next_cursor: str | None


class UploadArguments(Wire):
    """Arguments of `upload`."""

    name: str = Field(min_length=1, max_length=1_024, description="A file name, such as `notes.md`; shown to people.")
    text: str | None = Field(None, description="The content of a text file. Send either this or `base64`.")
    base64: str | None = Field(None, description="The bytes of any file, in Base64.")
    collection: str = Field("default", min_length=1, max_length=128, pattern=r"^[\w.-]+$")
    metadata: dict[str, Any] = Field(
        default_factory=dict, description="Texts, numbers, booleans or lists of them by name, for filters."
    )
    readers: list[str] | None = Field(
        None,
        max_length=MAX_READERS,
        description='Who may see it, such as ["user:ann", "group:hr"]; null for everybody who may use the collection.',
    )
    priority: Literal["interactive", "bulk"] = Field(
        "interactive", description="`bulk` lets the caller's other uploads be indexed first."
    )


class UploadedFileOut(ListedDocumentOut):
    """The document; `duplicate` says that these bytes were there already, and `hint` what was sent and not taken."""

    duplicate: bool
    hint: str | None


class AskArguments(Wire):
    """Arguments of `ask`."""

    question: str = Field(
        max_length=4_000, description="A question in plain words that stands alone, in the language of its answer."
    )
    collections: Collections
    documents: Documents
    filters: Filters
    strategy: StrategyName = Field(
        StrategyName.AUTO,
        description="`direct` reads passages, `table` counts and computes over rows of tables, `recursive` works "
        "through all documents in the background; `auto` chooses.",
    )
    conversation: str | None = Field(
        None, min_length=1, max_length=100, description="`new`, or a conversation's id to ask a follow-up in it."
    )
    background: bool | None = Field(
        None,
        description="True returns a run's id at once. If left out, only questions that take long do so; false waits "
        "for every answer.",
    )
    budget: BudgetIn | None = Field(None, description="The most that the answer may spend.")
    confirm: bool = Field(False, description="Begin although the estimate is large; only if the user agreed.")


class RunArguments(Wire):
    """Arguments of `run`."""

    run: str = Field(max_length=64, description="The run's id, as `ask` returned it.")
    wait_seconds: float = Field(
        0, ge=0, le=30, description="How long to wait for its end before returning how far it is."
    )


class CancelArguments(Wire):
    """Arguments of `cancel`."""

    run: str = Field(max_length=64, description="The run's id, as `ask` returned it.")


class CheckedAnswerOut(Wire):
    """An answer with checked sentences, as REST has it. `text` has markers `[1]` that name `citations`.

    In `text`, what would be an image, a link or HTML when rendered is written with full-width characters of the same
    number, so that spans stay. A sentence whose `check` is `unsupported` or `unchecked` should be told with that doubt.
    """

    id: str | None
    conversation: str | None
    status: str
    text: str
    sentences: list[SentenceOut]
    citations: list[CitationOut]
    strategy: str
    notes: list[str]
    coverage: CoverageOut | None
    finished: bool
    tokens: int
    dollars: float | None

    @classmethod
    def from_answer(cls, answer: AnswerOut) -> Self:
        # guard: mcp-inert-answers
        text = build_safe_text(answer)
        return cls.from_records(
            answer,
            text=text,
            sentences=[each.model_copy(update={"text": text[each.start : each.end]}) for each in answer.sentences],
            tokens=answer.usage.prompt_tokens + answer.usage.completion_tokens,
        )


class AskedOut(Wire):
    """An answer, or the run that makes it. While `state` is `queued` or `running`, call `run` with the id in `run`.

    `progress` says in words how far a run is, and `failure` why it has no answer.
    """

    state: Literal["queued", "running", "completed", "partial", "failed", "cancelled"]
    run: str | None
    answer: CheckedAnswerOut | None
    progress: str
    failure: Reason | None

    @classmethod
    def from_answer(cls, answer: AnswerOut) -> "AskedOut":
        state: Literal["completed", "partial"] = "completed" if answer.finished else "partial"
        return cls(state=state, run=None, answer=CheckedAnswerOut.from_answer(answer), progress="", failure=None)

    @classmethod
    def from_run(cls, run: RunWithAnswerOut) -> "AskedOut":
        done = run.progress or {}
        parts = [str(done[name]) for name in ("step", "done") if name in done]
        words = ": ".join(parts) + (f" of {done['total']}" if "total" in done else "")
        return cls(
            state=run.state.value,
            run=run.id,
            answer=None if run.answer is None else CheckedAnswerOut.from_answer(run.answer),
            progress=words or (f"{run.queue_position} before it" if run.queue_position else ""),
            failure=run.failure,
        )
