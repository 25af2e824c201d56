"""The composition root of a cluster's API, and of the answering in its workers, which run elsewhere."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial

from api.answering import make_answering, open_reranking
from api.identity_provider import open_tokens
from api.language_model import model_costs, open_language_model
from api.metering import open_meter, quota_defaults
from api.services import DEFAULT_TENANT, Services
from api.settings import Settings
from api.settings_record import record_settings
from ingest.catalog.database import open_database, ping
from ingest.catalog.identities import Identities
from ingest.intake import Intake
from ingest.tables import RecordTables
from retrieval.models.store import ModelStore
from retrieval.query_cache import CachedSearcher
from retrieval.search import Searcher
from retrieval.visibility import KeptVisibility
from rlm.answering import Answering, LanguageModel
from rlm.build import Parts as AnswerParts
from rlm.llm.scheduler import SubCallScheduler
from rlm.rewriting import ModelRewriter
from rlm.sandbox.build import build_sandbox
from rlm.tables.sql import SqlEngine
from workers.access import ReadersWriter
from workers.cluster import OpenAnswers, OpenEncoders, Parts, configured_encoders, open_parts
from workers.deletion import Deleter
from workers.enqueue.celery_app import make_app
from workers.enqueue.celery_doorbell import CeleryDoorbell
from workers.settings import ClusterSettings


@contextmanager
def open_cluster(
    settings: Settings,
    cluster: ClusterSettings,
    *,
    open_encoders: OpenEncoders = configured_encoders,
    language_model: LanguageModel | None = None,
) -> Iterator[Services]:
    """Open the services of one API process; any number of them may run on the same servers.

    Raises errors that keep it from starting, in words. The broker may be away: uploads are still accepted.
    """
    with ExitStack() as stack:
        defaults = quota_defaults(settings)
        parts = stack.enter_context(
            open_parts(
                cluster,
                open_encoders=open_encoders,
                tenant_quotas=defaults["tenant_defaults"],
                key_quotas=defaults["key_defaults"],
            )
        )
        parts.catalog.ensure_tenant(DEFAULT_TENANT)
        record_settings(parts.audit, "api", settings, cluster)
        doorbell = CeleryDoorbell(make_app(cluster.redis_url.get_secret_value()))
        stack.callback(doorbell.close)
        asking = stack.enter_context(_asking(settings, parts, language_model))
        # Keys and health have connections of their own, so that they never wait for one behind work.
        door = open_database(cluster.database_url.get_secret_value(), pool_size=4)
        stack.callback(door.dispose)
        identities = Identities.of(door)
        services = Services(
            settings=settings,
            catalog=parts.catalog,
            jobs=parts.jobs,
            runs=parts.runs,
            identities=identities,
            tokens=open_tokens(settings, identities),
            audit=parts.audit,
            batches=parts.batches,
            conversations=parts.conversations,
            feed=parts.feed,
            blobs=parts.blobs,
            texts=parts.texts,
            record_tables=RecordTables(parts.blobs),
            intake=Intake(
                parts.catalog,
                parts.blobs,
                parts.batches,
                max_bytes=settings.max_upload_bytes,
                backlog=parts.jobs.backlog,
                max_backlog=settings.max_backlog,
                quotas=parts.quotas,
            ),
            searcher=asking.searcher,
            rewriter=asking.rewriter,
            meter=open_meter(settings, parts.quotas, stack, redis_url=cluster.redis_url.get_secret_value()),
            answering=asking.answering,
            model_costs=model_costs(settings),
            doorbell=doorbell,
            require_index=parts.generations.require_ready,
            notices=parts.installation.notices,
            ping=partial(ping, door),
            delete=Deleter(parts.catalog, parts.generations, parts.texts, parts.blobs).delete,
            settle=ReadersWriter(parts.catalog, parts.generations).settle,
        )
        try:
            yield services
        finally:
            services.accepting = False


def cluster_answers(settings: Settings, *, language_model: LanguageModel | None = None) -> OpenAnswers:
    """Return how a worker opens its answering for background runs: as the API does."""

    @contextmanager
    def open_answers(parts: Parts) -> Iterator[Answering]:
        with _asking(settings, parts, language_model) as asking:
            yield asking.answering

    return open_answers


@dataclass(frozen=True)
class _Asking:
    """The searcher and the answering of a process."""

    searcher: CachedSearcher
    rewriter: ModelRewriter
    answering: Answering


@contextmanager
def _asking(settings: Settings, parts: Parts, language_model: LanguageModel | None) -> Iterator[_Asking]:
    """Open them; a given language model is closed with the rest."""
    with ExitStack() as stack:
        models = ModelStore(settings.models)
        language_model = language_model or open_language_model(settings, models)
        stack.callback(language_model.close)
        sub_calls = SubCallScheduler(parts.replies)
        stack.callback(sub_calls.close)
        sandbox = build_sandbox(settings.sandbox)
        stack.callback(sandbox.close)
        reranking = open_reranking(settings, models)
        if reranking is not None:
            stack.callback(reranking.close)
        tables = RecordTables(parts.blobs)
        bare = Searcher(parts.generations, parts.sparse, KeptVisibility(parts.catalog), parts.texts, reranking, tables)
        searcher = CachedSearcher(bare, parts.catalog, max_bytes=settings.query_cache_bytes)
        making = AnswerParts(
            parts.catalog,
            parts.texts,
            tables,
            SqlEngine(),
            sub_calls,
            parts.generations.encoder(),
            sandbox,
            parts.replies,
            parts.catalog,
        )
        yield _Asking(
            searcher,
            ModelRewriter(language_model, sub_calls),
            make_answering(settings, searcher, language_model, making, stack),
        )
