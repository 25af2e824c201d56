"""What index and blobs may hold though no document uses it: the catalog's side of upkeep."""

from collections.abc import Collection, Iterator

from sqlalchemy import Engine, select

from ingest.catalog.database import read
from ingest.catalog.run_rows import read_by_a_run
from ingest.catalog.tables import documents, versions
from ingest.documents import COLLECTABLE_STATES

_AT_ONCE = 500


class Leftovers:
    """Answers for many ids in few queries. An id it does not know belongs to nobody."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def unused_versions(self, version_ids: Collection[str]) -> set[str]:
        """Those that are failed, cancelled, retired, deleted or unknown, and no document's active version.

        One that was replaced is used as long as a run reads it.
        """
        query = (
            select(versions.c.id)
            .join(documents, documents.c.id == versions.c.document_id)
            .where(
                versions.c.state.not_in(COLLECTABLE_STATES)
                | (documents.c.active_version_id == versions.c.id)
                | read_by_a_run()
            )
        )
        used: set[str] = set()
        with read(self._engine) as connection:
            for some in _portions(version_ids):
                used |= set(connection.execute(query.where(versions.c.id.in_(some))).scalars())
        return set(version_ids) - used

    def unknown_blobs(self, keys: Collection[str]) -> set[str]:
        """Keys of originals that no version names."""
        known: set[str] = set()
        with read(self._engine) as connection:
            for some in _portions(keys):
                query = select(versions.c.blob_key).where(versions.c.blob_key.in_(some))
                known |= set(connection.execute(query).scalars())
        return set(keys) - known


def _portions(ids: Collection[str]) -> Iterator[list[str]]:
    ordered = sorted(ids)
    for at in range(0, len(ordered), _AT_ONCE):
        yield ordered[at : at + _AT_ONCE]
