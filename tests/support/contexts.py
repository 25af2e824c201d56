"""Contexts of strategies over a few documents in memory, with the real search over them."""

from collections.abc import Collection, Mapping, Sequence
from datetime import date
from itertools import count
from types import MappingProxyType
from typing import Any

from ingest.chunking import chunk_text
from ingest.storage.documents.catalog import VisibleVersion
from ingest.storage.documents.filters import Conditions
from ingest.storage.texts.chunks import build_context_line
from ingest.storage.texts.layout import Layout, build_markdown_layout
from ingest.storage.texts.texts import Texts, compute_byte_spans
from retrieval.encoders.port import HashingEmbedder
from retrieval.index.bm25 import Bm25Encoder
from retrieval.index.port import IndexedChunk
from retrieval.search.search import Searcher
from rlm.corpus.corpus import Corpus, CorpusDocument, estimate_tokens_from_length
from rlm.corpus.handles import Handle
from rlm.corpus.withheld import WithheldSource, withhold_nothing
from rlm.llm.port import SubCalls
from rlm.llm.profiles import ModelProfile
from rlm.passages import build_search
from rlm.requests import DEFAULT_OPTIONS, AnswerOptions, AnswerScope
from rlm.runs.port import NOT_DURABLE
from rlm.strategy import Context, DocumentSearch, SpanSearch
from tests.fakes.memory_blobs import MemoryBlobs
from tests.support.fixed_generation import FixedGeneration
from tests.support.memory_index import MemoryIndex

TODAY = date(2024, 5, 17)
CAPABLE = ModelProfile("capable", 32_000, 4_000, reading_tokens=8_000)


def corpus_of(
    documents: Mapping[str, str],
    *,
    markdown: bool = True,
    names: Mapping[str, str] = MappingProxyType({}),
    attributes: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
    withheld: WithheldSource = withhold_nothing,
) -> Corpus:
    """A corpus of texts by title.

    `names` are the names of their files by title; the others are called `TITLE.md`. `attributes` are their metadata.
    """
    texts = Texts(MemoryBlobs())
    found: list[CorpusDocument] = []
    for number, (title, text) in enumerate(documents.items(), 1):
        handle = Handle(f"d{number}", f"v{number}", 0, len(text))
        texts.save(
            handle.version_id,
            text,
            title=title,
            chunks=chunk_text(text, build_markdown_layout(text) if markdown else Layout()),
        )
        name = names.get(title, f"{title}.md")
        tokens = estimate_tokens_from_length(len(text))
        found.append(CorpusDocument(handle, title, name, "default", tokens, attributes.get(title, {})))
    return Corpus(found, texts, "ann", withheld_source=withheld)


class _Open:
    """The visibility of a corpus: all of it."""

    def __init__(self, corpus: Corpus) -> None:
        self._visible = {
            each.handle.version_id: VisibleVersion(
                each.handle.version_id, each.handle.document_id, "default", each.title, {}
            )
            for each in corpus.documents
        }

    def load_corpus_version(self, tenant_id: str) -> int:
        return 1

    def list_hidden_versions(self, tenant_id: str) -> list[str]:
        return []

    def find_visible_versions(self, tenant_id: str, version_ids: Collection[str]) -> dict[str, VisibleVersion]:
        return {version: self._visible[version] for version in version_ids}

    def list_hidden_collections(self, tenant_id: str, readers: frozenset[str]) -> set[str]:
        return set()

    def has_access_lists(self, tenant_id: str) -> bool:
        return False

    def list_matching_documents(
        self, tenant_id: str, conditions: Conditions, *, document_ids: Collection[str] = (), limit: int | None = None
    ) -> list[str]:
        return list(document_ids)[:limit]


def searcher_over(corpus: Corpus) -> Searcher:
    """A searcher of the corpus by words, without vectors."""
    index = MemoryIndex()
    for document in corpus.documents:
        version, text = document.handle.version_id, corpus.load_text(document.handle)
        chunks = corpus.load_text_map(document).chunks
        indexed = [
            IndexedChunk(
                f"{version}-{each.ordinal}", "ann", "default", document.handle.document_id, version, each.ordinal,
                each.start, each.end, *span, page=None, heading_path=each.heading_path,
            )
            for each, span in zip(chunks, compute_byte_spans(text, chunks), strict=True)
        ]  # fmt: skip
        words = (
            f"{build_context_line(document.title, each.heading_path)}\n{text[each.start : each.end]}" for each in chunks
        )
        index.upsert_chunks(indexed, [Bm25Encoder().encode_document(each) for each in words])
    return Searcher(FixedGeneration(index, HashingEmbedder()), _Open(corpus), corpus._texts)


def document_search_over(corpus: Corpus) -> DocumentSearch:
    """The search within each document of the corpus, by words."""
    searcher = searcher_over(corpus)

    def search_document(document_id: str) -> SpanSearch:
        scope = AnswerScope("ann", documents=(document_id,))
        found = build_search(searcher, scope, corpus.used, widened_chars=None)
        return NOT_DURABLE.wrap_document_search(found, document_id)

    return search_document


def context_over(
    corpus: Corpus,
    calls: SubCalls,
    question: str,
    *,
    profile: ModelProfile = CAPABLE,
    queries: Sequence[str] = (),
    wanted: AnswerOptions = DEFAULT_OPTIONS,
) -> Context:
    """A context whose search ranks the chunks of the corpus by BM25."""
    nonces, scope = count(1), AnswerScope("ann")
    return Context(
        question=question,
        queries=tuple(queries),
        scope=scope,
        wanted=wanted,
        profile=profile,
        calls=calls,
        search=build_search(searcher_over(corpus), scope, corpus.used, widened_chars=None),
        corpus=lambda: corpus,
        nonce=lambda: f"nonce{next(nonces)}",
        today=TODAY,
    )
