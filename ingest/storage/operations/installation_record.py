"""The installation record in the catalog, and notices for operators."""

import time
from collections.abc import Collection, Mapping

from sqlalchemy import Engine, delete, insert, select, update

from ingest.storage.db.database import (
    build_upsert,
    insert_row_if_absent,
    iter_slices,
    read_transaction,
    write_transaction,
)
from ingest.storage.db.schema import blob_sealing, documents, installation, notices, versions
from ingest.storage.sealing import Sealing

_ROW = 1


class InstallationRecord:
    """The installation's id, state of sealing and operator notices in the catalog."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def load_id(self) -> str | None:
        """Load the installation id, or return None if the catalog has none yet."""
        with read_transaction(self._engine) as connection:
            return connection.execute(select(installation.c.id)).scalar()

    def claim_id(self, installation_id: str) -> str:
        """Record an installation id unless one is already recorded, and return the recorded id."""
        with write_transaction(self._engine) as connection:
            insert_row_if_absent(connection, installation, row=_ROW, id=installation_id, created_at=time.time())
            return str(connection.execute(select(installation.c.id)).scalar_one())

    def replace_id(self, installation_id: str) -> None:
        """Replace the recorded installation id."""
        with write_transaction(self._engine) as connection:
            changed = connection.execute(update(installation).values(id=installation_id)).rowcount
            if not changed:
                connection.execute(insert(installation).values(row=_ROW, id=installation_id, created_at=time.time()))

    def load_sealing(self) -> Sealing:
        """Load the state of sealing, which determines the accepted formats and the format of new files."""
        with read_transaction(self._engine) as connection:
            return Sealing(connection.execute(select(blob_sealing.c.sealing)).scalar() or Sealing.MIXED)

    def record_sealing(self, sealing: Sealing) -> None:
        """Record the state of sealing."""
        now = {"sealing": sealing.value, "since": time.time()}
        with write_transaction(self._engine) as connection:
            statement = build_upsert(connection, blob_sealing).values(row=_ROW, **now)
            connection.execute(statement.on_conflict_do_update(index_elements=["row"], set_=now))

    def has_any_version(self, version_ids: Collection[str]) -> bool:
        """Return whether the catalog contains at least one of these versions."""
        with read_transaction(self._engine) as connection:
            return any(
                connection.execute(select(versions.c.id).where(versions.c.id.in_(some)).limit(1)).first()
                for some in iter_slices(sorted(version_ids))
            )

    def has_any_original(self, keys: Collection[str]) -> bool:
        """Return whether at least one of these originals belongs to a version."""
        with read_transaction(self._engine) as connection:
            return any(
                connection.execute(select(versions.c.id).where(versions.c.blob_key.in_(some)).limit(1)).first()
                for some in iter_slices(sorted(keys))
            )

    def list_originals(self, limit: int) -> list[str]:
        """List up to `limit` keys of the originals of live documents' latest versions."""
        query = (
            select(versions.c.blob_key)
            .join(documents, documents.c.latest_version_id == versions.c.id)
            .where(documents.c.deleted_at.is_(None), versions.c.state.not_in(("cancelled", "retired", "deleted")))
            .order_by(documents.c.created_at.desc())
            .limit(limit)
        )
        with read_transaction(self._engine) as connection:
            return list(connection.execute(query).scalars())

    def load_notices(self) -> Mapping[str, str]:
        """Load the notices for operators, keyed by name."""
        with read_transaction(self._engine) as connection:
            return {row.name: row.detail for row in connection.execute(select(notices)).all()}

    def record_notice(self, name: str, detail: str) -> None:
        """Record a notice, or update its detail. The time at which it was first recorded does not change."""
        with write_transaction(self._engine) as connection:
            statement = build_upsert(connection, notices).values(name=name, detail=detail, since=time.time())
            connection.execute(statement.on_conflict_do_update(index_elements=["name"], set_={"detail": detail}))

    def withdraw_notice(self, name: str) -> None:
        """Remove a notice if it exists."""
        if name in self.load_notices():
            with write_transaction(self._engine) as connection:
                connection.execute(delete(notices).where(notices.c.name == name))
