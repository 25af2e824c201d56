"""A worker's parts for tests of generations: real catalog, blobs and texts over a real store of indexes."""

from pathlib import Path

from ingest.storage.documents.records import Document
from ingest.storage.generations.index_states import IndexStates
from ingest.storage.generations.store import GenerationRecords
from retrieval.encoders.registry import EncoderChoice
from retrieval.index.bm25 import Bm25Encoder
from retrieval.index.generations import IndexStore
from retrieval.index.open_generations import OpenGenerations
from retrieval.search.search import Mode, Searcher, SearchRequest
from tests.support.encoders import hashing_encoders
from tests.support.worker_fixture import PlainParser, WorkerFixture, no
from workers.deps import WorkerDeps
from workers.generations.builder import open_generation_builder
from workers.generations.switcher import GenerationSwitcher
from workers.tasks.deletion import CollectTask, Deleter
from workers.tasks.embed import EmbedTask
from workers.tasks.ingest import IngestTask
from workers.upkeep.index_checks import IndexChecks
from workers.upkeep.verify import VerificationResult, Verifier

WHALE = "# Whales\n\nThe white whale swims under the ice of the northern sea.\n"
SHIPS = "# Ships\n\nA ship with three masts lies in the harbour and waits for wind.\n"


class GenerationsFixture(WorkerFixture):
    """A `WorkerFixture` with generations; a second one on the same folder and store acts as another process."""

    def __init__(self, home: Path, store: IndexStore, catalog_url: str | None = None) -> None:
        super().__init__(home, catalog_url)
        self.store, self.encoders, self.sparse = store, hashing_encoders(), Bm25Encoder()
        self.records = GenerationRecords(self.engine)
        first = self.encoders.choices[0]
        self.records.ensure_first_generation(first.fingerprint, self.sparse.fingerprint, first.dimension)
        self.now = 0.0
        self.open = OpenGenerations(
            self.records, store, self.encoders, self.sparse, reject_lost_index=True, clock=lambda: self.now
        )
        self.states, self.checked_at = IndexStates(self.engine), 1_000.0
        self.check_parts = (self.catalog, self.states, self.jobs, self.records, store, self.open)
        self.checks = IndexChecks(*self.check_parts, clock=lambda: self.checked_at, pause=lambda: None)
        self.deps = WorkerDeps(self.catalog, self.jobs, self.redaction, self.blobs, self.texts, self.open, self.sparse)
        self.ingest, self.embed = IngestTask(self.deps, PlainParser()), EmbedTask(self.deps)
        self.collect = CollectTask(self.deps)
        self.deleter = Deleter(self.catalog, self.redaction, self.open, self.texts, self.blobs)
        self.searcher = Searcher(self.open, self.catalog, self.texts, on_no_hits=self.checks.check_empty_search)
        self.builder, self.task = open_generation_builder(self.records, self.deps, no)

    def ready(self, text: str, name: str = "a.md") -> Document:
        """Upload a document and run everything that waits to its end."""
        document = self.upload(text, name)
        self.work_off()
        return document

    def build(self) -> None:
        """Put everything into the generation being built that can be put into it."""
        self.records.queue_missing_versions()
        self.builder.run(no, lambda: None)

    @property
    def switcher(self) -> GenerationSwitcher:
        return GenerationSwitcher(self.records, lambda watch: self.build())

    def choice(self, name: str) -> EncoderChoice:
        return self.encoders.get_by_name(name)

    def begin(self, name: str) -> int:
        """Begin a generation, and put nothing into it yet."""
        choice = self.choice(name)
        return self.records.start_generation(choice.fingerprint, self.sparse.fingerprint, choice.dimension).id

    def verify(self, generation_id: int | None = None, *, sample: int = 10_000) -> VerificationResult:
        with self.open.use_generation(generation_id or self.records.load_active_generation().id) as made:
            return Verifier(self.catalog, self.records, self.texts, made).verify_index(sample_size=sample, seed=1)

    def found(self, query: str, mode: Mode = Mode.DENSE, top_k: int = 3) -> list[str]:
        """Ids of the documents that a search finds, best first, some time after whatever was changed."""
        self.now += 10.0
        hits = self.searcher.search(SearchRequest("ann", query, mode, top_k=top_k)).hits
        return [hit.passage.document_id for hit in hits]

    def points_of(self, document_id: str) -> dict[int, int]:
        """How many points each generation has of a document, whatever version they are of."""
        with self.open.use_all_indexes() as indexes:
            return {
                generation: sum(
                    point.document_id == document_id
                    for version in index.count_chunks_by_version()
                    for tenant in index.list_version_tenants(version)
                    for point in index.iter_version_chunks(tenant, version)
                )
                for generation, index in indexes.items()
            }

    def close(self) -> None:
        self.open.close()
        self.engine.dispose()
