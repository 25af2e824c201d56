"""Exports all data of a tenant to a ZIP file, and removes it in small steps that survive a crash.

A deleted tenant's keys stop working immediately. Then its documents are deleted, and workers remove their content from
the index and blobs. Once all content has been removed, the tenant's rows are removed table by table.
"""

import hashlib
import json
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import chain
from typing import IO, Any

from sqlalchemy import ColumnElement, Engine, Table, delete, select, true, tuple_, update

from ingest.storage.answers.run_records import RunState
from ingest.storage.audit.records import Action
from ingest.storage.audit.store import Audit, record_action
from ingest.storage.db.database import (
    bump_corpus_versions,
    insert_row_if_absent,
    read_transaction,
    truncate_write_ahead_log,
    write_transaction,
)
from ingest.storage.db.schema import (
    api_keys,
    audit,
    content_digests,
    documents,
    files,
    gone_versions,
    jobs,
    metadata,
    runs,
    tenant_deletions,
    tenants,
    versions,
    webhooks,
    work_versions,
)
from ingest.storage.documents.deletions import delete_document
from ingest.storage.documents.ended_sources import end_sources
from ingest.storage.errors import ContentChangedError, TenantNotFoundError
from ingest.storage.queue.records import JobKind
from ingest.storage.uploads.files import FileRemoval

_BATCH_ROWS = 1_000
# Tables with rows that are kept. The audit log records that the tenant existed and was deleted. `TenantRemoval` removes
# the tenant's own row last.
_KEPT_TABLES = frozenset({audit, tenants, tenant_deletions})
# Tables that contain version ids but have no foreign key. Their rows must be removed before the versions.
_VERSION_ID_TABLES = (content_digests, work_versions, gone_versions)
# Columns that are never exported: secrets, digests of secrets (`asker` contains one), and locations in this
# installation's blobs.
# guard: webhook-secrets-not-exported
_UNEXPORTED_COLUMNS = frozenset(
    {"secret_sha256", "secret", "previous_secret", "token_sealed", "credentials_sealed", "blob_key", "asker"}
)


def build_tenant_condition(table: Table, tenant_id: str) -> ColumnElement[bool] | None:
    """Build the condition that selects a tenant's rows in a table.

    Returns None if the rows of the table belong to the installation rather than to tenants.
    """
    if "tenant_id" in table.c:
        return table.c.tenant_id == tenant_id
    if table in _VERSION_ID_TABLES:
        return table.c.version_id.in_(select(versions.c.id).where(versions.c.tenant_id == tenant_id))
    for key in table.foreign_keys:
        parent = key.column.table
        if "tenant_id" in parent.c:
            return key.parent.in_(select(key.column).where(parent.c.tenant_id == tenant_id))
    return None


def remove_tenant_rows(engine: Engine, tenant_id: str) -> dict[str, int]:
    """Remove a tenant's rows in small transactions, child tables first. Return the number of removed rows by table."""
    in_order = [
        *_VERSION_ID_TABLES,
        *(table for table in reversed(metadata.sorted_tables) if table not in _VERSION_ID_TABLES),
    ]
    removed = {
        table.name: _remove_table_rows(engine, table, tenant_id) for table in in_order if table not in _KEPT_TABLES
    }
    return {name: count for name, count in removed.items() if count}


def iter_exported_rows(engine: Engine, table: Table, tenant_id: str) -> Iterator[dict[str, Any]]:
    """Yield a tenant's rows in a table without secrets, ordered by key. Read a thousand rows at a time."""
    owned = build_tenant_condition(table, tenant_id)
    if owned is None:
        raise ValueError(f"Table {table.name} has no rows that belong to a tenant.")
    keys = list(table.primary_key.columns)
    query = select(table).where(owned).order_by(*keys).limit(_BATCH_ROWS)
    after: tuple[Any, ...] | None = None
    while True:
        with read_transaction(engine) as connection:
            page = query if after is None else query.where(tuple_(*keys) > after)
            rows = connection.execute(page).mappings().all()
        for row in rows:
            yield {name: value for name, value in row.items() if name not in _UNEXPORTED_COLUMNS}
        if len(rows) < _BATCH_ROWS:
            return
        after = tuple(rows[-1][key.name] for key in keys)


def _remove_table_rows(engine: Engine, table: Table, tenant_id: str) -> int:
    owned = build_tenant_condition(table, tenant_id)
    if owned is None:
        return 0
    key, removed = tuple_(*table.primary_key.columns), 0
    some = select(*table.primary_key.columns).where(owned).limit(_BATCH_ROWS)
    while True:
        with write_transaction(engine) as connection:
            count = connection.execute(delete(table).where(key.in_(some))).rowcount
        removed += count
        if count < _BATCH_ROWS:
            return removed


EXPORT_FORMAT = 1

Rows = Callable[[], Iterable[Mapping[str, Any]]]


@dataclass(frozen=True)
class ExportedOriginal:
    """An original: the id of its version or file, its bytes, and the SHA-256 of the uploaded bytes (hexadecimal)."""

    id: str
    blocks: Iterator[bytes]
    sha256: str


def write_export(
    file: IO[bytes], tenant_id: str, tables: Mapping[str, Rows], originals: Iterable["ExportedOriginal"]
) -> dict[str, int]:
    """Write an export as a ZIP file in one pass, using bounded memory.

    Returns the number of rows of each table and the number of originals. Originals that are removed during the export
    are omitted. The manifest lists originals whose bytes differ from the uploaded bytes.
    """
    counts: dict[str, int] = {}
    digests: dict[str, str] = {}
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, allowZip64=True) as archive:
        for name, rows in tables.items():
            counts[name], digests[f"{name}.jsonl"] = _write_rows(archive, f"{name}.jsonl", rows())
        changed: list[str] = []
        counts["originals"] = sum(_copy_original(archive, each, changed) for each in originals)
        if changed:
            counts["originals_changed"] = len(changed)
        made_at = datetime.fromtimestamp(time.time(), UTC).isoformat()
        manifest = {
            "format": EXPORT_FORMAT,
            "tenant": tenant_id,
            "made_at": made_at,
            "counts": counts,
            "sha256": digests,
        }
        manifest |= {"originals_changed": changed} if changed else {}
        archive.writestr("manifest.json", json.dumps(manifest, indent=2))
    return counts


def _write_rows(archive: zipfile.ZipFile, name: str, rows: Iterable[Mapping[str, Any]]) -> tuple[int, str]:
    count, digest = 0, hashlib.sha256()
    with archive.open(name, "w", force_zip64=True) as out:
        for row in rows:
            line = json.dumps(row, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
            out.write(line)
            digest.update(line)
            count += 1
    return count, digest.hexdigest()


def _copy_original(archive: zipfile.ZipFile, original: ExportedOriginal, changed_ids: list[str]) -> bool:
    """Copy an original, and add its id to `changed_ids` if its bytes differ from the uploaded bytes.

    Returns false if the original no longer exists or cannot be decrypted.
    """
    digest = hashlib.sha256()
    try:
        first = next(original.blocks, b"")
    except KeyError:
        return False
    except ContentChangedError:  # The sealed file cannot be decrypted.
        changed_ids.append(original.id)
        return False
    with archive.open(f"originals/{original.id}", "w", force_zip64=True) as out, suppress(ContentChangedError):
        for block in chain([first], original.blocks):
            digest.update(block)
            out.write(block)
    if digest.hexdigest() != original.sha256:
        changed_ids.append(original.id)
    return True


_BATCH_DOCUMENTS = 20
BlocksOf = Callable[[str], Iterator[bytes]]
_BATCH_VERSIONS = 1_000


# Names of the tables to export. Tables that do not exist in this release are skipped.
_EXPORTED_TABLES = (
    "documents",
    "versions",
    "card_edits",
    "card_values",
    "batches",
    "conversations",
    "answers",
    "pending_answers",
    "feedback",
    "shares",
    "runs",
    "users",
    "people",
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
    "sources",
    "source_items",
    "source_syncs",
    "audit",
)


class TenantData:
    """Exports or deletes all data of a tenant."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def require_tenant(self, tenant_id: str) -> None:
        """Raise `TenantNotFoundError` if the tenant does not exist."""
        with read_transaction(self._engine) as connection:
            if connection.execute(select(tenants.c.id).where(tenants.c.id == tenant_id)).first() is None:
                raise TenantNotFoundError(f"Tenant {tenant_id!r} not found.")

    def delete(self, tenant_id: str) -> None:
        """Disable a tenant immediately. Workers remove its data later.

        Raises `TenantNotFoundError` if the tenant does not exist.
        """
        TenantRemoval(self._engine).start_removal(tenant_id)

    def export(self, tenant_id: str, file: IO[bytes], read_blocks: BlocksOf) -> dict[str, int]:
        """Write the tenant's originals and rows, without secrets, to a ZIP file.

        Returns the numbers of originals and rows. `read_blocks` reads an original, given its blob key. Raises
        `TenantNotFoundError` if the tenant does not exist.
        """
        self.require_tenant(tenant_id)
        tables = {
            name: partial(iter_exported_rows, self._engine, metadata.tables[name], tenant_id)
            for name in _EXPORTED_TABLES
            if name in metadata.tables
        }
        counts = write_export(file, tenant_id, tables, self._iter_originals(tenant_id, read_blocks))
        Audit(self._engine).record_action(
            Action.TENANT_EXPORTED, f"tenant:{tenant_id}", tenant_id=tenant_id, counts=counts
        )
        return counts

    def _iter_originals(self, tenant_id: str, read_blocks: BlocksOf) -> Iterator[ExportedOriginal]:
        for table in (versions, files):
            query = select(table.c.id, table.c.blob_key, table.c.content_sha256).where(table.c.tenant_id == tenant_id)
            query, after = query.order_by(table.c.id).limit(_BATCH_VERSIONS), ""
            while True:
                with read_transaction(self._engine) as connection:
                    rows = connection.execute(query.where(table.c.id > after)).all()
                yield from (ExportedOriginal(row.id, read_blocks(row.blob_key), row.content_sha256) for row in rows)
                if len(rows) < _BATCH_VERSIONS:
                    break
                after = rows[-1].id


class TenantRemoval:
    """Removes tenants. `start` disables a tenant, and repeated calls of `run_step` remove its data.

    If `files` is given, each step also removes the bytes and rows of deleted files.
    """

    def __init__(self, engine: Engine, files: FileRemoval | None = None) -> None:
        self._engine = engine
        self._files = files

    def start_removal(self, tenant_id: str) -> None:
        """Revoke the tenant's keys, end its sources, and mark it as deleted. Repeating this is safe.

        Raises `TenantNotFoundError` if the tenant does not exist.
        """
        with write_transaction(self._engine) as connection:
            if connection.execute(select(tenants.c.id).where(tenants.c.id == tenant_id)).first() is None:
                raise TenantNotFoundError(f"Tenant {tenant_id!r} not found.")
            now = time.time()
            if not insert_row_if_absent(connection, tenant_deletions, tenant_id=tenant_id, deleted_at=now):
                return
            connection.execute(update(tenants).where(tenants.c.id == tenant_id).values(suspended_at=now))
            live = api_keys.c.tenant_id == tenant_id, api_keys.c.revoked_at.is_(None)
            of_tenant = webhooks.c.tenant_id == tenant_id, webhooks.c.disabled_at.is_(None)
            ended = {"disabled_at": now, "disabled_reason": "The tenant was deleted."}
            connection.execute(update(webhooks).where(*of_tenant).values(**ended))
            # guard: sources-of-deleted-tenant
            end_sources(connection, tenant_id, true(), removes_documents=True)
            revoked = connection.execute(update(api_keys).where(*live).values(revoked_at=now)).rowcount
            record_action(connection, Action.TENANT_DELETED, f"tenant:{tenant_id}", tenant_id=tenant_id, keys=revoked)

    def list_pending_tenants(self) -> list[str]:
        """List the deleted tenants that still have data."""
        with read_transaction(self._engine) as connection:
            return list(connection.execute(select(tenant_deletions.c.tenant_id)).scalars())

    def run_removal_step(self) -> bool:
        """Run one removal step for each deleted tenant. Return whether workers must remove content now."""
        more = any([self._run_tenant_step(tenant_id) for tenant_id in self.list_pending_tenants()])
        if self._files is not None:
            self._files.remove_deleted_files()
        return more

    def _run_tenant_step(self, tenant_id: str) -> bool:
        if self._delete_documents(tenant_id):
            return True
        with read_transaction(self._engine) as connection:
            left = versions.c.tenant_id == tenant_id, versions.c.hidden.is_(True)
            if connection.execute(select(versions.c.id).where(*left).limit(1)).first() is not None:
                return True
            with_bytes = select(files.c.id).where(files.c.tenant_id == tenant_id).limit(1)
            if connection.execute(with_bytes).first() is not None:
                return False  # This step removes only files; a later step removes the rows.
        self._remove_tenant_rows(tenant_id)
        return False

    def _delete_documents(self, tenant_id: str) -> bool:
        """Cancel the tenant's jobs, and delete its files and documents. Return whether it had any documents."""
        found = False
        while True:
            with write_transaction(self._engine) as connection:
                ended = jobs.c.tenant_id == tenant_id, jobs.c.kind.in_((JobKind.RUN, JobKind.SYNC))
                connection.execute(
                    update(jobs).where(*ended).values(state="cancelled", fence=jobs.c.fence + 1, lease_until=None)
                )
                unfinished = runs.c.tenant_id == tenant_id, runs.c.ended_as.is_(None)
                connection.execute(update(runs).where(*unfinished).values(ended_as=RunState.CANCELLED.value))
                kept = files.c.tenant_id == tenant_id, files.c.deleted_at.is_(None)
                # guard: files-of-deleted-tenant
                connection.execute(update(files).where(*kept).values(name="", deleted_at=time.time()))
                live = documents.c.tenant_id == tenant_id, documents.c.deleted_at.is_(None)
                query = select(documents.c.id).where(*live).order_by(documents.c.id).limit(_BATCH_DOCUMENTS)
                some = list(connection.execute(query).scalars())
                for identifier in some:
                    delete_document(connection, tenant_id, identifier)
                if some:
                    bump_corpus_versions(connection, [tenant_id])
            if not some:
                return found
            found = True

    def _remove_tenant_rows(self, tenant_id: str) -> None:
        """Remove the tenant's rows, its own row last, and add an entry to the audit log."""
        counts = remove_tenant_rows(self._engine, tenant_id)
        with write_transaction(self._engine) as connection:
            for table, column in ((tenant_deletions, tenant_deletions.c.tenant_id), (tenants, tenants.c.id)):
                connection.execute(delete(table).where(column == tenant_id))
            record_action(connection, Action.TENANT_ERASED, f"tenant:{tenant_id}", tenant_id=tenant_id, rows=counts)
        truncate_write_ahead_log(self._engine)
