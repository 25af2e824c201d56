"""Builds the stores on top of one catalog and its files, grouped into one bundle per feature."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Engine

from ingest.storage.accounts.askers import Askers
from ingest.storage.accounts.grants import Grants
from ingest.storage.accounts.keys import ApiKeys
from ingest.storage.accounts.people import People
from ingest.storage.accounts.provider_sessions import ProviderSessions
from ingest.storage.accounts.sessions import Sessions
from ingest.storage.accounts.tenants import Tenants
from ingest.storage.accounts.users import Users
from ingest.storage.answers.conversations import Conversations
from ingest.storage.answers.feedback import Feedback
from ingest.storage.answers.interrupted import InterruptedAnswers
from ingest.storage.answers.pending import PendingAnswers
from ingest.storage.answers.redaction import Redaction
from ingest.storage.answers.replies import Replies
from ingest.storage.answers.run_log import RunLog
from ingest.storage.answers.runs import Runs
from ingest.storage.answers.shares import Shares
from ingest.storage.answers.usage import UsageByCollection
from ingest.storage.audit.store import Audit
from ingest.storage.blobs.checked import CachedDigests
from ingest.storage.blobs.local_copies import discard_deleted_copies
from ingest.storage.blobs.store import BlobStore
from ingest.storage.db.database import open_database
from ingest.storage.documents.batches import Batches
from ingest.storage.documents.cards.store import Cards
from ingest.storage.documents.catalog import Catalog
from ingest.storage.documents.collections import Collections
from ingest.storage.documents.digests import ContentDigests
from ingest.storage.documents.object_names import ObjectNames
from ingest.storage.feed.feed import Feed
from ingest.storage.generations.index_states import IndexStates
from ingest.storage.generations.store import GenerationRecords
from ingest.storage.jobs.jobs import Jobs
from ingest.storage.operations.expiry import Expiry
from ingest.storage.operations.installation_record import InstallationRecord
from ingest.storage.operations.leftovers import UnusedContent
from ingest.storage.operations.object_expiry import ObjectExpiry
from ingest.storage.operations.tenant_data import TenantRemoval
from ingest.storage.quotas.records import Quota
from ingest.storage.quotas.store import Quotas
from ingest.storage.sealing import SealRecord
from ingest.storage.slack.activity import SlackActivity
from ingest.storage.slack.files import SlackFiles
from ingest.storage.slack.store import SlackStore
from ingest.storage.slack.usage import ChannelUsage
from ingest.storage.sources.credentials import CredentialCipher
from ingest.storage.sources.rounds import SyncRounds
from ingest.storage.sources.store import Sources
from ingest.storage.tables.store import RecordTables
from ingest.storage.texts.texts import Texts
from ingest.storage.uploads.files import FileRemoval, Files
from ingest.storage.uploads.partial import Uploads
from ingest.storage.webhooks.outbox import Outbox
from ingest.storage.webhooks.store import Webhooks

LEASE_SECONDS = 60.0


@dataclass(frozen=True)
class AccountStores:
    """The accounts that may use the service, and their access rights."""

    tenants: Tenants
    users: Users
    keys: ApiKeys
    grants: Grants
    sessions: Sessions
    askers: Askers
    people: People
    provider_sessions: ProviderSessions

    @classmethod
    def from_engine(cls, engine: Engine) -> "AccountStores":
        return cls(
            Tenants(engine),
            Users(engine),
            ApiKeys(engine),
            Grants(engine),
            Sessions(engine),
            Askers(engine),
            People(engine),
            ProviderSessions(engine),
        )


@dataclass(frozen=True)
class SlackStores:
    """Slack workspaces and questions, the files that Slack users share, and a summary of both for administrators."""

    store: SlackStore
    files: SlackFiles
    activity: SlackActivity

    @classmethod
    def from_engine(cls, engine: Engine) -> "SlackStores":
        return cls(SlackStore(engine), SlackFiles(engine), SlackActivity(engine))


@dataclass(frozen=True)
class DocumentStores:
    """Documents, collections and batches, and the stored files and uploads from which documents are created."""

    catalog: Catalog
    batches: Batches
    collections: Collections
    files: Files
    file_removal: FileRemoval
    partial_uploads: Uploads


@dataclass(frozen=True)
class ContentStores:
    """Document content: originals, texts and record tables, the digests used to verify them, and document cards."""

    blobs: BlobStore
    texts: Texts
    tables: RecordTables
    digests: ContentDigests
    cards: Cards


@dataclass(frozen=True)
class AnswerStores:
    """Conversations, answers in progress, and runs, with their feedback, links and usage."""

    conversations: Conversations
    pending: PendingAnswers
    interrupted: InterruptedAnswers
    runs: Runs
    run_log: RunLog
    replies: Replies
    redaction: Redaction
    feedback: Feedback
    shares: Shares


@dataclass(frozen=True)
class EventStores:
    """The audit log, the names of the objects in it, the change feed, and the webhooks with their outbox."""

    audit: Audit
    names: ObjectNames
    feed: Feed
    webhooks: Webhooks
    outbox: Outbox


@dataclass(frozen=True)
class UsageStores:
    """Quotas, and the usage of tenants and keys."""

    quotas: Quotas
    by_collection: UsageByCollection
    by_channel: ChannelUsage


@dataclass(frozen=True)
class GenerationStores:
    """The generations of the vector index, and the results of checking them against the catalog."""

    records: GenerationRecords
    states: IndexStates


@dataclass(frozen=True)
class OperationStores:
    """The installation record, and the background removal of old and unused data."""

    installation: InstallationRecord
    leftovers: UnusedContent
    expiry: Expiry
    object_expiry: ObjectExpiry
    tenant_removal: TenantRemoval


@dataclass(frozen=True)
class SourceStores:
    """Sources that are synchronized, and the state of their synchronizations, which workers write."""

    sources: Sources
    rounds: SyncRounds


@dataclass(frozen=True)
class Stores:
    """All stores shared by the API and the workers of a deployment."""

    documents: DocumentStores
    contents: ContentStores
    answers: AnswerStores
    jobs: Jobs
    events: EventStores
    usage: UsageStores
    generations: GenerationStores
    operations: OperationStores
    sources: SourceStores


@contextmanager
def open_stores(
    database_url: str,
    feed: Feed,
    open_files: Callable[[SealRecord], BlobStore],
    *,
    lease_seconds: float = LEASE_SECONDS,
    tenant_quotas: Mapping[Quota, int] | None = None,
    key_quotas: Mapping[Quota, int] | None = None,
    read_seconds: float | None = None,
    source_cipher: CredentialCipher | None = None,
) -> Iterator[Stores]:
    """Open the catalog and its files. The connections are closed at the end of the block.

    `source_cipher` encrypts the credentials of sources. Without it, sources cannot have credentials.

    Raises the same errors as `open_database` and `open_files`.
    """
    engine = open_database(database_url, read_seconds=read_seconds)
    try:
        blobs = open_files(InstallationRecord(engine))
        quotas = Quotas(engine, tenant_defaults=tenant_quotas, key_defaults=key_quotas)
        stores = build_stores(engine, feed, blobs, quotas, lease_seconds=lease_seconds, source_cipher=source_cipher)
        with discard_deleted_copies(blobs.copies, stores.operations.leftovers.select_gone_versions):
            yield stores
    finally:
        engine.dispose()


def build_stores(
    engine: Engine,
    feed: Feed,
    blobs: BlobStore,
    quotas: Quotas,
    *,
    lease_seconds: float = LEASE_SECONDS,
    source_cipher: CredentialCipher | None = None,
) -> Stores:
    """Build the stores on top of a database and its files. This sends no query and reads no file."""
    announce, rules = feed.announce, quotas.rules
    digests, file_removal = ContentDigests(engine), FileRemoval(engine, blobs.delete)
    cached_digests = CachedDigests(digests)
    documents = DocumentStores(
        catalog=Catalog(engine, announce=announce, quotas=rules),
        batches=Batches(engine, announce=announce),
        collections=Collections(engine, announce=announce),
        files=Files(engine, quotas=rules),
        file_removal=file_removal,
        partial_uploads=Uploads(engine, quotas=rules),
    )
    return Stores(
        documents=documents,
        contents=ContentStores(
            blobs,
            Texts(blobs, cached_digests, concurrent_reads=blobs.concurrent_reads, copies=blobs.copies),
            RecordTables(blobs, cached_digests),
            digests,
            Cards(engine, announce=announce),
        ),
        answers=AnswerStores(
            conversations=Conversations(engine),
            pending=PendingAnswers(engine, announce=announce),
            interrupted=InterruptedAnswers(engine, announce=announce),
            runs=Runs(engine, announce=announce, quotas=rules),
            run_log=RunLog(engine, announce=announce),
            replies=Replies(engine),
            redaction=Redaction(engine),
            feedback=Feedback(engine),
            shares=Shares(engine),
        ),
        jobs=Jobs(engine, lease_seconds=lease_seconds, announce=announce, quotas=rules),
        events=EventStores(Audit(engine), ObjectNames(engine), feed, Webhooks(engine), Outbox(engine)),
        usage=UsageStores(quotas, UsageByCollection(engine), ChannelUsage(engine)),
        generations=GenerationStores(GenerationRecords(engine), IndexStates(engine)),
        operations=OperationStores(
            installation=InstallationRecord(engine),
            leftovers=UnusedContent(engine),
            expiry=Expiry(engine),
            object_expiry=ObjectExpiry(engine, documents.files, file_removal, documents.collections, documents.catalog),
            tenant_removal=TenantRemoval(engine, file_removal),
        ),
        sources=SourceStores(
            Sources(engine, source_cipher, announce=announce), SyncRounds(engine, source_cipher, announce=announce)
        ),
    )
