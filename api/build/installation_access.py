"""Opens the parts of an installation for commands that look at what belongs together, without tying them."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from api.build.embedded import owned
from api.settings.settings import Settings
from ingest.storage.audit.records import Action
from ingest.storage.audit.store import Audit
from ingest.storage.blobs.opening import open_blobs
from ingest.storage.blobs.quarantine import Quarantine
from ingest.storage.blobs.store import BlobStore
from ingest.storage.db.database import open_database, sqlite_url
from ingest.storage.documents.digests import ContentDigests
from ingest.storage.errors import CatalogUnavailableError
from ingest.storage.generations.index_states import IndexStates
from ingest.storage.generations.store import GenerationRecords
from ingest.storage.operations.copying import CatalogCopies
from ingest.storage.operations.installation import Installation, mark, mark_of, tie
from ingest.storage.operations.installation_record import InstallationRecord
from ingest.storage.operations.leftovers import Leftovers
from retrieval import build
from retrieval.index.generations import IndexStore
from workers.settings import ClusterSettings


@dataclass(frozen=True)
class InstallationParts:
    """A catalog, a store of files and a store of indexes, whether or not they belong together."""

    catalog: CatalogCopies
    audit: Audit
    record: InstallationRecord
    leftovers: Leftovers
    generations: GenerationRecords
    digests: ContentDigests
    blobs: BlobStore
    store: IndexStore
    index_states: IndexStates

    def ids(self) -> dict[str, str | None]:
        """Return each part's installation, by the part's name; None for a part without an id."""
        found = {"catalog": self.record.id(), self.blobs.place: mark_of(self.blobs)}
        for generation in self.generations.live():
            if self.store.size(generation.id) is not None:
                found[f"index, generation {generation.id}"] = self.store.owner(generation.id)
        return found

    def originals(self) -> tuple[int, int]:
        """Count the originals in the store of files, and those of them that the catalog does not know."""
        keys = list(self.blobs.keys("original"))
        return len(keys), len(self.leftovers.unknown_originals(keys))

    def put_aside(self) -> int:
        """Count the files in quarantine."""
        return len(Quarantine(self.blobs).since())

    def adopt(self) -> str:
        """Give blobs and indexes the catalog's id, whatever they had, and return it; a catalog without one gets one."""
        marked = mark_of(self.blobs)
        identifier = self.record.id()
        if identifier is None:
            identifier = self.record.claim(marked) if marked else tie(self.record, self.blobs).id
        mark(self.blobs, identifier, replace=True)
        for generation in self.generations.live():
            self.store.adopt(generation.id)
        self.audit.record(Action.INSTALLATION_CHANGED, f"installation:{identifier}", tenant_id=None)
        return identifier


@contextmanager
def open_installation(
    settings: Settings, cluster: ClusterSettings | None, *, alone: bool = False, create: bool = False
) -> Iterator[InstallationParts]:
    """Open the parts of a cluster, or of the data folder; `alone` takes the folder from any service.

    Raises `CatalogUnavailableError` where there is no catalog, unless it may be created, and `DataFolderBusyError`.
    """
    home = settings.home if cluster is None else cluster.home
    with ExitStack() as stack:
        if cluster is None:
            if not create and not (home / "catalog.sqlite").exists():
                raise CatalogUnavailableError(f"There is no catalog in {home}.", hint="Name another LEADLINE_HOME.")
            if alone:
                stack.enter_context(owned(home))
            home.mkdir(mode=0o700, parents=True, exist_ok=True)
        url = sqlite_url(home / "catalog.sqlite") if cluster is None else cluster.database_url.get_secret_value()
        engine = open_database(url)
        stack.callback(engine.dispose)
        record = InstallationRecord(engine)
        installation = Installation(record.id() or "", record.knows_version)
        if cluster is None:
            store = build.embedded_indexes(home, installation)
        else:
            key = cluster.qdrant_api_key.get_secret_value() if cluster.qdrant_api_key else None
            store = build.server_indexes(cluster.qdrant_url, installation, api_key=key, settings=cluster.vector_server)
        yield InstallationParts(
            CatalogCopies(engine),
            Audit(engine),
            record,
            Leftovers(engine),
            GenerationRecords(engine),
            ContentDigests(engine),
            open_blobs(settings if cluster is None else cluster, home, record),
            store,
            IndexStates(engine),
        )
