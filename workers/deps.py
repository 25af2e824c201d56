"""The dependencies shared by a worker's tasks. They are built once, at the composition root."""

from dataclasses import dataclass

from ingest.storage.answers.redaction import Redaction
from ingest.storage.blobs.store import BlobStore
from ingest.storage.documents.catalog import Catalog
from ingest.storage.jobs.jobs import Jobs
from ingest.storage.tables.store import RecordTables
from ingest.storage.texts.texts import Texts
from retrieval.index.bm25 import SparseEncoder
from retrieval.index.generations import Generations


class WorkerStopping(Exception):
    """The worker is shutting down. Its job is requeued without using up an attempt."""


@dataclass(frozen=True)
class WorkerDeps:
    """The stores and the index used by worker tasks.

    `sparse` is this release's encoder, which makes the cards. An index generation may have been built with another one.
    """

    catalog: Catalog
    jobs: Jobs
    redaction: Redaction
    blobs: BlobStore
    texts: Texts
    generations: Generations
    sparse: SparseEncoder

    @property
    def tables(self) -> RecordTables:
        return RecordTables(self.blobs)
