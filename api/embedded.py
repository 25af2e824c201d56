"""The embedded deployment's composition root: opens every part in one process, and closes them in order."""

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

import structlog

from api.answering import make_answering, open_reranking
from api.identity_provider import open_tokens
from api.language_model import model_costs, open_language_model
from api.metering import open_meter, quota_defaults
from api.services import DEFAULT_TENANT, Services
from api.settings import Settings
from api.settings_record import record_settings
from ingest.blobs import DirectoryBlobs
from ingest.catalog.audit import Audit
from ingest.catalog.batches import Batches
from ingest.catalog.catalog import Catalog
from ingest.catalog.conversations import Conversations
from ingest.catalog.database import open_database, ping, sqlite_url
from ingest.catalog.generations import GenerationRecords
from ingest.catalog.identities import Identities
from ingest.catalog.installation import InstallationRecord
from ingest.catalog.jobs import Jobs
from ingest.catalog.keys import ApiKeys
from ingest.catalog.leftovers import Leftovers
from ingest.catalog.quotas import Quotas
from ingest.catalog.replies import Replies
from ingest.catalog.retention import Expiry
from ingest.catalog.run_log import RunLog
from ingest.catalog.runs import Runs
from ingest.catalog.tenant_data import TenantData, TenantRemoval
from ingest.errors import DataFolderBusyError
from ingest.feed import LocalFeed
from ingest.installation import refuse_foreign, tie
from ingest.intake import Intake
from ingest.parsing.sandbox import ParserSandbox
from ingest.tables import RecordTables
from ingest.texts import Texts
from retrieval import build
from retrieval.embedding import Embedder
from retrieval.encoders import Encoders, only
from retrieval.generations import require_fit
from retrieval.models.store import ModelStore
from retrieval.open_generations import OpenGenerations
from retrieval.query_cache import CachedSearcher
from retrieval.search import Searcher
from retrieval.visibility import KeptVisibility
from rlm.answering import LanguageModel
from rlm.build import Parts
from rlm.llm.scheduler import SubCallScheduler
from rlm.rewriting import ModelRewriter
from rlm.sandbox.build import build_sandbox
from rlm.tables.sql import SqlEngine
from workers.access import ReadersWriter
from workers.deletion import CollectTask, Deleter
from workers.embed_task import EmbedTask
from workers.enqueue import ThreadDoorbell
from workers.generation_builder import open_builder
from workers.ingest_task import IngestTask
from workers.leftovers import LeftoverRounds
from workers.run_task import RunTask
from workers.threads import WorkerThreads
from workers.upkeep import reconcile
from workers.worker_deps import WorkerDeps

log = structlog.get_logger(__name__)


@contextmanager
def open_embedded(
    settings: Settings,
    *,
    encoder: Embedder | None = None,
    encoders: Encoders | None = None,
    language_model: LanguageModel | None = None,
) -> Iterator[Services]:
    """Open all parts on one data folder. Raises errors that keep a service from starting, in words.

    The folder belongs to this process alone until the block ends. An encoder, or several, or a language model may be
    given instead of those the settings name; they are closed with the rest.
    """
    with ExitStack() as stack:
        stack.enter_context(owned(settings.home))
        models = ModelStore(settings.models)
        encoders = encoders or (only(encoder) if encoder else build.encoders(models, settings))
        language_model = language_model or open_language_model(settings, models)
        stack.callback(language_model.close)
        services, workers = _assemble(settings, encoders, language_model, stack)
        workers.start()
        try:
            yield services
        finally:
            services.accepting = False
            workers.stop()


@dataclass(frozen=True)
class OpenCatalog:
    """The catalog alone, beside a running service if there is one: for identities, queues and kept replies."""

    catalog: Catalog
    jobs: Jobs
    identities: Identities
    replies: Replies
    quotas: Quotas
    audit: Audit
    tenants: TenantData

    @property
    def keys(self) -> ApiKeys:
        return self.identities.keys


@contextmanager
def open_catalog(
    home: Path, *, database_url: str | None = None, settings: Settings | None = None
) -> Iterator[OpenCatalog]:
    """Open the catalog of the named cluster database, or else of the data folder; closed at the end of the block.

    The settings have the defaults of quotas. Raises `InstallationMismatchError` if the blobs in `home` belong to
    another installation; no home is no check.
    """
    if database_url is None:
        home.mkdir(parents=True, exist_ok=True)
        database_url = sqlite_url(home / "catalog.sqlite")
    engine = open_database(database_url)
    try:
        if home != Path():
            refuse_foreign(InstallationRecord(engine), home / "blobs")
        catalog = Catalog(engine)
        catalog.ensure_tenant(DEFAULT_TENANT)
        quotas = Quotas(engine, **quota_defaults(settings)) if settings else Quotas(engine)
        yield OpenCatalog(
            catalog, Jobs(engine), Identities.of(engine), Replies(engine), quotas, Audit(engine), TenantData(engine)
        )
    finally:
        engine.dispose()


@contextmanager
def owned(home: Path) -> Iterator[None]:
    """Hold the data folder's lock. Raises `DataFolderBusyError` while another process has it."""
    home.mkdir(parents=True, exist_ok=True)
    with (home / "lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DataFolderBusyError(f"Leadline process {_owner(lock)} has the data folder {home} open.") from error
        lock.truncate(0)
        lock.write(json.dumps({"pid": os.getpid()}))
        lock.flush()
        yield


def owner(home: Path) -> int | None:
    """Return the process that has the data folder open; None if no living one does."""
    try:
        with (home / "lock").open() as lock:
            pid = int(_owner(lock))
        os.kill(pid, 0)
    except (OSError, ValueError):
        return None
    return pid


def _assemble(
    settings: Settings, encoders: Encoders, language_model: LanguageModel, stack: ExitStack
) -> tuple[Services, WorkerThreads]:
    home = settings.home
    url = sqlite_url(home / "catalog.sqlite")
    engine = open_database(url)
    stack.callback(engine.dispose)
    feed = LocalFeed()
    quotas = Quotas(engine, **quota_defaults(settings))
    catalog = Catalog(engine, announce=feed.announce, quotas=quotas.rules)
    jobs = Jobs(engine, announce=feed.announce, quotas=quotas.rules)
    batches = Batches(engine, announce=feed.announce)
    catalog.ensure_tenant(DEFAULT_TENANT)
    blobs = DirectoryBlobs(home / "blobs", min_free_bytes=settings.min_free_bytes)
    record = InstallationRecord(engine)
    installation = tie(record, blobs)
    blobs.discard_unfinished()
    texts = Texts(blobs)

    sparse = build.sparse_encoder()
    audit = Audit(engine)
    record_settings(audit, "embedded", settings)
    records = GenerationRecords(engine)
    first = encoders.named(settings.encoder)
    active = records.ensure_first(first.fingerprint, sparse.fingerprint, first.dimension)
    require_fit(active, encoders, sparse, chosen=settings.encoder)
    crashed = _mark_unclean(home, stack)
    generations = OpenGenerations(records, build.embedded_indexes(home, installation), encoders, sparse)
    stack.callback(generations.close)
    generations.open()
    if crashed:
        with generations.active() as made:
            behind = reconcile(catalog, jobs, made.index)
        catalog.unsettle()
        log.info("the last process ended without closing", versions_indexed_again=len(behind))
    rounds = LeftoverRounds(record, Leftovers(engine), generations, blobs, texts, settings.upkeep_limits)
    if crashed or rounds.due:
        rounds.run()
    recovered = jobs.recover(all_running=True)
    if recovered:
        log.info("jobs queued again after the last process ended", jobs=recovered)

    scratch = home / "scratch"
    shutil.rmtree(scratch, ignore_errors=True)  # files left by a killed process
    scratch.mkdir()
    deps = WorkerDeps(catalog, jobs, blobs, texts, generations, sparse, blobs.path)

    def ingest_task() -> IngestTask:
        parser = ParserSandbox(scratch=scratch, isolation=settings.parser_isolation)
        stack.callback(parser.close)
        return IngestTask(deps, parser)

    doorbell = ThreadDoorbell()
    reranking = open_reranking(settings, ModelStore(settings.models))
    if reranking is not None:
        stack.callback(reranking.close)
    bare = Searcher(generations, sparse, KeptVisibility(catalog), texts, reranking)
    searcher = CachedSearcher(bare, catalog, max_bytes=settings.query_cache_bytes)
    replies = Replies(engine)
    sub_calls = SubCallScheduler(replies)
    stack.callback(sub_calls.close)
    sandbox = build_sandbox(settings.sandbox)
    stack.callback(sandbox.close)
    tables = RecordTables(blobs)
    parts = Parts(catalog, texts, tables, SqlEngine(), sub_calls, generations.encoder(), sandbox, replies, catalog)
    conversations, expiry = Conversations(engine), Expiry(engine)
    answering = make_answering(settings, searcher, language_model, parts, stack)
    readers_writer = ReadersWriter(catalog, generations)
    workers = WorkerThreads(
        jobs,
        [ingest_task()],
        EmbedTask(deps),
        CollectTask(deps),
        doorbell,
        has_room=blobs.has_room_to_work,
        answer=RunTask(jobs, RunLog(engine, announce=feed.announce), answering),
        runs_at_once=settings.runs_at_once,
        tidy=lambda: expiry.forget(settings.retention),
        remove_tenants=TenantRemoval(engine).step,
        step_seconds=settings.task_seconds,
        another_ingest=ingest_task,
        settle=readers_writer.settle_all,
        open_builder=lambda stopping, slice_over: open_builder(records, deps, stopping, slice_over)[0],
    )
    # Keys and health have connections of their own, so that they never wait for one behind work.
    door = open_database(url, pool_size=4)
    stack.callback(door.dispose)
    identities = Identities.of(door)
    services = Services(
        settings=settings,
        catalog=catalog,
        jobs=jobs,
        identities=identities,
        tokens=open_tokens(settings, identities),
        audit=audit,
        batches=batches,
        conversations=conversations,
        feed=feed,
        runs=Runs(engine, announce=feed.announce, quotas=quotas.rules),
        blobs=blobs,
        texts=texts,
        record_tables=tables,
        intake=Intake(
            catalog,
            blobs,
            batches,
            max_bytes=settings.max_upload_bytes,
            backlog=jobs.backlog,
            max_backlog=settings.max_backlog,
            quotas=quotas,
        ),
        searcher=searcher,
        rewriter=ModelRewriter(language_model, sub_calls),
        answering=answering,
        meter=open_meter(settings, quotas, stack),
        model_costs=model_costs(settings),
        doorbell=doorbell,
        delete=Deleter(catalog, generations, texts, blobs).delete,
        settle=readers_writer.settle,
        require_index=generations.require_ready,
        notices=record.notices,
        ping=partial(ping, door),
    )
    return services, workers


def _mark_unclean(home: Path, stack: ExitStack) -> bool:
    """Leave a marker that is only removed by an orderly end, after everything opened later was closed well.

    Return True if there was one already, which means a crash.
    """
    marker = home / "unclean"
    crashed = marker.exists()
    marker.touch()

    def remove(kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            marker.unlink()

    stack.push(remove)
    return crashed


def _owner(lock: IO[str]) -> str:
    lock.seek(0)
    try:
        return str(json.loads(lock.read())["pid"])
    except (ValueError, KeyError):
        return "(starting)"
