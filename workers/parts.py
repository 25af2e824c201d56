"""The parts of a service over one catalog, one folder of blobs and one index, opened alike by every deployment."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from ingest.storage.answers.conversations import Conversations
from ingest.storage.answers.feedback import Feedback
from ingest.storage.answers.redaction import Redaction
from ingest.storage.answers.replies import Replies
from ingest.storage.answers.run_log import RunLog
from ingest.storage.answers.runs import Runs
from ingest.storage.answers.shares import Shares
from ingest.storage.answers.usage import UsageByCollection
from ingest.storage.audit.store import Audit
from ingest.storage.blobs.quarantine import UpkeepLimits
from ingest.storage.blobs.store import BlobStore
from ingest.storage.build import Identities
from ingest.storage.db.database import open_database
from ingest.storage.documents.batches import Batches
from ingest.storage.documents.catalog import Catalog
from ingest.storage.documents.collections import Collections
from ingest.storage.documents.digests import ContentDigests
from ingest.storage.feed.feed import Feed
from ingest.storage.generations.index_states import IndexStates
from ingest.storage.generations.store import GenerationRecords
from ingest.storage.jobs.jobs import Jobs
from ingest.storage.operations.expiry import Expiry
from ingest.storage.operations.installation import Installation, tie
from ingest.storage.operations.installation_record import InstallationRecord
from ingest.storage.operations.leftovers import Leftovers
from ingest.storage.operations.tenant_data import TenantRemoval
from ingest.storage.quotas.records import Quota
from ingest.storage.quotas.store import Quotas
from ingest.storage.sealing import SealRecord
from ingest.storage.slack.usage import UsageByChannel
from ingest.storage.texts.texts import Texts
from ingest.storage.uploads.files import FileRemoval, Files
from ingest.storage.uploads.partial import Uploads
from ingest.storage.webhooks.outbox import Outbox
from ingest.storage.webhooks.store import Webhooks
from retrieval import build
from retrieval.encoders.registry import Encoders
from retrieval.index.bm25 import SparseEncoder
from retrieval.index.generations import IndexStore, require_fit
from retrieval.index.open_generations import OpenGenerations
from workers.deps import WorkerDeps
from workers.upkeep.index_checks import IndexChecks
from workers.upkeep.leftovers import LeftoverRounds

LEASE_SECONDS = 60.0


@dataclass(frozen=True)
class Parts:
    """What the API and the workers of a deployment share."""

    expiry: Expiry
    tenant_removal: TenantRemoval
    files: Files
    file_removal: FileRemoval
    catalog: Catalog
    jobs: Jobs
    runs: Runs
    run_log: RunLog
    redaction: Redaction
    replies: Replies
    installation: InstallationRecord
    rounds: LeftoverRounds
    identities: Identities
    audit: Audit
    batches: Batches
    collections: Collections
    conversations: Conversations
    uploads: Uploads
    feedback: Feedback
    shares: Shares
    webhooks: Webhooks
    outbox: Outbox
    quotas: Quotas
    usage_by_collection: UsageByCollection
    usage_by_channel: UsageByChannel
    feed: Feed
    blobs: BlobStore
    digests: ContentDigests
    texts: Texts
    records: GenerationRecords
    store: IndexStore
    generations: OpenGenerations
    encoders: Encoders
    sparse: SparseEncoder
    index_states: IndexStates
    index_checks: IndexChecks

    def worker_deps(self) -> WorkerDeps:
        """Return the parts that tasks of workers need."""
        return WorkerDeps(self.catalog, self.jobs, self.redaction, self.blobs, self.texts, self.generations)


@contextmanager
def parts_over(
    database_url: str,
    feed: Feed,
    open_files: Callable[[SealRecord], BlobStore],
    open_encoders: Callable[[], Encoders],
    open_store: Callable[[Installation], IndexStore],
    *,
    encoder: str | None,
    upkeep_limits: UpkeepLimits,
    serving: bool = True,
    lease_seconds: float = LEASE_SECONDS,
    tenant_quotas: Mapping[Quota, int] | None = None,
    key_quotas: Mapping[Quota, int] | None = None,
) -> Iterator[Parts]:
    """Open the parts, but no index yet; a new installation begins with the named `encoder`.

    Raises `InstallationMismatchError` for blobs of another installation, and what keeps a process from `serving`: an
    index of another encoder. A process that serves refuses to search a generation that has lost its index. `open_store`
    is called once nothing of that kind is in the way.
    """
    with ExitStack() as stack:
        engine = open_database(database_url)
        stack.callback(engine.dispose)
        record = InstallationRecord(engine)
        blobs = open_files(record)
        digests = ContentDigests(engine)
        texts = Texts(blobs, digests)
        installation = tie(record, blobs)
        encoders, sparse, records = open_encoders(), build.sparse_encoder(), GenerationRecords(engine)
        first = encoders.named(encoder)
        active = records.ensure_first(first.fingerprint, sparse.fingerprint, first.dimension)
        if serving:
            require_fit(active, encoders, sparse, chosen=encoder)
        store = open_store(installation)
        # guard: lost-index-serving
        generations = OpenGenerations(records, store, encoders, sparse, refuse_lost=serving)
        stack.callback(generations.close)
        quotas = Quotas(engine, tenant_defaults=tenant_quotas, key_defaults=key_quotas)
        catalog = Catalog(engine, announce=feed.announce, quotas=quotas.rules)
        jobs = Jobs(engine, lease_seconds=lease_seconds, announce=feed.announce, quotas=quotas.rules)
        states = IndexStates(engine)
        yield Parts(
            expiry=Expiry(engine),
            tenant_removal=TenantRemoval(engine, FileRemoval(engine, blobs.delete)),
            files=Files(engine, quotas=quotas.rules),
            file_removal=FileRemoval(engine, blobs.delete),
            catalog=catalog,
            jobs=jobs,
            runs=Runs(engine, announce=feed.announce, quotas=quotas.rules),
            run_log=RunLog(engine, announce=feed.announce),
            redaction=Redaction(engine),
            replies=Replies(engine),
            installation=record,
            rounds=LeftoverRounds(record, Leftovers(engine), generations, blobs, texts, upkeep_limits),
            identities=Identities.of(engine),
            audit=Audit(engine),
            batches=Batches(engine, announce=feed.announce),
            collections=Collections(engine, announce=feed.announce),
            conversations=Conversations(engine),
            uploads=Uploads(engine, quotas=quotas.rules),
            feedback=Feedback(engine),
            shares=Shares(engine),
            webhooks=Webhooks(engine),
            outbox=Outbox(engine),
            quotas=quotas,
            usage_by_collection=UsageByCollection(engine),
            usage_by_channel=UsageByChannel(engine),
            feed=feed,
            blobs=blobs,
            digests=digests,
            texts=texts,
            records=records,
            store=store,
            generations=generations,
            encoders=encoders,
            sparse=sparse,
            index_states=states,
            index_checks=IndexChecks(catalog, states, jobs, records, store, generations),
        )
