"""Builds the services of a process from its components, in the same way for every deployment."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from api.admission.meter import Meter
from api.admission.request_rates import RequestRateLimiter
from api.admission.services import Admission, DocumentServices, Health, QueryServices, Services
from api.build.language_model import has_priced_model, is_model_free, open_configured_reranker, open_helper_models
from api.documents.page_images import PageImageRenderer
from api.languages.phrasing import phrase_for_question
from api.settings.oidc import OidcSettings
from api.settings.settings import Settings
from api.settings.source_context import build_source_context
from ingest.file_intake import FileIntake
from ingest.intake import Intake
from ingest.resumable import ResumableUploads
from ingest.sources.opening import SourceOpener
from ingest.sources.registry import SOURCE_KINDS
from ingest.sources.syncing import SourceSynchronizer
from ingest.storage.ballast import Ballast
from ingest.storage.build import AccountStores, SlackStores
from ingest.storage.db.database import check_database, open_database
from ingest.storage.errors import LeadlineError
from ingest.storage.idempotency import IdempotencyKeys
from ingest.storage.quotas.records import Quota, parse_quotas
from ingest.storage.quotas.store import Quotas
from retrieval.models.store import ModelStore
from retrieval.search.cards import CardRanker
from retrieval.search.query_cache import CachedSearcher
from retrieval.search.search import Searcher
from retrieval.search.visibility import CachedVisibility
from rlm.answering import AnswerPipeline
from rlm.build import PipelineComponents
from rlm.checking.checker import CheckMode
from rlm.describing import ModelDescriber
from rlm.llm.port import LanguageModel
from rlm.llm.scheduler import SubCallScheduler
from rlm.rewriting import ModelRewriter
from rlm.sandbox.build import build_sandbox
from rlm.suggesting import ModelSuggester
from rlm.tables.sql import SqlEngine
from workers.enqueue import WorkNotifier
from workers.parts import ServiceComponents
from workers.tasks.access import ReaderSync
from workers.tasks.deletion import Deleter
from workers.tasks.sync import SyncTask
from workers.upkeep.describing import DescriptionFiller

if TYPE_CHECKING:
    from api.accounts.oidc import OidcTokenChecker


class IdentityProviderSettingsError(LeadlineError):
    """An identity provider is configured but its tokens cannot be checked, so the service does not start."""

    code = "identity_provider_settings"
    default_hint = "Install the extra with `pip install './leadline[oidc]'`, or unset LEADLINE_OIDC_ISSUER."


def open_token_checker(settings: OidcSettings, identities: AccountStores) -> "OidcTokenChecker | None":
    """Return the checker of tokens, or None if no identity provider is configured.

    Raises `IdentityProviderSettingsError` if tokens cannot be checked.
    """
    if settings.oidc_issuer is None:
        return None
    if find_spec("jwt") is None or find_spec("cryptography") is None:
        raise IdentityProviderSettingsError(
            "LEADLINE_OIDC_ISSUER is set, but PyJWT with cryptography is not installed."
        )
    from api.accounts.oidc import OidcTokenChecker

    return OidcTokenChecker(settings, identities)


def build_description_filler(
    settings: Settings, components: ServiceComponents, describer: ModelDescriber
) -> DescriptionFiller:
    """Build the filler that has a model describe the documents that `settings.describe` permits."""
    contents = components.stores.contents
    return DescriptionFiller(
        contents.cards.build_descriptions(settings.describe),
        describer,
        contents.texts,
        # A worker opens its stores without the default quotas.
        components.stores.usage.quotas.with_defaults(**parse_quota_defaults(settings)),
    )


class QuotaDefaults(TypedDict):
    """The default limits for tenants and keys. They apply if the catalog has no limit for the tenant or key."""

    tenant_defaults: Mapping[Quota, int]
    key_defaults: Mapping[Quota, int]


def parse_quota_defaults(settings: Settings) -> QuotaDefaults:
    """Parse the default quotas in the settings."""
    return {
        "tenant_defaults": parse_quotas(settings.tenant_quotas),
        "key_defaults": parse_quotas(settings.key_quotas),
    }


def open_meter(settings: Settings, quotas: Quotas, stack: ExitStack, *, redis_url: str | None = None) -> Meter:
    """Open the meter of a process. It is closed with `stack`."""
    meter = Meter(
        quotas,
        RequestRateLimiter(redis_url),
        answer_tokens=settings.answer_tokens,
        model_is_free=is_model_free(settings),
    )
    stack.callback(meter.close)
    return meter


def open_query_services(
    settings: Settings, components: ServiceComponents, language_model: LanguageModel, stack: ExitStack
) -> QueryServices:
    """Open the search and answering services. They are closed with `stack`."""
    reranking = open_configured_reranker(settings, ModelStore(settings.models))
    if reranking is not None:
        stack.callback(reranking.close)
    stores, generations = components.stores, components.index.generations
    catalog, contents = stores.documents.catalog, stores.contents
    bare = Searcher(
        generations,
        CachedVisibility(catalog),
        contents.texts,
        reranking,
        contents.tables,
        cards=CardRanker(contents.cards, components.index.sparse, catalog.load_corpus_version),
        on_no_hits=components.index_checks.check_empty_search,
    )
    searcher = CachedSearcher(bare, catalog, max_bytes=settings.query_cache_bytes)
    sub_calls = SubCallScheduler(stores.answers.replies)
    stack.callback(sub_calls.close)
    sandbox = build_sandbox(settings.sandbox)
    stack.callback(sandbox.close)
    answer_parts = PipelineComponents(
        catalog=catalog,
        texts=contents.texts,
        tables=contents.tables,
        sql=SqlEngine(),
        sub_calls=sub_calls,
        embedder=generations.open_active_encoder(),
        sandbox=sandbox,
        access=catalog,
        phrase=phrase_for_question,
    )
    helpers = open_helper_models(settings, stack)
    answering = AnswerPipeline(
        searcher,
        language_model,
        answer_parts,
        check_mode=CheckMode(settings.check),
        helpers=helpers,
        answers_early=settings.early_answers,
    )
    rewriter = ModelRewriter(helpers.router or language_model, sub_calls)
    describer = ModelDescriber(language_model, sub_calls)
    suggester = ModelSuggester(language_model, sub_calls, helper=helpers.router) if settings.suggestions else None
    return QueryServices(
        searcher,
        rewriter,
        answering,
        generations.open_active_encoder,
        has_priced_model(settings),
        describer,
        suggester,
    )


def build_services(
    settings: Settings,
    components: ServiceComponents,
    query_services: QueryServices,
    notifier: WorkNotifier,
    stack: ExitStack,
    *,
    database_url: str,
    redis_url: str | None = None,
    ballast: Ballast | None = None,
    read_seconds: float | None = None,
) -> Services:
    """Build the services. Anything that this function opens is closed with `stack`."""
    # Key lookups and health checks have their own connections, so that they never wait behind other work.
    door = open_database(database_url, pool_size=4, read_seconds=read_seconds)
    stack.callback(door.dispose)
    accounts = AccountStores.from_engine(door)
    admission = Admission(
        idempotency=IdempotencyKeys(door, retention_seconds=settings.idempotency_hours * 3_600),
        meter=open_meter(settings, components.stores.usage.quotas, stack, redis_url=redis_url),
        tokens=open_token_checker(settings, accounts),
        ballast=ballast,
    )
    return Services(
        settings=settings,
        stores=components.stores,
        accounts=accounts,
        slack=SlackStores.from_engine(door),
        admission=admission,
        asking=query_services,
        work=_build_document_services(settings, components, notifier, stack),
        health=_build_health(components, partial(check_database, door)),
    )


def build_sync_task(settings: Settings, components: ServiceComponents, scratch: Path) -> SyncTask:
    """Build the task that synchronizes sources. `scratch` is a folder for temporary files."""
    context = build_source_context(settings, scratch)
    stores = components.stores
    synchronizer = SourceSynchronizer(
        stores.sources.rounds,
        stores.documents.catalog,
        _build_intake(settings, components),
        SourceOpener(SOURCE_KINDS, context).open_source,
        max_share=settings.upkeep_share,
        settle_readers=ReaderSync(stores.documents.catalog, components.index.generations).sync_all_documents,
    )
    return SyncTask(stores.jobs, synchronizer)


def _build_intake(settings: Settings, components: ServiceComponents) -> Intake:
    stores = components.stores
    return Intake(
        stores.documents.catalog,
        stores.contents.blobs,
        stores.documents.batches,
        max_bytes=settings.max_upload_bytes,
        backlog=stores.jobs.count_backlog,
        max_backlog=settings.max_backlog,
        quotas=stores.usage.quotas,
    )


def _build_document_services(
    settings: Settings, components: ServiceComponents, notifier: WorkNotifier, stack: ExitStack
) -> DocumentServices:
    documents, contents, quotas = (
        components.stores.documents,
        components.stores.contents,
        components.stores.usage.quotas,
    )
    catalog, generations = documents.catalog, components.index.generations
    page_images = PageImageRenderer(settings.parser_isolation)
    stack.callback(page_images.close)
    intake = _build_intake(settings, components)
    redaction = components.stores.answers.redaction
    return DocumentServices(
        intake=intake,
        file_intake=FileIntake(documents.files, contents.blobs, max_bytes=settings.max_upload_bytes, quotas=quotas),
        uploads=ResumableUploads(documents.partial_uploads, contents.blobs, intake),
        page_images=page_images,
        doorbell=notifier,
        delete=Deleter(catalog, redaction, generations, contents.texts, contents.blobs).delete_document,
        settle=ReaderSync(catalog, generations).sync_document,
        remove_files=documents.file_removal.remove_deleted_files,
    )


def _build_health(components: ServiceComponents, ping_catalog: Callable[[], None]) -> Health:
    checked = components.stores.generations
    return Health(
        ping=ping_catalog,
        require_index=components.index.generations.require_ready,
        index_state=lambda: checked.states.load_state(checked.records.load_active_generation().id),
        index_copies=checked.states.list_replica_states,
        notices=components.stores.operations.installation.load_notices,
    )
