"""The parts that every process of a cluster opens, and the worker process that uses them."""

import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog

from ingest.blobs import DirectoryBlobs
from ingest.catalog.audit import Audit
from ingest.catalog.batches import Batches
from ingest.catalog.catalog import Catalog
from ingest.catalog.conversations import Conversations
from ingest.catalog.database import open_database
from ingest.catalog.generations import GenerationRecords
from ingest.catalog.identities import Identities
from ingest.catalog.installation import InstallationRecord
from ingest.catalog.jobs import Jobs
from ingest.catalog.leftovers import Leftovers
from ingest.catalog.quotas import Quotas
from ingest.catalog.replies import Replies
from ingest.catalog.retention import Expiry
from ingest.catalog.run_log import RunLog
from ingest.catalog.runs import Runs
from ingest.catalog.tenant_data import TenantRemoval
from ingest.documents import JobKind
from ingest.faultpoints import reach
from ingest.feed import Feed
from ingest.installation import tie
from ingest.parsing.sandbox import ParserSandbox
from ingest.parsing.types import Isolation
from ingest.quotas import Quota
from ingest.redis_feed import RedisFeed
from ingest.retention import Retention
from ingest.texts import Texts
from retrieval import build
from retrieval.bm25 import SparseEncoder
from retrieval.encoders import Encoders
from retrieval.generations import IndexStore, require_fit
from retrieval.models.store import ModelStore
from retrieval.open_generations import OpenGenerations
from workers.access import ReadersWriter
from workers.deletion import CollectTask
from workers.embed_task import EmbedTask
from workers.ingest_task import IngestTask
from workers.job_runner import JobRunner
from workers.leftovers import LeftoverRounds
from workers.run_task import Answers, RunTask
from workers.settings import ClusterSettings
from workers.worker_deps import WorkerDeps

log = structlog.get_logger(__name__)

OpenEncoders = Callable[[ClusterSettings], Encoders]
OpenParser = Callable[[Path, Isolation], ParserSandbox]

# A task works for this share of its time limit and then rings for the next, so that no step comes near the limit.
_SLICE = 0.25


@dataclass(frozen=True)
class Parts:
    """The parts that API and workers share, opened on the cluster's servers."""

    expiry: Expiry
    tenant_removal: TenantRemoval
    catalog: Catalog
    jobs: Jobs
    runs: Runs
    run_log: RunLog
    replies: Replies
    installation: InstallationRecord
    rounds: LeftoverRounds
    identities: Identities
    audit: Audit
    batches: Batches
    conversations: Conversations
    quotas: Quotas
    feed: Feed
    blobs: DirectoryBlobs
    texts: Texts
    records: GenerationRecords
    store: IndexStore
    generations: OpenGenerations
    encoders: Encoders
    sparse: SparseEncoder

    def worker_deps(self) -> WorkerDeps:
        """Return the parts that tasks of workers need."""
        return WorkerDeps(
            self.catalog, self.jobs, self.blobs, self.texts, self.generations, self.sparse, self.blobs.path
        )


OpenAnswers = Callable[[Parts], AbstractContextManager[Answers]]


def configured_encoders(settings: ClusterSettings) -> Encoders:
    """Open the encoders that the settings name, and Leadline's own."""
    return build.encoders(ModelStore(settings.models), settings)


def sandboxed_parser(scratch: Path, isolation: Isolation) -> ParserSandbox:
    return ParserSandbox(scratch=scratch, isolation=isolation)


@contextmanager
def open_parts(
    settings: ClusterSettings,
    *,
    open_encoders: OpenEncoders = configured_encoders,
    serving: bool = True,
    tenant_quotas: Mapping[Quota, int] | None = None,
    key_quotas: Mapping[Quota, int] | None = None,
) -> Iterator[Parts]:
    """Open the parts. Raises what keeps a process from `serving`: a server that is away, an index of another encoder.

    Without `serving`, as for repairs, indexes are opened on demand and may come from any encoder.
    """
    with ExitStack() as stack:
        engine = open_database(settings.database_url.get_secret_value())
        stack.callback(engine.dispose)
        feed = RedisFeed(settings.redis_url.get_secret_value())
        stack.callback(feed.close)
        encoders, sparse = open_encoders(settings), build.sparse_encoder()
        records = GenerationRecords(engine)
        first = encoders.named(settings.encoder)
        active = records.ensure_first(first.fingerprint, sparse.fingerprint, first.dimension)
        key = settings.qdrant_api_key.get_secret_value() if settings.qdrant_api_key else None
        if settings.vector_server_warning:
            log.warning(settings.vector_server_warning)
        blobs = DirectoryBlobs(settings.home / "blobs", min_free_bytes=settings.min_free_bytes)
        texts, record = Texts(blobs), InstallationRecord(engine)
        installation = tie(record, blobs)
        store = build.server_indexes(settings.qdrant_url, installation, api_key=key, settings=settings.vector_server)
        generations = OpenGenerations(records, store, encoders, sparse)
        stack.callback(generations.close)
        if serving:
            require_fit(active, encoders, sparse, chosen=settings.encoder)
            generations.open()
        rounds = LeftoverRounds(record, Leftovers(engine), generations, blobs, texts, settings.upkeep_limits)
        rounds.put_back()
        quotas = Quotas(engine, tenant_defaults=tenant_quotas, key_defaults=key_quotas)
        jobs = Jobs(engine, lease_seconds=settings.lease_seconds, announce=feed.announce, quotas=quotas.rules)
        yield Parts(
            expiry=Expiry(engine),
            tenant_removal=TenantRemoval(engine),
            catalog=Catalog(engine, announce=feed.announce, quotas=quotas.rules),
            jobs=jobs,
            runs=Runs(engine, announce=feed.announce, quotas=quotas.rules),
            run_log=RunLog(engine, announce=feed.announce),
            replies=Replies(engine),
            installation=record,
            rounds=rounds,
            identities=Identities.of(engine),
            audit=Audit(engine),
            batches=Batches(engine, announce=feed.announce),
            conversations=Conversations(engine),
            quotas=quotas,
            feed=feed,
            blobs=blobs,
            texts=texts,
            records=records,
            store=store,
            generations=generations,
            encoders=encoders,
            sparse=sparse,
        )


class WorkerProcess:
    """One worker process: its tasks, the leases it keeps alive, and the slices in which it works."""

    def __init__(
        self,
        parts: Parts,
        parser: ParserSandbox,
        *,
        stopping: Callable[[], bool],
        ring: Callable[[JobKind], None],
        slice_seconds: float,
        retention: Retention,
        answers: Answers | None = None,
    ) -> None:
        self._parts = parts
        self._stopping = stopping
        self._ring = ring
        self._slice_seconds = slice_seconds
        self._retention = retention
        self._slice_end = 0.0
        deps = parts.worker_deps()
        self._runner = JobRunner(
            parts.jobs,
            IngestTask(deps, parser),
            EmbedTask(deps),
            CollectTask(deps),
            stopping=stopping,
            slice_over=lambda: time.monotonic() > self._slice_end,
            answer=RunTask(parts.jobs, parts.run_log, answers) if answers else None,
        )
        self._closing = threading.Event()
        self._heartbeat = threading.Thread(target=self._keep_leases, name="leases", daemon=True)
        self._heartbeat.start()

    @property
    def jobs(self) -> Jobs:
        return self._parts.jobs

    def look(self, kind: JobKind) -> int:
        """Run jobs of a kind until none waits, the slice is over or the worker stops; returns how many."""
        self._slice_end = time.monotonic() + self._slice_seconds
        reach("look.began")
        finished = 0
        while not self._stopping():
            if kind is not JobKind.COLLECT and not self._parts.blobs.has_room_to_work():
                log.warning("the disk is nearly full; jobs wait", kind=kind)
                break
            if not (count := self._runner.once(kind)):
                break
            finished += count
            if kind is JobKind.INGEST:
                self._ring(JobKind.EMBED)
            if time.monotonic() > self._slice_end:
                self._ring(kind)
                break
        return finished

    def remove_tenants(self) -> None:
        """Take a step with each deleted tenant."""
        self._parts.tenant_removal.step()

    def tidy(self) -> None:
        """Remove what was kept for its time, and repair the index and remove what no document uses, if it is there."""
        parts = self._parts
        ReadersWriter(parts.catalog, parts.generations).settle_all()
        parts.expiry.forget(self._retention)
        parts.rounds.run()

    def close(self) -> None:
        self._closing.set()
        self._heartbeat.join(timeout=2.0)

    def _keep_leases(self) -> None:
        while not self._closing.wait(self.jobs.lease_seconds / 3):
            try:
                self._runner.keep_leases()
            # The database may be away for a moment; the next beat may get through before the lease runs out.
            except Exception as error:  # noqa: BLE001 - a heartbeat must not end for any reason
                log.warning("leases were not extended", error=repr(error))


@contextmanager
def open_worker_process(
    settings: ClusterSettings,
    *,
    stopping: Callable[[], bool],
    ring: Callable[[JobKind], None],
    open_encoders: OpenEncoders = configured_encoders,
    open_parser: OpenParser = sandboxed_parser,
    open_answers: OpenAnswers | None = None,
) -> Iterator[WorkerProcess]:
    """Open a worker process; without `open_answers` it takes no runs."""
    with ExitStack() as stack:
        parts = stack.enter_context(open_parts(settings, open_encoders=open_encoders))
        scratch = Path(tempfile.mkdtemp(prefix="leadline-worker-"))
        stack.callback(shutil.rmtree, scratch, ignore_errors=True)
        parser = open_parser(scratch, settings.parser_isolation)
        stack.callback(parser.close)
        answers = stack.enter_context(open_answers(parts)) if open_answers else None
        process = WorkerProcess(
            parts,
            parser,
            stopping=stopping,
            ring=ring,
            slice_seconds=_SLICE * settings.task_seconds,
            retention=settings.retention,
            answers=answers,
        )
        stack.callback(process.close)
        yield process
