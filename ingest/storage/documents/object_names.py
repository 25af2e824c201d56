"""Names of the objects in audit log entries, which contain only ids."""

from collections.abc import Collection, Iterable

from sqlalchemy import Engine, func, select

from ingest.storage.accounts.access import Readers, build_access_condition
from ingest.storage.db.database import read_transaction
from ingest.storage.db.schema import api_keys, documents, users


class ObjectNames:
    """Finds the current names of objects. Each call finds only objects of a single tenant."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def find_names(self, tenant_id: str, objects: Collection[str], readers: Readers) -> dict[str, str]:
        """Return the names of objects such as `document:ID`, `key:ID` and `user:ID`, keyed by object.

        Objects that no longer exist, objects of other kinds, and documents that these readers may not see are omitted.
        """
        document_ids, key_ids, user_ids = (_select_ids(objects, kind) for kind in ("document", "key", "user"))
        of_documents = select(documents.c.id, func.coalesce(documents.c.title, documents.c.name)).where(
            documents.c.tenant_id == tenant_id,
            documents.c.id.in_(document_ids),
            documents.c.deleted_at.is_(None),
            # guard: audit-names-readable
            build_access_condition(readers),
        )
        of_keys = select(api_keys.c.id, api_keys.c.name).where(
            api_keys.c.tenant_id == tenant_id, api_keys.c.id.in_(key_ids)
        )
        of_users = select(users.c.id, users.c.name).where(users.c.tenant_id == tenant_id, users.c.id.in_(user_ids))
        with read_transaction(self._engine) as connection:
            found = {
                "document": connection.execute(of_documents).all() if document_ids else (),
                "key": connection.execute(of_keys).all() if key_ids else (),
                "user": connection.execute(of_users).all() if user_ids else (),
            }
        return {f"{kind}:{identifier}": name for kind, rows in found.items() for identifier, name in rows}


def _select_ids(objects: Iterable[str], kind: str) -> list[str]:
    return sorted({each.removeprefix(f"{kind}:") for each in objects if each.startswith(f"{kind}:")})
