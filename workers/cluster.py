"""The components that every process of a cluster opens, and the worker process that uses them."""

import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from pathlib import Path

import structlog

from ingest.parsing.isolation.sandbox import ParserSandbox
from ingest.parsing.isolation.settings import ParserSettings
from ingest.parsing.types import DEFAULT_ENTRY_LIMITS, EntryLimits
from ingest.resumable import expire_uploads
from ingest.storage.blobs.opening import open_blobs
from ingest.storage.instrumentation import reach_fault_point
from ingest.storage.jobs.jobs import Jobs
from ingest.storage.operations.retention import Retention
from ingest.storage.queue.records import JobKind, Lane
from ingest.storage.quotas.records import Quota
from ingest.storage.webhooks.records import WebhookSettings
from retrieval import build
from retrieval.encoders.registry import Encoders
from retrieval.models.store import ModelStore
from workers.job_runner import JobRunner
from workers.parts import ServiceComponents, open_service_components
from workers.settings import ClusterSettings
from workers.tasks.access import ReaderSync
from workers.tasks.deletion import CollectTask
from workers.tasks.embed import EmbedTask
from workers.tasks.ingest import IngestTask
from workers.tasks.run import RunAnswerer, RunTask
from workers.tasks.sync import SyncTask
from workers.tasks.turns import FIRST_TRY_SECONDS
from workers.upkeep.cards import CardFiller
from workers.upkeep.digests import DigestFiller
from workers.upkeep.webhooks import WebhookSender

log = structlog.get_logger(__name__)

OpenEncoders = Callable[[ClusterSettings], Encoders]
OpenParser = Callable[[Path, ParserSettings], ParserSandbox]

# Fraction of its time limit after which a task stops and requests another task, so that no step comes close to the
# limit. The second limit, in seconds, ensures that other kinds of work get their turn in this process.
_SLICE_SHARE = 0.25
_MAX_SLICE_SECONDS = 15.0
# Pause when no document is waiting to be described.
_DESCRIBE_PAUSE_SECONDS = 2.0
# The time spent on missing digests, and on missing cards, in each sweep. Sweeps run every few seconds.
_FILL_SECONDS = 0.5


# Describes one document, and returns whether to go on at once. Its argument returns whether the process is stopping.
DescribeNext = Callable[[Callable[[], bool]], bool]
OpenDescriber = Callable[[ServiceComponents], AbstractContextManager[DescribeNext]]
OpenSyncTask = Callable[[ServiceComponents], AbstractContextManager[SyncTask]]
OpenAnswers = Callable[[ServiceComponents], AbstractContextManager[RunAnswerer]]


def open_configured_encoders(settings: ClusterSettings) -> Encoders:
    """Open the encoders named in the settings, and Leadline's built-in encoders."""
    return build.build_encoders(ModelStore(settings.models), settings)


def open_sandboxed_parser(scratch: Path, settings: ParserSettings) -> ParserSandbox:
    return ParserSandbox(settings.parser_limits, scratch_folder=scratch, isolation=settings.parser_isolation)


@contextmanager
def open_cluster_components(
    settings: ClusterSettings,
    *,
    open_encoders: OpenEncoders = open_configured_encoders,
    is_serving: bool = True,
    tenant_quotas: Mapping[Quota, int] | None = None,
    key_quotas: Mapping[Quota, int] | None = None,
    read_seconds: float | None = None,
) -> Iterator[ServiceComponents]:
    """Open the components of a cluster process.

    Raises an error if the process cannot serve, for example because a server is unreachable or the index belongs to
    another encoder. If `is_serving` is false, as for repairs, indexes are opened on demand and may belong to any
    encoder. A process that people wait for sets `read_seconds`, as `open_database` does.
    """
    if settings.vector_server_warning:
        log.warning(settings.vector_server_warning)
    key = settings.qdrant_api_key.get_secret_value() if settings.qdrant_api_key else None
    # Commands such as `leadline backup` import this module even if the extra `cluster` is not installed.
    from ingest.storage.feed.redis_feed import RedisFeed

    with ExitStack() as stack:
        feed = RedisFeed(settings.redis_url.get_secret_value())
        stack.callback(feed.close)
        parts = stack.enter_context(
            open_service_components(
                settings.database_url.get_secret_value(),
                feed,
                partial(
                    open_blobs, settings, settings.home, min_free_bytes=settings.min_free_bytes, is_serving=is_serving
                ),
                lambda: open_encoders(settings),
                partial(build.build_server_store, settings.qdrant_url, api_key=key, settings=settings.vector_server),
                encoder=settings.encoder,
                upkeep_limits=settings.upkeep_limits,
                is_serving=is_serving,
                lease_seconds=settings.lease_seconds,
                tenant_quotas=tenant_quotas,
                key_quotas=key_quotas,
                read_seconds=read_seconds,
                # With a bucket, the processes need not share a data folder.
                source_cipher=settings.build_source_cipher(settings.home if settings.blobs == "folder" else None),
            )
        )
        if is_serving:
            parts.index.generations.open_active_generation()
            parts.index_checks.check_opened_index()
        parts.rounds.restore_claimed_files()
        yield parts


class WorkerProcess:
    """A worker process with its tasks, the leases that it extends, and the time slices in which tasks run."""

    def __init__(
        self,
        components: ServiceComponents,
        parser: ParserSandbox,
        *,
        should_stop: Callable[[], bool],
        notify: Callable[[JobKind], None],
        slice_seconds: float,
        retention: Retention,
        webhooks: WebhookSettings,
        run_answerer: RunAnswerer | None = None,
        entry_capacity: EntryLimits = DEFAULT_ENTRY_LIMITS,
        first_try_seconds: float = FIRST_TRY_SECONDS,
        serves_embeddings: bool = False,
        describe_next: DescribeNext | None = None,
        sync_task: SyncTask | None = None,
    ) -> None:
        """Start extending leases, and describing documents if `describe_next` is given.

        `serves_embeddings` is true if this process also serves the embedding queue.
        """
        stores = components.stores
        self._parts = components
        self._embeds = serves_embeddings
        self._stopping = should_stop
        self._ring = notify
        self._slice_seconds = slice_seconds
        self._retention = retention
        self._webhooks = WebhookSender(stores.events.outbox, webhooks)
        self._slice_end = 0.0
        contents = stores.contents
        self._digests = DigestFiller(contents.digests, contents.blobs)
        self._cards = CardFiller(contents.cards, contents.blobs, contents.digests, components.index.sparse)
        deps = components.build_worker_deps()
        self._runner = JobRunner(
            stores.jobs,
            IngestTask(deps, parser, entry_capacity=entry_capacity, first_try_seconds=first_try_seconds),
            EmbedTask(deps),
            CollectTask(deps),
            should_stop=should_stop,
            is_slice_over=lambda: time.monotonic() > self._slice_end,
            run_task=RunTask(stores.jobs, stores.answers.run_log, run_answerer) if run_answerer else None,
            sync_task=sync_task,
        )
        self._closing = threading.Event()
        self._threads = [threading.Thread(target=self._run_heartbeat, name="leases", daemon=True)]
        if describe_next is not None:
            describe = partial(self._run_descriptions, describe_next)
            self._threads.append(threading.Thread(target=describe, name="descriptions", daemon=True))
        for thread in self._threads:
            thread.start()

    @property
    def jobs(self) -> Jobs:
        return self._parts.stores.jobs

    def run_jobs(self, kind: JobKind) -> int:
        """Run jobs of a kind until none is waiting, the slice ends or the worker stops. Return the number of jobs."""
        self._slice_end = time.monotonic() + self._slice_seconds
        reach_fault_point("look.began")
        finished = 0
        while not self._stopping():
            if kind is not JobKind.COLLECT and not self._parts.stores.contents.blobs.has_processing_space():
                log.warning("jobs not claimed: disk nearly full", kind=kind)
                break
            if kind is JobKind.INGEST and self._embeds and not self.jobs.has_quick_job(kind):
                # The next document may occupy this process for minutes. Without a break before it, small documents
                # would have to wait that long for their vectors.
                self._runner.run_once(JobKind.EMBED, {Lane.QUICK})
            if not (count := self._runner.run_once(kind)):
                break
            finished += count
            if kind is JobKind.INGEST:
                self._ring(JobKind.EMBED)
            if kind is JobKind.SYNC:
                self._ring(JobKind.INGEST)
            if time.monotonic() > self._slice_end:
                self._ring(kind)
                break
        return finished

    def remove_tenants(self) -> None:
        """Run one removal step for each deleted tenant."""
        self._parts.stores.operations.tenant_removal.run_removal_step()

    def queue_due_syncs(self) -> None:
        """Queue the synchronizations of sources that are due."""
        self._parts.stores.sources.sources.queue_due_syncs()

    def complete_earlier_versions(self) -> None:
        """Spend a short time adding digests and cards to documents of earlier releases."""
        self._digests.run_step(_FILL_SECONDS)
        self._cards.run_step(_FILL_SECONDS)

    def clean_up(self) -> None:
        """Remove expired records.

        If the index is available, also repair it and remove unused content.
        """
        parts, stores = self._parts, self._parts.stores
        ReaderSync(stores.documents.catalog, parts.index.generations).sync_all_documents()
        stores.operations.expiry.delete_expired_records(self._retention)
        stores.operations.object_expiry.delete_expired_objects()
        expire_uploads(stores.documents.partial_uploads, stores.contents.blobs)
        parts.index_checks.check_replicas()
        if not parts.index_checks.check_index().lost:
            parts.rounds.clean_up()

    def send_webhooks(self) -> None:
        """Send due webhook messages for up to one time slice."""
        end = time.monotonic() + self._slice_seconds
        while self._webhooks.send_due_messages() and not self._stopping() and time.monotonic() < end:
            pass

    def close(self) -> None:
        self._closing.set()
        for thread in self._threads:
            thread.join(timeout=2.0)

    def _run_heartbeat(self) -> None:
        while not self._closing.wait(self.jobs.lease_seconds / 3):
            try:
                self._runner.extend_leases()
            # The database may be unreachable for a moment, and the next heartbeat may succeed before the leases lapse.
            except Exception as error:  # noqa: BLE001 - a heartbeat must not end for any reason
                log.warning("leases not extended", error=repr(error))

    def _run_descriptions(self, describe_next: DescribeNext) -> None:
        while not self._closing.is_set():
            try:
                goes_on = describe_next(self._closing.is_set)
            except Exception as error:  # noqa: BLE001 - the database may be unreachable for a moment
                log.warning("document not described", error=repr(error))
                goes_on = False
            if not goes_on:
                self._closing.wait(_DESCRIBE_PAUSE_SECONDS)


@contextmanager
def open_worker_process(
    settings: ClusterSettings,
    *,
    stopping: Callable[[], bool],
    ring: Callable[[JobKind], None],
    open_encoders: OpenEncoders = open_configured_encoders,
    open_parser: OpenParser = open_sandboxed_parser,
    open_answers: OpenAnswers | None = None,
    open_describer: OpenDescriber | None = None,
    open_sync_task: OpenSyncTask | None = None,
    embeds: bool = False,
) -> Iterator[WorkerProcess]:
    """Open a worker process. Without `open_answers`, it does not process runs.

    Without `open_describer`, it describes no documents; without `open_sync_task`, it synchronizes no sources.
    """
    with ExitStack() as stack:
        parts = stack.enter_context(open_cluster_components(settings, open_encoders=open_encoders))
        scratch = Path(tempfile.mkdtemp(prefix="leadline-worker-"))
        stack.callback(shutil.rmtree, scratch, ignore_errors=True)
        parser = open_parser(scratch, settings)
        stack.callback(parser.close)
        answers = stack.enter_context(open_answers(parts)) if open_answers else None
        describe_next = stack.enter_context(open_describer(parts)) if open_describer else None
        sync_task = stack.enter_context(open_sync_task(parts)) if open_sync_task else None
        process = WorkerProcess(
            parts,
            parser,
            should_stop=stopping,
            notify=ring,
            slice_seconds=min(_MAX_SLICE_SECONDS, _SLICE_SHARE * settings.task_seconds),
            retention=settings.retention,
            webhooks=settings,
            run_answerer=answers,
            entry_capacity=settings.entry_limits,
            first_try_seconds=settings.first_try_seconds,
            serves_embeddings=embeds,
            describe_next=describe_next,
            sync_task=sync_task,
        )
        stack.callback(process.close)
        yield process
