"""A worker's parts for tests: real catalog, blobs and texts; the index is in memory and can be told to fail."""

from collections.abc import Sequence
from pathlib import Path

from ingest.intake import Intake, Replacement, UploadRequest
from ingest.parsing.errors import DamagedDocumentError
from ingest.parsing.types import ParsedDocument
from ingest.storage.answers.redaction import Redaction
from ingest.storage.blobs.store import DirectoryBlobs
from ingest.storage.db.database import open_database
from ingest.storage.documents.batches import Batches
from ingest.storage.documents.catalog import AcceptedUpload, Catalog
from ingest.storage.documents.digests import ContentDigests
from ingest.storage.documents.records import Document, VersionState
from ingest.storage.jobs.jobs import Jobs
from ingest.storage.queue.records import JobKind
from ingest.storage.texts.layout import build_markdown_layout
from ingest.storage.texts.texts import Texts
from retrieval.encoders.port import EmbeddedTexts, HashingEmbedder
from tests.support.catalogs import migrated_sqlite, wake
from tests.support.fixed_generation import FixedGeneration
from tests.support.installations import tied
from tests.support.memory_index import MemoryIndex
from tests.support.record_tables import parsed_from
from workers.deps import WorkerDeps
from workers.tasks.deletion import CollectTask, Deleter
from workers.tasks.embed import EmbedTask
from workers.tasks.ingest import IngestTask


class CountingEmbedder(HashingEmbedder):
    """Remembers every text that it encoded."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def embed_documents(self, texts: Sequence[str], *, is_background: bool = False) -> EmbeddedTexts:
        self.texts += texts
        return super().embed_documents(texts)


class PlainParser:
    """Reads UTF-8, and finds record tables in it; a text that begins with `damaged` is damaged."""

    def parse(self, path: Path, media_type: str, *, name: str, **more: object) -> ParsedDocument:
        text = path.read_text()
        if text.startswith("damaged"):
            raise DamagedDocumentError(f"{name} is damaged.")
        tables = parsed_from(text, media_type)
        return ParsedDocument(text, name.partition(".")[0], "plain", tables, build_markdown_layout(text))


def no() -> bool:
    return False


class WorkerFixture:
    """Everything a worker needs, with the tasks of ingest."""

    def __init__(self, home: Path, catalog_url: str | None = None) -> None:
        engine = open_database(catalog_url or migrated_sqlite(home / "catalog.sqlite"))
        self.engine = engine
        self.catalog, self.jobs, self.index = Catalog(engine), Jobs(engine), MemoryIndex()
        self.catalog.ensure_tenant("ann")
        self.embedder = CountingEmbedder()
        self.blobs = DirectoryBlobs(home / "blobs")
        self.texts = Texts(self.blobs, ContentDigests(engine))
        self.record = tied(engine, self.blobs)
        self.generations = FixedGeneration(self.index, self.embedder)
        self.redaction = Redaction(engine)
        self.deps = WorkerDeps(
            self.catalog,
            self.jobs,
            self.redaction,
            self.blobs,
            self.texts,
            self.generations,
            self.generations.made.sparse,
        )
        self.ingest, self.embed, self.collect = (
            IngestTask(self.deps, PlainParser()),
            EmbedTask(self.deps),
            CollectTask(self.deps),
        )
        self.deleter = Deleter(self.catalog, self.redaction, self.generations, self.texts, self.blobs)
        self.intake = Intake(self.catalog, self.blobs, Batches(engine), max_bytes=10_000_000)

    def upload(self, text: str, name: str = "a.md", tenant: str = "ann") -> Document:
        with self.intake.receive_upload(UploadRequest(tenant, "default", name)) as upload:
            upload.write(text.encode())
            return upload.accept().document

    def state(self, document: Document) -> VersionState:
        return self.catalog.load_document("ann", document.id).version.state

    def replace(self, document: Document, text: str, name: str = "a.md") -> AcceptedUpload:
        replaces = Replacement(document.id, None)
        with self.intake.receive_upload(UploadRequest("ann", document.collection, name, replaces=replaces)) as upload:
            upload.write(text.encode())
            return upload.accept()

    def work_off(self) -> None:
        """Run every waiting job to its end, collections too."""
        while True:
            wake(self.engine)
            kinds = (JobKind.INGEST, JobKind.EMBED, JobKind.COLLECT)
            ingest, embed, collect = (self.jobs.claim(kind) for kind in kinds)
            for job in ingest:
                self.ingest.run(job, no)
            for job in embed:
                self.embed.run([job], no)
            for job in collect:
                self.collect.run(job)
            if not (ingest or embed or collect):
                return
