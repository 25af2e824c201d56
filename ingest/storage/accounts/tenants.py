"""Creates, lists, renames, suspends and resumes the tenants of an installation."""

import secrets
import time
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, select, update

from ingest.storage.accounts.records import validate_name
from ingest.storage.audit.records import Action
from ingest.storage.audit.store import record_action
from ingest.storage.db.database import insert_row_if_absent, read_transaction, write_transaction
from ingest.storage.db.schema import tenants
from ingest.storage.errors import NameTakenError, TenantNotFoundError


@dataclass(frozen=True)
class Tenant:
    """A tenant. `name` is for display and can be changed.

    While a tenant is suspended, all its keys and tokens are rejected.
    """

    id: str
    name: str
    created_at: float
    suspended_at: float | None


class Tenants:
    """Creates, lists and changes tenants. Each method is one transaction."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def create(self, name: str) -> Tenant:
        """Create a tenant. Raises `NameTakenError` if the name is in use, and `NameInvalidError` if it is invalid."""
        tenant = Tenant(secrets.token_hex(8), validate_name(name, "tenant"), time.time(), None)
        with write_transaction(self._engine) as connection:
            insert_row_if_absent(connection, tenants, id=tenant.id, name=tenant.name, created_at=tenant.created_at)
            made = connection.execute(select(tenants.c.id).where(tenants.c.id == tenant.id)).first()
            if made is None:
                raise NameTakenError(f"A tenant named {tenant.name!r} already exists.")
            _record_audit(connection, Action.TENANT_CREATED, tenant, name=tenant.name)
        return tenant

    def list_tenants(self, *, after: str = "", limit: int = 1000) -> list[Tenant]:
        """List tenants sorted by name, starting after the name `after`."""
        query = select(tenants).where(tenants.c.name > after).order_by(tenants.c.name).limit(limit)
        with read_transaction(self._engine) as connection:
            return [Tenant(**row._mapping) for row in connection.execute(query).all()]

    def load_tenant(self, id_or_name: str) -> Tenant:
        """Load a tenant by id or, if no id matches, by name. Raises `TenantNotFoundError` if there is none."""
        with read_transaction(self._engine) as connection:
            return _load_tenant(connection, id_or_name)

    def rename(self, id_or_name: str, name: str) -> Tenant:
        """Rename a tenant.

        Raises `TenantNotFoundError` if the tenant does not exist, `NameTakenError` if the name is in use, and
        `NameInvalidError` if it is invalid.
        """
        name = validate_name(name, "tenant")
        with write_transaction(self._engine) as connection:
            tenant = _load_tenant(connection, id_or_name)
            taken = select(tenants.c.id).where(tenants.c.name == name, tenants.c.id != tenant.id)
            if connection.execute(taken).first() is not None:
                raise NameTakenError(f"A tenant named {name!r} already exists.")
            connection.execute(update(tenants).where(tenants.c.id == tenant.id).values(name=name))
            _record_audit(connection, Action.TENANT_CHANGED, tenant, name=name)
            return _load_tenant(connection, tenant.id)

    def suspend(self, id_or_name: str) -> Tenant:
        """Reject all keys and tokens of a tenant. Its documents are not deleted, and queued work on them continues."""
        return self._set_suspended(id_or_name, time.time())

    def resume(self, id_or_name: str) -> Tenant:
        """Accept the keys and tokens of a suspended tenant again."""
        return self._set_suspended(id_or_name, None)

    def _set_suspended(self, id_or_name: str, suspended_at: float | None) -> Tenant:
        with write_transaction(self._engine) as connection:
            tenant = _load_tenant(connection, id_or_name)
            if (tenant.suspended_at is None) != (suspended_at is None):
                connection.execute(update(tenants).where(tenants.c.id == tenant.id).values(suspended_at=suspended_at))
                _record_audit(connection, Action.TENANT_CHANGED, tenant, suspended=suspended_at is not None)
            return _load_tenant(connection, tenant.id)


def _record_audit(connection: Connection, action: Action, tenant: Tenant, **details: Any) -> None:  # noqa: ANN401 - JSON
    record_action(connection, action, f"tenant:{tenant.id}", tenant_id=tenant.id, **details)


def _load_tenant(connection: Connection, id_or_name: str) -> Tenant:
    for column in (tenants.c.id, tenants.c.name):
        row = connection.execute(select(tenants).where(column == id_or_name)).first()
        if row is not None:
            return Tenant(**row._mapping)
    raise TenantNotFoundError(f"Tenant {id_or_name!r} not found.")
