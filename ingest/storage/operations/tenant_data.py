"""All that there is of a tenant: exported as one file, and removed in small steps that a crash only delays.

A deleted tenant's keys are worthless at once. Then its documents are deleted, as their owner would; workers collect
their content from index and blobs; and when nothing of it is left there, its rows go, table by table.
"""

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import IO

from sqlalchemy import Engine, delete, select, update

from ingest.catalog.tenant_rows import exported_rows, remove_rows
from ingest.storage.answers.run_records import RunState
from ingest.storage.audit.records import Action
from ingest.storage.audit.store import Audit, record
from ingest.storage.db.database import bump_corpus_versions, insert_new, read, scrub, write
from ingest.storage.db.schema import (
    api_keys,
    documents,
    files,
    jobs,
    metadata,
    runs,
    tenant_deletions,
    tenants,
    versions,
    webhooks,
)
from ingest.storage.documents.deletions import delete_document
from ingest.storage.errors import TenantNotFoundError
from ingest.storage.queue.records import JobKind
from ingest.storage.uploads.files import FileRemoval
from ingest.tenant_export import ExportedOriginal, write_export

_DOCUMENTS_AT_ONCE = 20
BlocksOf = Callable[[str], Iterator[bytes]]
_VERSIONS_AT_ONCE = 1_000


# Tables whose rows are exported, those that this release has of them.
_EXPORTED = (
    "documents",
    "versions",
    "batches",
    "conversations",
    "answers",
    "feedback",
    "shares",
    "runs",
    "users",
    "api_keys",
    "collections",
    "collection_deletions",
    "collection_grants",
    "files",
    "quota_limits",
    "usage_days",
    "slack_days",
    "slack_files",
    "webhooks",
    "webhook_deliveries",
    "audit",
)


class TenantData:
    """The whole of a tenant's data: exported, and deleted."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def require(self, tenant_id: str) -> None:
        """Raise `TenantNotFoundError` unless there is such a tenant."""
        with read(self._engine) as connection:
            if connection.execute(select(tenants.c.id).where(tenants.c.id == tenant_id)).first() is None:
                raise TenantNotFoundError(f"There is no tenant {tenant_id!r}.")

    def delete(self, tenant_id: str) -> None:
        """Make a tenant unusable at once; workers remove it. Raises `TenantNotFoundError`."""
        TenantRemoval(self._engine).begin(tenant_id)

    def export(self, tenant_id: str, file: IO[bytes], blocks_of: BlocksOf) -> dict[str, int]:
        """Write the tenant's originals and rows, without secrets, to a ZIP; returns how much of each there is.

        `blocks_of` reads the bytes of an original. Raises `TenantNotFoundError`.
        """
        self.require(tenant_id)
        tables = {
            name: partial(exported_rows, self._engine, metadata.tables[name], tenant_id)
            for name in _EXPORTED
            if name in metadata.tables
        }
        counts = write_export(file, tenant_id, tables, self._originals(tenant_id, blocks_of))
        Audit(self._engine).record(Action.TENANT_EXPORTED, f"tenant:{tenant_id}", tenant_id=tenant_id, counts=counts)
        return counts

    def _originals(self, tenant_id: str, blocks_of: BlocksOf) -> Iterator[ExportedOriginal]:
        for table in (versions, files):
            query = select(table.c.id, table.c.blob_key, table.c.content_sha256).where(table.c.tenant_id == tenant_id)
            query, after = query.order_by(table.c.id).limit(_VERSIONS_AT_ONCE), ""
            while True:
                with read(self._engine) as connection:
                    rows = connection.execute(query.where(table.c.id > after)).all()
                yield from (ExportedOriginal(row.id, blocks_of(row.blob_key), row.content_sha256) for row in rows)
                if len(rows) < _VERSIONS_AT_ONCE:
                    break
                after = rows[-1].id


class TenantRemoval:
    """Deletes tenants: `begin` makes a tenant unusable, and `step`, called again and again, removes it.

    A step also removes what is left of any tenant's deleted files; without `files`, nothing of those.
    """

    def __init__(self, engine: Engine, files: FileRemoval | None = None) -> None:
        self._engine = engine
        self._files = files

    def begin(self, tenant_id: str) -> None:
        """Revoke the tenant's keys and mark it as deleted; again changes nothing. Raises `TenantNotFoundError`."""
        with write(self._engine) as connection:
            if connection.execute(select(tenants.c.id).where(tenants.c.id == tenant_id)).first() is None:
                raise TenantNotFoundError(f"There is no tenant {tenant_id!r}.")
            now = time.time()
            if not insert_new(connection, tenant_deletions, tenant_id=tenant_id, deleted_at=now):
                return
            connection.execute(update(tenants).where(tenants.c.id == tenant_id).values(suspended_at=now))
            live = api_keys.c.tenant_id == tenant_id, api_keys.c.revoked_at.is_(None)
            of_tenant = webhooks.c.tenant_id == tenant_id, webhooks.c.disabled_at.is_(None)
            ended = {"disabled_at": now, "disabled_reason": "The tenant was deleted."}
            connection.execute(update(webhooks).where(*of_tenant).values(**ended))
            revoked = connection.execute(update(api_keys).where(*live).values(revoked_at=now)).rowcount
            record(connection, Action.TENANT_DELETED, f"tenant:{tenant_id}", tenant_id=tenant_id, keys=revoked)

    def pending(self) -> list[str]:
        """List the tenants that are deleted and not yet removed."""
        with read(self._engine) as connection:
            return list(connection.execute(select(tenant_deletions.c.tenant_id)).scalars())

    def step(self) -> bool:
        """Take a step with each deleted tenant; true if workers have something to collect now."""
        more = any([self._step(tenant_id) for tenant_id in self.pending()])
        if self._files is not None:
            self._files.run()
        return more

    def _step(self, tenant_id: str) -> bool:
        if self._delete_documents(tenant_id):
            return True
        with read(self._engine) as connection:
            left = versions.c.tenant_id == tenant_id, versions.c.hidden.is_(True)
            if connection.execute(select(versions.c.id).where(*left).limit(1)).first() is not None:
                return True
            with_bytes = select(files.c.id).where(files.c.tenant_id == tenant_id).limit(1)
            if connection.execute(with_bytes).first() is not None:
                return False  # this step removes them, and the next one goes on
        self._remove_rows(tenant_id)
        return False

    def _delete_documents(self, tenant_id: str) -> bool:
        """Cancel the tenant's runs and delete its files and documents; true if there were any documents."""
        found = False
        while True:
            with write(self._engine) as connection:
                of_run = jobs.c.tenant_id == tenant_id, jobs.c.kind == JobKind.RUN
                connection.execute(
                    update(jobs).where(*of_run).values(state="cancelled", fence=jobs.c.fence + 1, lease_until=None)
                )
                unfinished = runs.c.tenant_id == tenant_id, runs.c.ended_as.is_(None)
                connection.execute(update(runs).where(*unfinished).values(ended_as=RunState.CANCELLED.value))
                kept = files.c.tenant_id == tenant_id, files.c.deleted_at.is_(None)
                # guard: files-of-deleted-tenant
                connection.execute(update(files).where(*kept).values(name="", deleted_at=time.time()))
                live = documents.c.tenant_id == tenant_id, documents.c.deleted_at.is_(None)
                query = select(documents.c.id).where(*live).order_by(documents.c.id).limit(_DOCUMENTS_AT_ONCE)
                some = list(connection.execute(query).scalars())
                for identifier in some:
                    delete_document(connection, tenant_id, identifier)
                if some:
                    bump_corpus_versions(connection, [tenant_id])
            if not some:
                return found
            found = True

    def _remove_rows(self, tenant_id: str) -> None:
        """Remove the tenant's rows, children first, and last its own, with an entry in the audit log."""
        counts = remove_rows(self._engine, tenant_id)
        with write(self._engine) as connection:
            for table, column in ((tenant_deletions, tenant_deletions.c.tenant_id), (tenants, tenants.c.id)):
                connection.execute(delete(table).where(column == tenant_id))
            record(connection, Action.TENANT_ERASED, f"tenant:{tenant_id}", tenant_id=tenant_id, rows=counts)
        scrub(self._engine)
