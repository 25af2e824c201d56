"""The composition root of the embedded deployment: opens all components in one process, and closes them in order."""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import structlog

from api.admission.services import DEFAULT_TENANT, Services
from api.build.composition import (
    build_description_filler,
    build_services,
    build_sync_task,
    open_query_services,
    parse_quota_defaults,
)
from api.build.data_folder import hold_data_folder
from api.build.language_model import open_language_model
from api.settings.record import record_settings
from api.settings.settings import CATALOG_NAME, Settings
from ingest.parsing.isolation.sandbox import ParserSandbox
from ingest.resumable import expire_uploads
from ingest.storage.accounts.keys import ApiKeys
from ingest.storage.answers.replies import Replies
from ingest.storage.audit.store import Audit
from ingest.storage.ballast import Ballast
from ingest.storage.blobs.opening import open_blobs
from ingest.storage.blobs.store import translate_disk_errors
from ingest.storage.build import AccountStores
from ingest.storage.db.database import build_sqlite_url, open_database
from ingest.storage.documents.cards.records import DescribeMode
from ingest.storage.documents.catalog import Catalog
from ingest.storage.documents.collections import Collections
from ingest.storage.documents.digests import ContentDigests
from ingest.storage.errors import StorageFullError
from ingest.storage.feed.feed import LocalFeed
from ingest.storage.jobs.jobs import Jobs
from ingest.storage.operations.installation import Installation, require_compatible_folder
from ingest.storage.operations.installation_record import InstallationRecord
from ingest.storage.operations.tenant_data import TenantData
from ingest.storage.quotas.store import Quotas
from ingest.storage.slack.store import SlackStore
from ingest.storage.slack.usage import ChannelUsage
from retrieval import build
from retrieval.encoders.port import Embedder
from retrieval.encoders.registry import Encoders, wrap_encoder
from retrieval.index.generations import IndexStore
from retrieval.models.store import ModelStore
from rlm.llm.port import LanguageModel
from workers.enqueue import ThreadNotifier
from workers.generations.builder import open_generation_builder
from workers.parts import ServiceComponents, open_service_components
from workers.tasks.access import ReaderSync
from workers.tasks.deletion import CollectTask
from workers.tasks.embed import EmbedTask
from workers.tasks.ingest import IngestTask
from workers.tasks.run import RunTask
from workers.threads import WorkerThreads
from workers.upkeep.cards import CardFiller
from workers.upkeep.digests import DigestFiller
from workers.upkeep.webhooks import WebhookSender

# Space that a start needs, in bytes. A start without schema migrations writes 0.4 MB.
_START_BYTES = 1024**2

log = structlog.get_logger(__name__)

# The maximum time spent on missing digests, and on missing cards, every 20 seconds: each a twentieth of one core at
# most.
_FILL_STEP_SECONDS = 1.0


@contextmanager
def open_embedded_services(
    settings: Settings,
    *,
    encoder: Embedder | None = None,
    encoders: Encoders | None = None,
    language_model: LanguageModel | None = None,
) -> Iterator[Services]:
    """Open all components for one data folder. If startup is impossible, raises errors with user-facing messages.

    The data folder is locked by this process until the block exits. A given encoder, set of encoders or language model
    replaces the configured one and is closed with the other components.
    """
    with ExitStack() as stack:
        stack.enter_context(hold_data_folder(settings.home))
        _require_free_space(settings.home)
        ballast = Ballast(settings.home, settings.ballast_bytes, min_free_bytes=settings.min_free_bytes)
        models = ModelStore(settings.models)
        encoders = encoders or (wrap_encoder(encoder) if encoder else build.build_encoders(models, settings))
        language_model = language_model or open_language_model(settings, models)
        stack.callback(language_model.close)
        with translate_disk_errors():
            services, workers = _assemble_services(settings, encoders, language_model, ballast, stack)
        ballast.refill()
        workers.start()
        try:
            yield services
        finally:
            services.accepting = False
            ballast.shrink()  # Free space, because closing the index writes its in-memory data to disk.
            workers.stop()


@dataclass(frozen=True)
class OpenCatalog:
    """The catalog without the other components, for commands. It can be opened while the service is running."""

    catalog: Catalog
    jobs: Jobs
    identities: AccountStores
    replies: Replies
    quotas: Quotas
    usage_by_channel: ChannelUsage
    audit: Audit
    tenants: TenantData
    slack: SlackStore
    installation: InstallationRecord
    digests: ContentDigests
    collections: Collections

    @property
    def keys(self) -> ApiKeys:
        return self.identities.keys


@contextmanager
def open_catalog(
    home: Path, *, database_url: str | None = None, settings: Settings | None = None
) -> Iterator[OpenCatalog]:
    """Open the catalog of a cluster's database or of a data folder. It is closed when the block exits.

    `settings` contains the default quotas. Raises `InstallationMismatchError` if the blobs in `home` belong to another
    installation; if `home` is empty, this is not checked.
    """
    if database_url is None:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        database_url = build_sqlite_url(home / CATALOG_NAME)
    engine = open_database(database_url)
    try:
        if home != Path() and (settings is None or settings.blobs == "folder"):
            require_compatible_folder(InstallationRecord(engine), home / "blobs")
        catalog = Catalog(engine)
        catalog.ensure_tenant(DEFAULT_TENANT)
        quotas = Quotas(engine, **parse_quota_defaults(settings)) if settings else Quotas(engine)
        yield OpenCatalog(
            catalog,
            Jobs(engine),
            AccountStores.from_engine(engine),
            Replies(engine),
            quotas,
            ChannelUsage(engine),
            Audit(engine),
            TenantData(engine),
            SlackStore(engine),
            InstallationRecord(engine),
            ContentDigests(engine),
            Collections(engine),
        )
    finally:
        engine.dispose()


def _require_free_space(home: Path) -> None:
    """Raise `StorageFullError` if the disk has too little space to start."""
    free = shutil.disk_usage(home).free
    if free < _START_BYTES:
        raise StorageFullError(
            f"The disk that contains the data folder {home} has {free:,} bytes free, "
            f"but starting requires {_START_BYTES:,}.",
            hint="Free space on that disk, then start again. Do not delete anything from the data folder by hand.",
        )


def _assemble_services(
    settings: Settings, encoders: Encoders, language_model: LanguageModel, ballast: Ballast, stack: ExitStack
) -> tuple[Services, WorkerThreads]:
    home = settings.home
    url = build_sqlite_url(home / CATALOG_NAME)
    defaults = parse_quota_defaults(settings)
    crashed = False

    def open_store(installation: Installation) -> IndexStore:
        nonlocal crashed
        crashed = _create_crash_marker(home, stack)  # From here on, a crash would leave work unfinished.
        reserve = settings.min_free_bytes if settings.ballast_bytes else None
        return build.build_embedded_store(home, installation, min_free_bytes=reserve)

    parts = stack.enter_context(
        open_service_components(
            url,
            LocalFeed(),
            partial(open_blobs, settings, home, min_free_bytes=settings.min_free_bytes, is_serving=True),
            lambda: encoders,
            open_store,
            encoder=settings.encoder,
            upkeep_limits=settings.upkeep_limits,
            tenant_quotas=defaults["tenant_defaults"],
            key_quotas=defaults["key_defaults"],
            source_cipher=settings.build_source_cipher(home),
        )
    )
    stores, generations = parts.stores, parts.index.generations
    jobs, blobs = stores.jobs, stores.contents.blobs
    stores.documents.catalog.ensure_tenant(DEFAULT_TENANT)
    blobs.discard_unfinished_uploads()
    record_settings(stores.events.audit, "embedded", settings)
    generations.open_active_generation()
    _recover_unfinished_work(parts, has_crashed=crashed)

    scratch = home / "scratch"
    shutil.rmtree(scratch, ignore_errors=True)  # Delete the temporary files of a process that was killed.
    scratch.mkdir()
    deps = parts.build_worker_deps()

    def build_ingest_task() -> IngestTask:
        parser = ParserSandbox(settings.parser_limits, scratch_folder=scratch, isolation=settings.parser_isolation)
        stack.callback(parser.close)
        return IngestTask(
            deps, parser, entry_capacity=settings.entry_limits, first_try_seconds=settings.first_try_seconds
        )

    doorbell, contents = ThreadNotifier(), stores.contents
    cards = CardFiller(contents.cards, blobs, contents.digests, parts.index.sparse)
    asking = open_query_services(settings, parts, language_model, stack)
    describer = None if settings.describe is DescribeMode.OFF else asking.describer
    workers = WorkerThreads(
        jobs,
        [build_ingest_task() for _ in range(settings.parsers)],
        EmbedTask(deps),
        CollectTask(deps),
        doorbell,
        has_free_space=blobs.has_processing_space,
        release_space=ballast.shrink,
        run_task=RunTask(jobs, stores.answers.run_log, asking.answering),
        max_concurrent_runs=settings.runs_at_once,
        sync_task=build_sync_task(settings, parts, scratch),
        clean_up=partial(_delete_expired_data, settings, parts),
        remove_tenants=stores.operations.tenant_removal.run_removal_step,
        send_webhooks=WebhookSender(stores.events.outbox, settings).send_due_messages,
        describe_next=build_description_filler(settings, parts, describer).run_step if describer else None,
        step_seconds=settings.task_seconds,
        make_ingest_task=build_ingest_task,
        catch_up=partial(_run_periodic_work, parts, DigestFiller(contents.digests, blobs), cards, ballast),
        should_build_first=generations.is_index_lost,
        open_builder=lambda stopping, slice_over: open_generation_builder(
            stores.generations.records, deps, stopping, slice_over
        )[0],
    )
    return build_services(settings, parts, asking, doorbell, stack, database_url=url, ballast=ballast), workers


def _recover_unfinished_work(components: ServiceComponents, *, has_crashed: bool) -> None:
    """Finish or requeue the unfinished work of the previous process. If it crashed, run additional checks."""
    if has_crashed:
        log.info("last process did not shut down cleanly")
        components.stores.documents.catalog.mark_readers_unsynced()
    components.index_checks.check_opened_index(after_crash=has_crashed)
    if (has_crashed or components.rounds.is_due) and not components.index.generations.is_index_lost():
        components.rounds.clean_up()
    recovered = components.stores.jobs.requeue_lost_jobs(include_all_running=True)
    if recovered:
        log.info("jobs of the last process requeued", jobs=recovered)
    components.stores.answers.interrupted.release_all()


def _run_periodic_work(
    components: ServiceComponents, digests: DigestFiller, cards: CardFiller, ballast: Ballast
) -> None:
    """Refill the ballast, queue due synchronizations, update readers in the index, and complete earlier versions.

    Also checks a newly activated index.
    """
    ballast.refill()
    components.stores.sources.sources.queue_due_syncs()
    ReaderSync(components.stores.documents.catalog, components.index.generations).sync_all_documents()
    components.index_checks.check_unchecked_generation()
    digests.run_step(_FILL_STEP_SECONDS)
    cards.run_step(_FILL_STEP_SECONDS)


def _create_crash_marker(home: Path, stack: ExitStack) -> bool:
    """Create a marker file. Return True if it already existed, which means that the previous process crashed.

    Only a clean shutdown removes the marker file, after closing everything that was opened later.
    """
    marker = home / "unclean"
    crashed = marker.exists()
    marker.touch()

    def remove_marker(kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            marker.unlink()

    stack.push(remove_marker)
    return crashed


def _delete_expired_data(settings: Settings, components: ServiceComponents) -> None:
    """Delete expired data, and check the index against the catalog."""
    components.stores.operations.expiry.delete_expired_records(settings.retention)
    components.stores.operations.object_expiry.delete_expired_objects()
    expire_uploads(components.stores.documents.partial_uploads, components.stores.contents.blobs)
    components.index_checks.check_index()
