"""Opens the stores of an installation, for commands that check whether the stores belong together.

Opening the stores here does not record that they belong together.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from api.build.data_folder import hold_data_folder
from api.settings.settings import CATALOG_NAME, Settings
from ingest.storage.audit.records import Action
from ingest.storage.audit.store import Audit
from ingest.storage.blobs.opening import open_blobs
from ingest.storage.blobs.quarantine import Quarantine
from ingest.storage.blobs.store import BlobStore
from ingest.storage.db.database import build_sqlite_url, open_database
from ingest.storage.documents.cards.store import Cards
from ingest.storage.documents.digests import ContentDigests
from ingest.storage.errors import CatalogUnavailableError
from ingest.storage.generations.index_states import IndexStates
from ingest.storage.generations.store import GenerationRecords
from ingest.storage.operations.copying import CatalogCopies
from ingest.storage.operations.installation import (
    Installation,
    bind_installation,
    load_store_marker,
    write_store_marker,
)
from ingest.storage.operations.installation_record import InstallationRecord
from ingest.storage.operations.leftovers import UnusedContent
from retrieval import build
from retrieval.index.generations import IndexStore
from retrieval.search.cards import get_card_maker
from workers.settings import ClusterSettings


@dataclass(frozen=True)
class InstallationStores:
    """A catalog, a blob store and an index store, which may or may not belong to the same installation."""

    catalog: CatalogCopies
    audit: Audit
    record: InstallationRecord
    leftovers: UnusedContent
    generations: GenerationRecords
    digests: ContentDigests
    cards: Cards
    blobs: BlobStore
    store: IndexStore
    index_states: IndexStates

    def load_installation_ids(self) -> dict[str, str | None]:
        """Return the installation id of each store, keyed by the store's name. The id is None if a store has none."""
        found = {"catalog": self.record.load_id(), self.blobs.location: load_store_marker(self.blobs)}
        for generation in self.generations.list_live_generations():
            if self.store.find_size(generation.id) is not None:
                found[f"index, generation {generation.id}"] = self.store.find_owner(generation.id)
        return found

    def count_originals(self) -> tuple[int, int]:
        """Return the number of original files in the blob store, and the number of those missing from the catalog."""
        keys = list(self.blobs.iter_keys("original"))
        return len(keys), len(self.leftovers.select_unknown_originals(keys))

    def count_quarantined_files(self) -> int:
        """Count the files in quarantine."""
        return len(Quarantine(self.blobs).load_quarantine_dates())

    def count_lacking_cards(self) -> int:
        """Count the searchable documents without a card by this release's rules."""
        return self.cards.count_lacking(get_card_maker(build.build_sparse_encoder()))

    def adopt_catalog_id(self) -> str:
        """Overwrite the ids of the blob store and the index store with the catalog's id, and return that id.

        If the catalog has no id, it gets the id of the blob store or, if that has none, a new one.
        """
        marked = load_store_marker(self.blobs)
        identifier = self.record.load_id()
        if identifier is None:
            identifier = self.record.claim_id(marked) if marked else bind_installation(self.record, self.blobs).id
        write_store_marker(self.blobs, identifier, replace=True)
        for generation in self.generations.list_live_generations():
            self.store.take_ownership(generation.id)
        self.audit.record_action(Action.INSTALLATION_CHANGED, f"installation:{identifier}", tenant_id=None)
        return identifier


@contextmanager
def open_installation_stores(
    settings: Settings, cluster: ClusterSettings | None, *, lock_folder: bool = False, create_catalog: bool = False
) -> Iterator[InstallationStores]:
    """Open the stores of a cluster or of the data folder. With `lock_folder`, acquire the data folder's lock.

    Raises `CatalogUnavailableError` if there is no catalog, unless `create_catalog` is set. Raises
    `DataFolderBusyError` if another process holds the lock.
    """
    home = settings.home if cluster is None else cluster.home
    with ExitStack() as stack:
        if cluster is None:
            if not create_catalog and not (home / CATALOG_NAME).exists():
                raise CatalogUnavailableError(
                    f"No catalog was found in {home}.", hint="Set LEADLINE_HOME to the data folder."
                )
            if lock_folder:
                stack.enter_context(hold_data_folder(home))
            home.mkdir(mode=0o700, parents=True, exist_ok=True)
        engine = open_database(get_catalog_url(settings, cluster))
        stack.callback(engine.dispose)
        record = InstallationRecord(engine)
        installation = Installation(record.load_id() or "", record.has_any_version)
        yield InstallationStores(
            CatalogCopies(engine),
            Audit(engine),
            record,
            UnusedContent(engine),
            GenerationRecords(engine),
            ContentDigests(engine),
            Cards(engine),
            open_blobs(settings if cluster is None else cluster, home, record),
            build_configured_store(settings, cluster, installation),
            IndexStates(engine),
        )


def get_catalog_url(settings: Settings, cluster: ClusterSettings | None) -> str:
    """Return the URL of the catalog's database, of the cluster or in the data folder."""
    if cluster is None:
        return build_sqlite_url(settings.home / CATALOG_NAME)
    return cluster.database_url.get_secret_value()


def build_configured_store(
    settings: Settings, cluster: ClusterSettings | None, installation: Installation
) -> IndexStore:
    """Build the store of an installation's indexes, on the cluster's vector server or in the data folder."""
    if cluster is None:
        return build.build_embedded_store(settings.home, installation)
    key = cluster.qdrant_api_key.get_secret_value() if cluster.qdrant_api_key else None
    return build.build_server_store(cluster.qdrant_url, installation, api_key=key, settings=cluster.vector_server)
