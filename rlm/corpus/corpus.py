"""The corpus of one question: its documents, their sizes, and their text by handle.

A corpus may be larger than memory, because text is read from the blob store on demand. It is bound to its tenant and
scope when it is opened. Handles of other documents are rejected.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import groupby
from typing import Any, Protocol, TypeVar

from ingest.storage.documents.filters import Conditions, parse_conditions
from ingest.storage.documents.records import UsedVersions, generate_work_id
from ingest.storage.documents.rows import ActiveDocument
from ingest.storage.errors import ContentChangedError
from ingest.storage.tables.places import Location, SpanLocator
from ingest.storage.tables.store import RecordTables
from ingest.storage.tables.types import PROPERTY_COLUMNS, RecordRow, RecordTable
from ingest.storage.texts.chunks import Chunk
from ingest.storage.texts.texts import TextMap, Texts
from retrieval.search.requests import Passage
from rlm.corpus.handles import Handle
from rlm.corpus.withheld import WithheldSource, withhold_nothing
from rlm.errors import DocumentGoneError, DocumentUnreadableError, UnknownHandleError
from rlm.requests import AnswerScope
from rlm.untrusted import format_document_line, list_document_names

_Item = TypeVar("_Item")

CHARS_PER_TOKEN = 4.07
# Number of code points in a window. Text is loaded in windows, with one read for each window, and adjacent spans share
# a window.
_WINDOW = 1 << 19
# Number of windows that are copied from a bucket before they are read.
READ_AHEAD = 32
# Maximum number of document ids in an index query. If a subset of the corpus has more documents, hits outside the
# subset are dropped after the search.
_MAX_NAMED = 1_000
# Number of documents to examine when finding out whether a corpus has headings, and maximum number of files whose
# properties are read for a snapshot.
_SAMPLED_DOCUMENTS, _MOST_PROPERTIES = 10, 200


@dataclass(frozen=True, slots=True)
class CorpusDocument:
    """A document in scope. `handle` covers its whole text. `tokens` is the count from ingestion, or an estimate.

    `periods`, `dates` and `subjects` are those of its card, such as `2022-Q3`, `2022-09-30` and `Brandt & Sons`.
    """

    handle: Handle
    title: str
    name: str
    collection: str
    tokens: int
    attributes: Mapping[str, Any] = field(default_factory=dict, compare=False)
    media_type: str = ""
    periods: tuple[str, ...] = field(default=(), compare=False)
    dates: tuple[str, ...] = field(default=(), compare=False)
    subjects: tuple[str, ...] = field(default=(), compare=False)

    @property
    def characters(self) -> int:
        return len(self.handle)

    @property
    def line(self) -> str:
        """The line that names the document in prompts: its title, the name of its file, its periods and dates."""
        return format_document_line(self.title, self.name, periods=self.periods, dates=self.dates)


@dataclass(frozen=True)
class CorpusSize:
    """Totals over the documents in scope."""

    documents: int
    characters: int
    tokens: int


@dataclass(frozen=True)
class ScopeSnapshot:
    """The contents of a corpus as far as they are known without reading its text and rows.

    If too many files have `properties`, it contains only those of a sample, from which `has_headings` is also found
    out. `read` are the documents that have any contents here.
    """

    documents: tuple[CorpusDocument, ...]
    tables: Mapping[CorpusDocument, Sequence[RecordTable]]
    properties: Mapping[CorpusDocument, Mapping[str, str]]
    has_all_properties: bool
    has_headings: bool
    read: Sequence[CorpusDocument]

    def iter_tables(self) -> Iterator[tuple[CorpusDocument, RecordTable]]:
        """Yield the record tables with their documents, in the order of the documents and of their texts."""
        return ((document, table) for document, tables in self.tables.items() for table in tables)


class ActiveDocuments(Protocol):
    """The catalog query that a corpus needs."""

    def list_active_documents(
        self,
        tenant_id: str,
        *,
        collections: Sequence[str],
        identifiers: Sequence[str],
        conditions: Conditions,
        readers: frozenset[str] | None,
        after: int,
    ) -> list[ActiveDocument]: ...


class Corpus:
    """The documents of one tenant in order of arrival, with their text and tables.

    `used` records the versions whose content was used, and not just their size. Code that shows titles or attributes of
    documents, or reads tables without this class, must call `record_use`; code that shows only names for orientation
    calls `record_seen`. `withheld` returns the ids of documents that are hidden from the principal. A document that
    becomes hidden after the corpus was opened can no longer be read.
    """

    def __init__(
        self,
        documents: Iterable[CorpusDocument],
        texts: Texts,
        tenant_id: str = "",
        tables: RecordTables | None = None,
        used_versions: UsedVersions | None = None,
        *,
        withheld_source: WithheldSource = withhold_nothing,
    ) -> None:
        self.tenant_id = tenant_id
        self.documents = tuple(documents)
        self._texts = texts
        self._tables = tables
        self._places = SpanLocator(texts, tables)
        self.used = used_versions or UsedVersions(generate_work_id())
        self._withheld = withheld_source
        self._by_version = {document.handle.version_id: document for document in self.documents}
        self._by_id = {document.handle.document_id: document for document in reversed(self.documents)}
        self._snapshot: ScopeSnapshot | None = None

    @property
    def size(self) -> CorpusSize:
        return CorpusSize(
            len(self.documents),
            sum(document.characters for document in self.documents),
            sum(document.tokens for document in self.documents),
        )

    def record_use(self, documents: Iterable[CorpusDocument]) -> None:
        """Record that the answer used content of these documents."""
        self.used.add_versions(document.handle.version_id for document in documents)

    def record_seen(self, documents: Iterable[CorpusDocument]) -> None:
        """Record that a prompt showed the lines that name these documents, and nothing else of them."""
        self.used.add_seen(
            {each.handle.version_id: (*list_document_names(each.title, each.name), each.line) for each in documents}
        )

    def get_document(self, handle: Handle) -> CorpusDocument:
        """Return the document that a handle belongs to. Raises `UnknownHandleError`."""
        document = self._by_version.get(handle.version_id)
        # guard: handles-in-scope
        if (
            document is None
            or not document.handle.contains(handle)
            or document.handle.document_id != handle.document_id
        ):
            raise UnknownHandleError(
                f"Span {handle.start}:{handle.end} of version {handle.version_id} is not in any document in scope."
            )
        return document

    def find_document_by_id(self, document_id: str) -> CorpusDocument | None:
        return self._by_id.get(document_id)

    def find_file_name(self, document_id: str) -> str:
        """Return the name of a document's file, or an empty string if the document is not in scope."""
        document = self._by_id.get(document_id)
        return "" if document is None else document.name

    def find_document_by_name(self, name: str) -> CorpusDocument | None:
        """Return the first document with this id, name, title or line, or None. The line may lack periods and dates."""
        return self._documents_by_name.get(name) or self._by_line.get(name)

    @cached_property
    def _documents_by_name(self) -> dict[str, CorpusDocument]:
        return {
            name: each for each in reversed(self.documents) for name in (each.title, each.name, each.handle.document_id)
        }

    @cached_property
    def _by_line(self) -> dict[str, CorpusDocument]:
        return {
            line: each
            for each in reversed(self.documents)
            for line in (format_document_line(each.title, each.name), each.line)
        }

    def load_text(self, handle: Handle) -> str:
        """Load the text of a handle's span.

        Raises `UnknownHandleError` if it is not in scope or its document has been deleted.
        """
        with self.record_reading(self.get_document(handle)):
            return self._texts.read(handle.version_id, handle.start, handle.end)

    def iter_texts(self, handles: Iterable[Handle]) -> Iterator[str]:
        """Yield the text of each handle, in order.

        Adjacent handles share a read, so that many small spans need few reads.
        """
        for window, inside in self.copy_ahead(self._iter_windows(handles), lambda group: group[0]):
            text = self.load_text(window)
            for handle in inside:
                yield text[handle.start - window.start : handle.end - window.start]

    def _iter_windows(self, handles: Iterable[Handle]) -> Iterator[tuple[Handle, list[Handle]]]:
        """Yield windows, each with the successive handles that it contains."""
        window: Handle | None = None
        inside: list[Handle] = []
        for handle in handles:
            if window is None or not window.contains(handle):
                if window is not None:
                    yield window, inside
                document = self.get_document(handle)
                window, inside = document.handle[handle.start : max(handle.end, handle.start + _WINDOW)], []
            inside.append(handle)
        if window is not None:
            yield window, inside

    def copy_ahead(self, items: Iterable[_Item], get_span: Callable[[_Item], Handle]) -> Iterator[_Item]:
        """Yield the items in order, and start to copy the spans of those that follow. See `start_copying`."""
        waiting: deque[_Item] = deque()
        for each in items:
            self.start_copying(get_span(each))
            waiting.append(each)
            if len(waiting) > READ_AHEAD:
                yield waiting.popleft()
        yield from waiting

    def start_copying(self, span: Handle) -> None:
        """Start to copy the beginning of a span that will be read soon, if its store is far away.

        This does not record that the span was read.
        """
        self._texts.start_copying(span.version_id, span.start, min(span.end, span.start + _WINDOW))

    def load_text_map(self, document: CorpusDocument) -> TextMap:
        """Load the positions of a document's chunks and pages, without its text. Raises `UnknownHandleError`."""
        with self.record_reading(document):
            return self._texts.load_map(document.handle.version_id)

    def load_tables(self, document: CorpusDocument) -> Sequence[RecordTable]:
        """Load the record tables of a document. Most documents have none.

        Raises `DocumentUnreadableError` if they cannot be read.
        """
        with self.detect_changed_content(document):
            tables = self._tables.load_tables(document.handle.version_id) if self._tables is not None else ()
        if tables:
            self.record_use([document])
        return tables

    def load_snapshot(self, records: RecordTables) -> ScopeSnapshot:
        """Load the snapshot of the documents that the principal may see now, and record its use.

        Its contents are read once, unless the visible documents change.
        """
        # guard: table-prompt-readers
        visible = tuple(each for each in self.documents if self.is_visible(each))
        if self._snapshot is None or self._snapshot.documents != visible:
            self._snapshot = self._read_snapshot(visible, records)
        self.record_use(self._snapshot.read)
        return self._snapshot

    def _read_snapshot(self, documents: tuple[CorpusDocument, ...], records: RecordTables) -> ScopeSnapshot:
        having = records.select_versions_with_tables([each.handle.version_id for each in documents])
        tables: dict[CorpusDocument, Sequence[RecordTable]] = {}
        for each in documents:
            if each.handle.version_id in having:
                with suppress(DocumentUnreadableError), self.detect_changed_content(each):
                    tables[each] = records.load_tables(each.handle.version_id)
        filed = [each for each in documents if each.media_type in PROPERTY_COLUMNS]
        reads_all = len(filed) <= _MOST_PROPERTIES
        wanted = (*(filed if reads_all else ()), *self.sample_documents(_SAMPLED_DOCUMENTS))
        properties: dict[CorpusDocument, Mapping[str, str]] = {}
        has_headings = False
        self._texts.start_loading_maps(each.handle.version_id for each in wanted)
        for each in dict.fromkeys(wanted):
            with suppress(UnknownHandleError):  # The document cannot be read, or was deleted or hidden in the meantime.
                text_map = self.load_text_map(each)
                properties[each] = text_map.properties
                has_headings = has_headings or any(text_map.heading_paths)
        read = [each for each in documents if each.attributes or tables.get(each) or each in properties]
        return ScopeSnapshot(documents, tables, properties, reads_all, has_headings, read)

    def load_rows(
        self, document: CorpusDocument, table: int, row_numbers: Sequence[int] | range
    ) -> Sequence[RecordRow]:
        """Load rows of a document's record table. Row numbers start at 1.

        Raises `UnknownHandleError` if the document is not in scope.
        """
        with self.record_reading(document):
            return (
                self._tables.load_rows(document.handle.version_id, table, row_numbers)
                if self._tables is not None
                else ()
            )

    def load_heading_path(self, span: Handle) -> tuple[str, ...]:
        """Load the headings above the start of a span. Raises `UnknownHandleError` if the span is not in scope."""
        return next(self.iter_heading_paths([span]))

    def iter_heading_paths(self, spans: Iterable[Handle]) -> Iterator[tuple[str, ...]]:
        """Yield the headings above the start of each span. Raises `UnknownHandleError` if a span is not in scope."""
        for _, of_version in groupby(spans, key=lambda span: span.version_id):
            chunks: Sequence[Chunk] | None = None
            for span in of_version:
                chunks = self.load_text_map(self.get_document(span)).chunks if chunks is None else chunks
                at = bisect_right(chunks, span.start, key=lambda chunk: chunk.start) - 1
                yield chunks[at].heading_path if at >= 0 and span.start < chunks[at].end else ()

    def load_location(self, document: CorpusDocument, start: int, end: int) -> Location:
        """Load the location of a span in the document's file.

        The result is empty if the file's format has no pages or similar units.
        """
        self.record_use([document])
        return self._places.locate_span(document.handle.version_id, start, end)

    def load_passage(self, span: Handle, *, context_chars: int = 0) -> Passage:
        """Load a span as a citable passage, with `context_chars` code points of context on either side.

        The heading path and page are those at the start of the span. Raises `UnknownHandleError` if the span is not in
        scope.
        """
        document = self.get_document(span)
        window = document.handle[max(0, span.start - context_chars) : span.end + context_chars]
        location = self.load_location(document, span.start, span.end)
        return Passage(
            document_id=span.document_id,
            version_id=span.version_id,
            title=document.title,
            heading_path=self.load_heading_path(span),
            start=window.start,
            end=window.end,
            page=location.page,
            text=self.load_text(window),
            rank=1,
            score=1.0,
            place=location.words,
            table_header=self._places.load_table_header(span.version_id, window.start),
        )

    def estimate_tokens(self, handle: Handle) -> int:
        """Estimate the tokens of a span from the fraction of the document that it covers."""
        document = self.get_document(handle)
        return round(document.tokens * len(handle) / document.characters) if document.characters else 0

    def sample_documents(self, count: int) -> list[CorpusDocument]:
        """Return at most `count` documents, evenly spaced from first to last."""
        count = min(count, len(self.documents))
        return [self.documents[at * len(self.documents) // count] for at in range(count)]

    def restrict_to_documents(self, handles: Iterable[Handle]) -> "Corpus":
        """Return a corpus with only the documents of these handles, in the order of this corpus."""
        wanted = {self.get_document(handle).handle.version_id for handle in handles}
        documents = (each for each in self.documents if each.handle.version_id in wanted)
        return Corpus(documents, self._texts, self.tenant_id, self._tables, self.used, withheld_source=self._withheld)

    def record_separately(self, used_versions: UsedVersions) -> "Corpus":
        """Return a corpus of the same documents that records their use in `used_versions` instead."""
        return Corpus(
            self.documents, self._texts, self.tenant_id, self._tables, used_versions, withheld_source=self._withheld
        )

    def refresh_hidden_documents(self) -> None:
        """Refresh the set of hidden documents immediately, before new work starts."""
        self._withheld(at_once=True)

    def is_visible(self, document: CorpusDocument) -> bool:
        """Return whether the document is still visible to the principal."""
        return document.handle.document_id not in self._withheld()

    @contextmanager
    def record_reading(self, document: CorpusDocument) -> Iterator[None]:
        """Record that the `with` block reads a document.

        Raises `DocumentGoneError` if the document was hidden or deleted after the corpus was opened, or if the block
        raises a `KeyError`. Raises `DocumentUnreadableError` if the document's stored content was changed.
        """
        gone = f"Document {document.handle.document_id} was deleted, replaced or hidden after the question was asked."
        # guard: tools-check-readers
        if not self.is_visible(document):
            raise DocumentGoneError(gone)
        self.record_use([document])
        try:
            with self.detect_changed_content(document):
                yield
        except KeyError as error:
            raise DocumentGoneError(gone) from error

    @contextmanager
    def detect_changed_content(self, document: CorpusDocument) -> Iterator[None]:
        """Raise `DocumentUnreadableError` if the `with` block detects that a document's stored content was changed.

        The document is also reported as unreadable in the answer.
        """
        try:
            yield
        except ContentChangedError as error:
            identifier = document.handle.document_id
            self.used.record_unreadable(identifier, document.title)
            raise DocumentUnreadableError(error.detail, document_id=identifier) from error


def open_corpus(
    catalog: ActiveDocuments,
    texts: Texts,
    scope: AnswerScope,
    tables: RecordTables | None = None,
    used_versions: UsedVersions | None = None,
    *,
    withheld_source: WithheldSource = withhold_nothing,
) -> Corpus:
    """Open the current versions of the documents in a scope. Later additions and changes are not included."""
    documents: list[CorpusDocument] = []
    after = 0
    while page := catalog.list_active_documents(
        scope.tenant_id,
        collections=scope.collections,
        identifiers=scope.documents,
        conditions=parse_conditions(scope.filters),
        # guard: corpus-readers
        readers=scope.readers,
        after=after,
    ):
        documents += map(_build_document, page)
        after = page[-1].sequence
    return Corpus(documents, texts, scope.tenant_id, tables, used_versions, withheld_source=withheld_source)


def _build_document(active_document: ActiveDocument) -> CorpusDocument:
    return CorpusDocument(
        handle=Handle(active_document.document_id, active_document.version_id, 0, active_document.characters),
        title=active_document.title,
        name=active_document.name,
        collection=active_document.collection,
        tokens=active_document.tokens or estimate_tokens_from_length(active_document.characters),
        attributes=active_document.attributes,
        media_type=active_document.media_type,
        periods=active_document.periods,
        subjects=active_document.subjects,
        dates=active_document.dates,
    )


def estimate_tokens_from_length(character_count: int) -> int:
    """Estimate the number of tokens from the length of English text.

    Text in other languages has more tokens per character.
    """
    return round(character_count / CHARS_PER_TOKEN)


@dataclass(frozen=True)
class Section:
    """The text from one heading to the next. `heading_path` is empty before the first heading.

    In a document without headings, each page, slide or sheet is a section. `place` describes the location in the file.
    """

    heading_path: tuple[str, ...]
    handle: Handle
    tokens: int
    page: int | None
    place: str = ""


def list_sections(corpus: Corpus, handle: Handle) -> list[Section]:
    """Return all sections that overlap a span, in reading order. Sections cover the whole text.

    Raises `UnknownHandleError` if the span is not in scope.
    """
    document = corpus.get_document(handle)
    sections: list[Section] = []
    for path, start, end in iter_section_spans(corpus.load_text_map(document)):
        if start < handle.end and end > handle.start:
            span, location = document.handle[start:end], corpus.load_location(document, start, end)
            sections.append(Section(path, span, corpus.estimate_tokens(span), location.page, location.words))
    return sections


def iter_section_spans(text_map: TextMap) -> Iterator[tuple[tuple[str, ...], int, int]]:
    """Yield the heading path, start and end of each section of a text.

    In a text without headings, each page, slide or sheet is a section.
    """
    if text_map.layout.headings or not text_map.layout.places:
        firsts = [next(group) for _, group in groupby(text_map.chunks, key=lambda chunk: chunk.heading_path)]
        begins = [(first.heading_path, first.start) for first in firsts]
    else:
        begins = [((), place.start) for place in text_map.layout.places]
    ends = [*(start for _, start in begins[1:]), text_map.characters]
    for (path, start), end in zip(begins, ends, strict=True):
        if start < end:
            yield path, start, end


def select_sample_spans(corpus: Corpus, *, document_count: int = 3, max_chars: int = 500) -> list[Handle]:
    """Return spans at the beginning of evenly spaced documents, and at the end of the last one."""
    documents = corpus.sample_documents(document_count)
    found = [document.handle[:max_chars] for document in documents]
    if documents and documents[-1].characters > max_chars:
        whole = documents[-1].handle
        found.append(whole[max(max_chars, len(whole) - max_chars) :])
    return found


def restrict_scope(subset: Corpus, corpus: Corpus, scope: AnswerScope) -> AnswerScope:
    """Return the scope for searching only `subset`. `corpus` is the corpus that was opened for `scope`.

    The scope is limited to the documents of `subset`, because the best hits over all documents might include none of
    them.
    """
    if len(subset.documents) >= min(len(corpus.documents), _MAX_NAMED + 1):
        return scope
    return replace(scope, documents=tuple(each.handle.document_id for each in subset.documents))


def build_handle(passage: Passage) -> Handle:
    return Handle(passage.document_id, passage.version_id, passage.start, passage.end)


def select_passages(spans: Sequence[Handle], passages: Sequence[Passage]) -> list[Passage]:
    """Return the passages that overlap one of the spans."""
    by_version: dict[str, list[Handle]] = {}
    for span in spans:
        by_version.setdefault(span.version_id, []).append(span)
    return [
        passage
        for passage in passages
        if any(passage.start < span.end and span.start < passage.end for span in by_version.get(passage.version_id, ()))
    ]
