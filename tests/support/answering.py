"""The whole pipeline in one process, over documents in memory, with a chat model that a test writes."""

import tempfile
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

from ingest.chunking import chunk_text
from ingest.storage.documents.catalog import VisibleVersion
from ingest.storage.documents.filters import Conditions
from ingest.storage.documents.rows import ActiveDocument
from ingest.storage.tables.store import RecordTables
from ingest.storage.tables.types import assign_table_names
from ingest.storage.texts.chunks import Chunk
from ingest.storage.texts.layout import build_markdown_layout
from ingest.storage.texts.texts import Texts
from retrieval.encoders.port import HashingEmbedder
from retrieval.search.search import Searcher
from rlm.answering import AnswerPipeline
from rlm.build import HelperModels, PipelineComponents
from rlm.checking.checker import CheckMode
from rlm.llm.profiles import ModelProfile
from rlm.llm.scheduler import SubCallScheduler
from rlm.sandbox.build import build_sandbox
from rlm.sandbox.port import Sandbox, SandboxIsolation
from rlm.tables.sql import SqlEngine
from tests.fakes.callable_chat import Answer as ChatAnswer
from tests.fakes.callable_chat import CallableChat
from tests.fakes.loaded_model import LoadedModel
from tests.fakes.memory_blobs import MemoryBlobs
from tests.fakes.memory_reply_cache import MemoryReplyCache
from tests.support.fixed_generation import FixedGeneration
from tests.support.memory_index import MemoryIndex
from tests.support.parsing import ParserHere, parse

CAPABLE = ModelProfile("capable", 32_000, 4_000, reading_tokens=8_000)


class Documents:
    """A catalog of one tenant's documents, by title; nothing of them is in the index."""

    def __init__(self, texts: Texts, documents: Mapping[str, str], tenant_id: str = "ann") -> None:
        self._tenant_id = tenant_id
        self._texts = texts
        self._rows: list[ActiveDocument] = []
        for title, text in documents.items():
            self._add(f"{title}.md", title, text, chunk_text(text, build_markdown_layout(text)))

    def add_csv(self, tables: RecordTables, title: str, content: str) -> None:
        """Add a CSV file as ingest leaves it, with its record table."""
        name = f"{title}.csv"
        with tempfile.TemporaryDirectory() as folder:
            parsed = parse(ParserHere(), Path(folder), name, content.encode())
        chunks = chunk_text(parsed.text, parsed.layout, parsed.positions)
        tables.save(self._add(name, title, parsed.text, chunks), assign_table_names(parsed.tables, name))

    def _add(self, name: str, title: str, text: str, chunks: Sequence[Chunk]) -> str:
        """Add a document, and return the id of its version."""
        number = len(self._rows) + 1
        version = f"v{number}"
        self._texts.save(version, text, title=title, chunks=chunks)
        self._rows.append(ActiveDocument(number, f"d{number}", version, "c", name, title, len(text), None, {}))
        return version

    def list_active_documents(
        self,
        tenant_id: str,
        *,
        collections: Sequence[str],
        identifiers: Sequence[str],
        conditions: Conditions = (),
        readers: frozenset[str] | None = None,
        after: int,
    ) -> list[ActiveDocument]:
        if tenant_id != self._tenant_id or after:
            return []
        return [row for row in self._rows if not identifiers or row.document_id in identifiers]

    def list_hidden_collections(self, tenant_id: str, readers: frozenset[str]) -> set[str]:
        return set()

    def has_access_lists(self, tenant_id: str) -> bool:
        return False

    def list_matching_documents(
        self, tenant_id: str, conditions: Conditions, *, document_ids: Collection[str] = (), limit: int | None = None
    ) -> list[str]:
        return []

    def load_corpus_version(self, tenant_id: str) -> int:
        return 1

    def list_hidden_versions(self, tenant_id: str) -> list[str]:
        return []

    def find_visible_versions(self, tenant_id: str, version_ids: Collection[str]) -> dict[str, VisibleVersion]:
        return {}


Said = Callable[[str], ChatAnswer]


def by_stage(
    answer: Said | str = "",
    *,
    route: Said | str = "",
    judge: Said | str = '{"verdicts": []}',
    condense: Said | str = "",
    plan: Said | str = "",
) -> Callable[[str], Awaitable[ChatAnswer]]:
    """A model that knows each stage of the pipeline by how its prompt ends."""

    async def reply(prompt: str) -> ChatAnswer:
        for mark, said in (
            ("Strategies available here", route),
            ("Give a verdict on each sentence", judge),
            ("Last message:", condense),
            ("Reply with the plan", plan),
        ):
            if mark in prompt:
                return said(prompt) if callable(said) else said
        return answer(prompt) if callable(answer) else answer

    return reply


@contextmanager
def pipeline(
    documents: Mapping[str, str],
    model: Callable[[str], Awaitable[ChatAnswer]] | None,
    *,
    profile: ModelProfile = CAPABLE,
    check: CheckMode = CheckMode.JUDGE,
    helpers: HelperModels | None = None,
    sandbox: Sandbox | None = None,
    sql: SqlEngine | None = None,
    tables: Mapping[str, str] = MappingProxyType({}),
    answers_early: bool | None = None,
) -> Iterator[tuple[AnswerPipeline, CallableChat | None]]:
    """Answers over these documents, and the chat model that they come from; None is no model.

    `tables` are further documents: the contents of CSV files, by title.
    """
    blobs = MemoryBlobs()
    texts, encoder = Texts(blobs), HashingEmbedder()
    catalog, scheduler = Documents(texts, documents), SubCallScheduler(MemoryReplyCache())
    chat = None if model is None else CallableChat(answer=model)
    records = RecordTables(blobs)
    for title, content in tables.items():
        catalog.add_csv(records, title, content)
    sandbox = sandbox or build_sandbox(SandboxIsolation.PLAIN)
    searcher = Searcher(FixedGeneration(MemoryIndex(), encoder), catalog, texts)
    parts = PipelineComponents(catalog, texts, records, sql or SqlEngine(), scheduler, encoder, sandbox)
    language_model = LoadedModel(chat, profile)
    try:
        yield (
            AnswerPipeline(
                searcher, language_model, parts, check_mode=check, helpers=helpers, answers_early=answers_early
            ),
            chat,
        )
    finally:
        scheduler.close()
        sandbox.close()
