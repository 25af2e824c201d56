"""A source in memory whose items, faults and lies a test decides, and the parts that synchronize it."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from sqlalchemy import Engine

from ingest.intake import Intake
from ingest.sources.errors import ItemGoneError, ItemUnchangedError
from ingest.sources.port import OpenedItem, Source, SourceChanges, SourceItem
from ingest.sources.syncing import RoundControl, SourceSynchronizer
from ingest.storage.blobs.store import DirectoryBlobs
from ingest.storage.documents.batches import Batches
from ingest.storage.documents.catalog import Catalog
from ingest.storage.jobs.jobs import Jobs
from ingest.storage.queue.records import Job, JobKind
from ingest.storage.sources.credentials import CredentialCipher
from ingest.storage.sources.records import NewSource, SourceRecord, Sync
from ingest.storage.sources.rounds import Round, SyncRounds
from ingest.storage.sources.store import Sources
from workers.errors import JobOutcome, build_failure, get_job_outcome


@dataclass
class ScriptedSource:
    """The contents of a source by item id, with what is known of each. `opened` are the ids that were read.

    `fault` is called before an item is listed or opened, with `list` or `open` and the item's id.
    """

    contents: dict[str, bytes] = field(default_factory=dict)
    items: dict[str, SourceItem] = field(default_factory=dict)
    opened: list[str] = field(default_factory=list)
    fault: Callable[[str, str], object] = lambda step, item: None
    changes: Callable[[str], SourceChanges | None] = lambda cursor: None
    is_closed: bool = False

    def put(self, identifier: str, content: str, **described: object) -> None:
        """Add an item, or replace its content."""
        self.contents[identifier] = content.encode()
        item = SourceItem(identifier, f"{identifier}.txt", path=f"/{identifier}.txt", version=f"v-{hash(content)}")
        self.items[identifier] = replace(item, **described)  # type: ignore[arg-type]

    def remove(self, identifier: str) -> None:
        del self.contents[identifier], self.items[identifier]

    def list_items(self) -> Iterator[SourceItem]:
        for identifier, item in list(self.items.items()):
            self.fault("list", identifier)
            yield item

    @contextmanager
    def open_item(self, item: SourceItem, known_version: str = "") -> Iterator[OpenedItem]:
        self.fault("open", item.id)
        if item.id not in self.items:
            raise ItemGoneError
        if known_version and known_version == self.items[item.id].version:
            raise ItemUnchangedError
        self.opened.append(item.id)
        yield OpenedItem(self.items[item.id], iter([self.contents[item.id]]))

    def list_changes(self, cursor: str) -> SourceChanges | None:
        return self.changes(cursor)

    def close(self) -> None:
        self.is_closed = True


class SyncBench:
    """The stores of one catalog and the synchronizer of a scripted source."""

    def __init__(
        self, engine: Engine, folder: Path, *, max_bytes: int = 1_000_000, max_backlog: int = 1_000_000
    ) -> None:
        cipher = CredentialCipher(key_file=folder / "key")
        self.catalog, self.jobs = Catalog(engine), Jobs(engine)
        self.sources, self.rounds = Sources(engine, cipher), SyncRounds(engine, cipher)
        self.source = ScriptedSource()
        self.started: list[Round] = []
        self.clock: Callable[[], float] = time.monotonic
        self.intake = Intake(
            self.catalog,
            DirectoryBlobs(folder / "blobs"),
            Batches(engine),
            max_bytes=max_bytes,
            backlog=self.jobs.count_backlog,
            max_backlog=max_backlog,
        )

    def create(self, name: str = "a source", *, interval_seconds: float = 0.0, tenant: str = "ann") -> SourceRecord:
        new = NewSource("default", "scripted", name, {"at": "x"}, {"password": "secret"}, interval_seconds, "user:ann")
        return self.sources.create(tenant, new, syncs_now=False)

    def sync(self, record: SourceRecord, *, source: Source | None = None) -> Sync:
        """Synchronize a source once, as a worker would, and return the result."""
        self.sources.request_sync(record.tenant_id, record.id)
        return self.work(record, source=source)

    def work(self, record: SourceRecord, *, source: Source | None = None) -> Sync:
        """Run the job that is waiting. Permanent errors fail it, as in a worker; others are raised."""
        job = self.claim()
        try:
            self.run(job, source=source)
        except Exception as error:
            if get_job_outcome(error) is not JobOutcome.FAIL:
                raise
            self.jobs.fail(job, build_failure(error, job.kind))
        return self.sources.list_syncs(record.tenant_id, record.id)[0]

    def claim(self) -> Job:
        (job,) = self.jobs.claim(JobKind.SYNC)
        return job

    def run(
        self,
        job: Job,
        *,
        source: Source | None = None,
        is_interrupted: Callable[[], bool] = lambda: False,
        wait: Callable[[float], object] = lambda _: None,
    ) -> None:
        @contextmanager
        def open_source(sync: Round) -> Iterator[Source]:
            self.started.append(sync)
            yield source or self.source

        synchronizer = SourceSynchronizer(
            self.rounds, self.catalog, self.intake, open_source, max_share=0.05, clock=self.clock
        )
        synchronizer.run(job, RoundControl(is_interrupted, wait))

    def names(self, tenant: str = "ann") -> list[str]:
        """The names of the documents in the library."""
        return sorted(document.name for document in self.catalog.list_documents(tenant, limit=1_000))

    def document_of(self, record: SourceRecord, identifier: str) -> str | None:
        """The id of the document behind which an item stands."""
        items = self.sources.list_items(record.tenant_id, record.id, limit=1_000)
        return next(item.document_id for item in items if item.item_id == identifier)
