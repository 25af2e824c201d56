"""Arguments and results of the tools. Models read these descriptions to choose a tool and fill in its arguments."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field

from api.answers.run_schemas import RunWithAnswerOut
from api.answers.schemas import AnswerOut, BudgetIn, CitationOut, CoverageOut, SentenceOut
from api.documents.content_schemas import OutlineEntryOut
from api.documents.schemas import DocumentOut, Reason
from api.http.wire import Wire
from api.openai.annotations import build_safe_text
from api.openai.asked import NullableModel
from ingest.storage.documents.metadata import MAX_READERS
from ingest.storage.documents.records import Document, VersionState
from ingest.storage.texts.normalize import remove_invisible_characters
from retrieval.search.requests import MAX_QUERY_CHARS
from retrieval.search.search import Hit
from rlm.requests import StrategyName

Collections = Annotated[
    list[str],
    Field(
        default_factory=list,
        max_length=100,
        description="Search only these collections, by name. If empty, all that you may read.",
    ),
]
Documents = Annotated[
    list[str],
    Field(default_factory=list, max_length=1_000, description="Search only these documents, by id. If empty, all."),
]
Filters = Annotated[
    dict[str, Any],
    Field(
        default_factory=dict,
        description="Conditions on document metadata, by name: a value, a list of values, or an object with gt, "
        "gte, lt, lte (numbers or dates), in and not. `$card` has conditions on what tells documents apart: kind, "
        "subjects, periods, dates, version and language. "
        'Example: {"year": {"gte": 2020}, "$card": {"kind": "contract", "periods": {"gte": 2022}}}.',
    ),
]
DocumentId = Annotated[str, Field(max_length=64, description="A document's id, as returned by `search` and `list`.")]
Visible = Annotated[str, AfterValidator(remove_invisible_characters)]
Cursor = Annotated[str | None, Field(None, description="`next_cursor` of the previous page.")]


class Arguments(NullableModel, Wire):
    """The base class of arguments. Null means unset: adapters that build a class from a tool's schema send it."""


class SearchArguments(Arguments):
    """Arguments of `search`."""

    query: str = Field(
        max_length=MAX_QUERY_CHARS, description="What to search for, as keywords or as a question, in any language."
    )
    collections: Collections
    documents: Documents
    filters: Filters
    limit: int = Field(8, ge=1, le=50, description="Number of passages to return.")


class PassageOut(Wire):
    """A passage: `start` to `end` are code points of the document's text; `place` is its position in the file.

    `line` names the document: title, file name, periods and dates, as far as they are known.
    `table_header` is the header of the table in whose rows it starts.
    """

    document: str = Field(validation_alias="document_id")
    version: str = Field(validation_alias="version_id")
    title: Visible
    line: str
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
    def from_hit(cls, hit: Hit, line: str) -> Self:
        return cls.from_records(hit.passage, hit, line=line)


class PassagesOut(Wire):
    """Passages, best first.

    If `reranked` is true, scores may come from a reranker and have any magnitude, including negative values; otherwise,
    they are fused scores from 0 to 1. Only compare scores within one search.
    """

    passages: list[PassageOut]
    reranked: bool
    unreadable: list[str] = Field(
        default_factory=list,
        description="Titles of documents that matched but whose stored text was changed or is missing.",
    )


class ReadArguments(Arguments):
    """Arguments of `read`."""

    document: DocumentId
    start: int | None = Field(
        None, ge=0, description="First code point to read, such as a passage's `start`, or `next_start` to continue."
    )
    end: int | None = Field(None, ge=0, description="Read up to, but not including, this code point.")
    page: int | None = Field(None, ge=1, description="The number of a page, slide or sheet to read completely.")
    last_page: int | None = Field(None, ge=1, description="With `page`, read from that page up to and including this.")
    section: str | None = Field(
        None, max_length=1_000, description="The title of a heading whose section to read completely."
    )
    version: str | None = Field(
        None, max_length=64, description="The version that the span refers to; an error if it was replaced."
    )
    limit: int = Field(
        20_000, ge=1, le=100_000, description="The maximum number of characters to return; continue at `next_start`."
    )


class TextOut(Wire):
    """A part of a document's text. `next_start` is where to continue reading, or null at the end of the requested part.

    `line` names the document, and `characters` is the length of the whole text.
    """

    document: str
    version: str
    title: str
    line: str
    place: str
    start: int
    end: int
    text: str
    next_start: int | None
    characters: int


class OutlineArguments(Arguments):
    """Arguments of `outline`."""

    document: DocumentId
    limit: int = Field(200, ge=1, le=500, description="Number of entries to return.")
    cursor: Cursor


class OutlineOut(Wire):
    """Headings, pages, slides, sheets and tables in reading order, each with the text span to pass to `read`."""

    version: str
    entries: list[OutlineEntryOut]
    next_cursor: str | None


class ListArguments(Arguments):
    """Arguments of `list`."""

    collection: str | None = Field(None, max_length=128, description="List only this collection.")
    named: str = Field(
        "", max_length=200, description="List only documents with these characters in their name or title."
    )
    filters: Filters
    limit: int = Field(50, ge=1, le=200, description="Number of documents to return.")
    cursor: Cursor


class ListedDocumentOut(Wire):
    """A document. It can be searched and read once its state is `searchable` or `ready`.

    `line` names it: title, file name, periods and dates, as far as they are known.
    """

    document: str = Field(validation_alias="id")
    name: str
    title: str | None
    line: str
    collection: str
    state: VersionState
    pages: int | None
    characters: int | None
    metadata: dict[str, Any]
    failure: Reason | None
    created_at: datetime

    @classmethod
    def from_document(cls, document: Document, line: str) -> Self:
        return cls.from_records(DocumentOut.from_document(document), line=line)


class ListedCollectionOut(Wire):
    """A collection: its name, for use in arguments, its title, if it has one, and its number of documents."""

    collection: str
    title: str | None
    documents: int


class DocumentsOut(Wire):
    """Documents, newest first. The first page also lists the collections that you may use."""

    documents: list[ListedDocumentOut]
    collections: list[ListedCollectionOut]
    next_cursor: str | None


class UploadArguments(Arguments):
    """Arguments of `upload`."""

    name: str = Field(min_length=1, max_length=1_024, description="A file name, such as `notes.md`, for display.")
    text: str | None = Field(None, description="The content of a text file. Send either `text` or `base64`.")
    base64: str | None = Field(None, description="The bytes of a file of any type, in Base64.")
    collection: str = Field("default", min_length=1, max_length=128, pattern=r"^[\w.-]+$")
    metadata: dict[str, Any] = Field(
        default_factory=dict, description="Strings, numbers, booleans or lists of them, by name, for filters."
    )
    readers: list[str] | None = Field(
        None,
        max_length=MAX_READERS,
        description='Who may read it, such as ["user:ann", "group:hr"]; null for everyone who may use the collection.',
    )
    priority: Literal["interactive", "bulk"] = Field(
        "interactive", description="With `bulk`, your other uploads are indexed first."
    )


class UploadedFileOut(ListedDocumentOut):
    """The document. `duplicate` means that these bytes had already been uploaded; `hint` names what was ignored."""

    duplicate: bool
    hint: str | None


class AskArguments(Arguments):
    """Arguments of `ask`."""

    question: str = Field(
        max_length=4_000,
        description="A standalone question in plain words, in the language that the answer should have.",
    )
    collections: Collections
    documents: Documents
    filters: Filters
    strategy: StrategyName = Field(
        StrategyName.AUTO,
        description="`direct` reads passages, `table` counts and computes over table rows, `recursive` works "
        "through all documents in the background, and `auto` chooses.",
    )
    conversation: str | None = Field(
        None,
        min_length=1,
        max_length=100,
        description="`new`, or the id of a conversation to ask a follow-up question in.",
    )
    background: bool | None = Field(
        None,
        description="True returns a run's id immediately. If omitted, only questions that take long do; false "
        "waits for every answer.",
    )
    budget: BudgetIn | None = Field(None, description="The most that the answer may spend.")
    confirm: bool = Field(False, description="Start even if the estimate is large. Set this only if the user agreed.")


class RunArguments(Arguments):
    """Arguments of `run`."""

    run: str = Field(max_length=64, description="The run's id, as returned by `ask`.")
    wait_seconds: float = Field(
        0, ge=0, le=30, description="How many seconds to wait for its end before returning its progress."
    )


class CancelArguments(Arguments):
    """Arguments of `cancel`."""

    run: str = Field(max_length=64, description="The run's id, as returned by `ask`.")


class CheckedAnswerOut(Wire):
    """An answer with checked sentences, as in the REST API. `text` has markers such as `[1]` that refer to `citations`.

    In `text`, anything that would render as an image, link or HTML is written with full-width characters, one for one,
    so that spans stay valid. When you use a sentence whose `check` is `unsupported` or `unchecked`, or whose `support`
    is `partial`, mention that doubt.
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

    `progress` describes the run's progress, and `failure` why there is no answer.
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
            progress=words or (f"{run.queue_position} ahead of it in the queue" if run.queue_position else ""),
            failure=run.failure,
        )
