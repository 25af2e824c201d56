"""The composition root of a cluster's API processes, and of the workers' answering services."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from api.admission.services import DEFAULT_TENANT, AnswerService, QueryServices, Services
from api.build.composition import (
    build_description_filler,
    build_services,
    build_sync_task,
    open_query_services,
    parse_quota_defaults,
)
from api.build.language_model import open_language_model
from api.settings.record import record_settings
from api.settings.settings import Settings
from ingest.storage.documents.cards.records import DescribeMode
from retrieval.models.store import ModelStore
from rlm.describing import ModelDescriber
from rlm.llm.port import LanguageModel
from rlm.llm.scheduler import SubCallScheduler
from workers.cluster import (
    DescribeNext,
    OpenAnswers,
    OpenDescriber,
    OpenEncoders,
    OpenSyncTask,
    open_cluster_components,
    open_configured_encoders,
)
from workers.enqueue.celery_app import create_celery_app
from workers.enqueue.celery_doorbell import CeleryNotifier
from workers.parts import ServiceComponents
from workers.settings import ClusterSettings
from workers.tasks.sync import SyncTask


@contextmanager
def open_cluster_services(
    settings: Settings,
    cluster: ClusterSettings,
    *,
    open_encoders: OpenEncoders = open_configured_encoders,
    language_model: LanguageModel | None = None,
) -> Iterator[Services]:
    """Open the services of one API process. Any number of processes may share the same servers.

    If startup is impossible, raises errors with user-facing messages. The broker does not have to be available, because
    uploads are accepted without it.
    """
    with ExitStack() as stack:
        defaults = parse_quota_defaults(settings)
        parts = stack.enter_context(
            open_cluster_components(
                cluster,
                open_encoders=open_encoders,
                tenant_quotas=defaults["tenant_defaults"],
                key_quotas=defaults["key_defaults"],
                read_seconds=cluster.database_read_seconds,
            )
        )
        parts.stores.documents.catalog.ensure_tenant(DEFAULT_TENANT)
        record_settings(parts.stores.events.audit, "api", settings, cluster)
        doorbell = CeleryNotifier(create_celery_app(cluster.redis_url.get_secret_value()))
        stack.callback(doorbell.close)
        services = build_services(
            settings,
            parts,
            _open_query_services(settings, parts, language_model, stack),
            doorbell,
            stack,
            database_url=cluster.database_url.get_secret_value(),
            redis_url=cluster.redis_url.get_secret_value(),
            read_seconds=cluster.database_read_seconds,
        )
        services.more_settings = (cluster,)
        try:
            yield services
        finally:
            services.accepting = False


def build_answer_service_opener(settings: Settings, *, language_model: LanguageModel | None = None) -> OpenAnswers:
    """Return a function that opens the answering services for a worker's background runs, configured like the API's."""

    @contextmanager
    def open_answer_service(components: ServiceComponents) -> Iterator[AnswerService]:
        with ExitStack() as stack:
            yield _open_query_services(settings, components, language_model, stack).answering

    return open_answer_service


def build_sync_task_opener(settings: Settings) -> OpenSyncTask:
    """Return a function that opens the task with which a worker synchronizes sources."""

    @contextmanager
    def open_sync_task(components: ServiceComponents) -> Iterator[SyncTask]:
        with tempfile.TemporaryDirectory(prefix="leadline-sources-") as scratch:
            yield build_sync_task(settings, components, Path(scratch))

    return open_sync_task


def build_describer_opener(settings: Settings, *, language_model: LanguageModel | None = None) -> OpenDescriber | None:
    """Return a function that opens the description of documents in a worker, or None if the settings permit none."""
    if settings.describe is DescribeMode.OFF:
        return None

    @contextmanager
    def open_describer(components: ServiceComponents) -> Iterator[DescribeNext]:
        with ExitStack() as stack:
            model = language_model or open_language_model(settings, ModelStore(settings.models))
            stack.callback(model.close)
            sub_calls = SubCallScheduler(components.stores.answers.replies)
            stack.callback(sub_calls.close)
            yield build_description_filler(settings, components, ModelDescriber(model, sub_calls)).run_step

    return open_describer


def _open_query_services(
    settings: Settings, components: ServiceComponents, language_model: LanguageModel | None, stack: ExitStack
) -> QueryServices:
    """Open the search and answering services. A given language model is closed with `stack`."""
    language_model = language_model or open_language_model(settings, ModelStore(settings.models))
    stack.callback(language_model.close)
    return open_query_services(settings, components, language_model, stack)
