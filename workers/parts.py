"""The components of a service with one catalog, one blob store and one index. All deployments use this module."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from ingest.storage.blobs.quarantine import UpkeepLimits
from ingest.storage.blobs.store import BlobStore
from ingest.storage.build import LEASE_SECONDS, Stores, open_stores
from ingest.storage.feed.feed import Feed
from ingest.storage.operations.installation import Installation, bind_installation
from ingest.storage.quotas.records import Quota
from ingest.storage.sealing import SealRecord
from ingest.storage.sources.credentials import CredentialCipher
from retrieval import build
from retrieval.encoders.registry import Encoders
from retrieval.index.generations import IndexStore
from retrieval.index.opening import IndexComponents, open_index
from workers.deps import WorkerDeps
from workers.upkeep.index_checks import IndexChecks
from workers.upkeep.leftovers import UnusedContentCleaner


@dataclass(frozen=True)
class ServiceComponents:
    """The stores and the index shared by the API and the workers of a deployment, and checks that compare them."""

    stores: Stores
    index: IndexComponents
    index_checks: IndexChecks
    rounds: UnusedContentCleaner

    def build_worker_deps(self) -> WorkerDeps:
        """Build the dependencies of the worker tasks."""
        stores, contents = self.stores, self.stores.contents
        return WorkerDeps(
            stores.documents.catalog,
            stores.jobs,
            stores.answers.redaction,
            contents.blobs,
            contents.texts,
            self.index.generations,
            self.index.sparse,
        )


@contextmanager
def open_service_components(
    database_url: str,
    feed: Feed,
    open_files: Callable[[SealRecord], BlobStore],
    open_encoders: Callable[[], Encoders],
    open_store: Callable[[Installation], IndexStore],
    *,
    encoder: str | None,
    upkeep_limits: UpkeepLimits,
    is_serving: bool = True,
    lease_seconds: float = LEASE_SECONDS,
    tenant_quotas: Mapping[Quota, int] | None = None,
    key_quotas: Mapping[Quota, int] | None = None,
    read_seconds: float | None = None,
    source_cipher: CredentialCipher | None = None,
) -> Iterator[ServiceComponents]:
    """Open all components except the index. A new installation starts with the encoder named `encoder`.

    Raises `InstallationMismatchError` if the blobs belong to another installation. If `is_serving` is true, raises
    another error if the index belongs to another encoder. `open_store` is called after these checks.
    """
    with ExitStack() as stack:
        stores = stack.enter_context(
            open_stores(
                database_url,
                feed,
                open_files,
                lease_seconds=lease_seconds,
                tenant_quotas=tenant_quotas,
                key_quotas=key_quotas,
                read_seconds=read_seconds,
                source_cipher=source_cipher,
            )
        )
        installation = bind_installation(stores.operations.installation, stores.contents.blobs)
        index = stack.enter_context(
            open_index(
                stores.generations.records,
                open_encoders(),
                build.build_sparse_encoder(),
                lambda: open_store(installation),
                encoder_name=encoder,
                is_serving=is_serving,
            )
        )
        yield ServiceComponents(
            stores, index, _build_index_checks(stores, index), _build_leftover_cleaner(stores, index, upkeep_limits)
        )


def _build_index_checks(stores: Stores, index: IndexComponents) -> IndexChecks:
    return IndexChecks(
        stores.documents.catalog,
        stores.generations.states,
        stores.jobs,
        stores.generations.records,
        index.store,
        index.generations,
    )


def _build_leftover_cleaner(stores: Stores, index: IndexComponents, limits: UpkeepLimits) -> UnusedContentCleaner:
    operations, contents = stores.operations, stores.contents
    return UnusedContentCleaner(
        operations.installation, operations.leftovers, index.generations, contents.blobs, contents.texts, limits
    )
