"""Records of resumable uploads: how many bytes are durable, which request is writing, and when the upload expires.

Only one request at a time, across all processes, writes to an upload. It holds the lease in the upload's row. Once
another request has taken the lease, writes by the first request are rejected.
"""

import secrets
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Engine, Row, delete, func, insert, select, update

from ingest.storage.db.database import iter_slices, lock_tenant, read_transaction, write_transaction
from ingest.storage.db.schema import uploads
from ingest.storage.errors import (
    BacklogFullError,
    LeaseLostError,
    UploadNotFoundError,
    UploadOffsetError,
    UploadTakenError,
)
from ingest.storage.quotas.records import Account, Quota
from ingest.storage.quotas.store import QuotaRules, build_storage_error

UPLOAD_LIFETIME_SECONDS = 24 * 3_600.0
# Duration of a lease. It must be longer than the server's timeout for a silent client, and longer than a writer works
# without recording progress.
LEASE_SECONDS = 90.0
# Maximum number of open uploads per tenant.
MAX_OPEN_UPLOADS = 1_000


@dataclass(frozen=True)
class PartialUpload:
    """An upload of `length` bytes, of which `received` are durable.

    `description` is the parsed description of the document, and `header` is the string from which it was parsed.
    `document_id` is the id of the document created from the complete upload.
    """

    id: str
    tenant_id: str
    owner: str
    length: int
    received: int
    description: Mapping[str, Any]
    header: str
    document_id: str | None
    ends_at: float


class Uploads:
    """Resumable uploads of all tenants. Each upload belongs to one owner."""

    def __init__(
        self,
        engine: Engine,
        *,
        quotas: QuotaRules,
        lifetime_seconds: float = UPLOAD_LIFETIME_SECONDS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._engine = engine
        self._quotas = quotas
        self._kept_seconds = lifetime_seconds
        self._clock = clock

    def create(
        self, account: Account, owner: str, length: int, description: Mapping[str, Any], header: str
    ) -> PartialUpload:
        """Start an upload. From now on, its bytes count against the quotas.

        Raises `StorageQuotaExceededError` if a quota would be exceeded, and `BacklogFullError` if the tenant already
        has `MAX_OPEN_UPLOADS` open uploads.
        """
        now = self._clock()
        with write_transaction(self._engine) as connection:
            lock_tenant(connection, account.tenant_id)
            is_open = (uploads.c.tenant_id == account.tenant_id, *_build_open_conditions(now))
            count, reserved = connection.execute(
                select(func.count(), func.coalesce(func.sum(uploads.c.length), 0)).where(*is_open)
            ).one()
            if count >= MAX_OPEN_UPLOADS:
                raise BacklogFullError(f"The tenant already has {count:,} open uploads, which is the limit.")
            by_key = connection.execute(
                select(func.coalesce(func.sum(uploads.c.length), 0)).where(*is_open, uploads.c.key_id == account.key_id)
            ).scalar_one()
            for standing in self._quotas.load_statuses(connection, account, [Quota.BYTES]):
                # guard: upload-quota
                if standing.remaining - int(reserved if standing.of == "tenant" else by_key) < length:
                    raise build_storage_error(standing)
            made = PartialUpload(
                str(uuid.uuid4()),
                account.tenant_id,
                owner,
                length,
                0,
                description,
                header,
                None,
                now + self._kept_seconds,
            )
            connection.execute(
                insert(uploads).values(
                    id=made.id,
                    tenant_id=made.tenant_id,
                    owner=owner,
                    key_id=account.key_id,
                    length=length,
                    received=0,
                    description=dict(description),
                    header=header,
                    lease_until=0.0,
                    created_at=now,
                    ends_at=made.ends_at,
                )
            )
        return made

    def load(self, tenant_id: str, upload_id: str, owner: str) -> PartialUpload:
        """Load an upload. Raises `UploadNotFoundError` if it does not exist, has another owner, or has expired."""
        with read_transaction(self._engine) as connection:
            row = connection.execute(
                select(uploads).where(self._build_owner_condition(tenant_id, upload_id, owner))
            ).first()
        return _build_upload(row, upload_id)

    def acquire_lease(self, tenant_id: str, upload_id: str, owner: str, offset: int) -> tuple[PartialUpload, str]:
        """Lease an upload for writing, and return it with a token for the writer.

        Raises `UploadNotFoundError` if the upload does not exist, `UploadOffsetError` unless exactly `offset` bytes are
        durable, and `UploadTakenError` if another request is writing to it.
        """
        now, writer = self._clock(), secrets.token_hex(16)
        with write_transaction(self._engine) as connection:
            of_upload = self._build_owner_condition(tenant_id, upload_id, owner)
            row = connection.execute(select(uploads).where(of_upload).with_for_update()).first()
            found = _build_upload(row, upload_id)
            # guard: upload-single-writer
            if row is not None and row.writer is not None and row.lease_until > now:
                raise UploadTakenError("Another request is writing to this upload.")
            if found.received != offset:
                raise UploadOffsetError(
                    f"The upload has {found.received:,} bytes, but the request starts at byte {offset:,}."
                )
            taken = {"writer": writer, "lease_until": now + LEASE_SECONDS}
            connection.execute(update(uploads).where(of_upload).values(**taken))
        return found, writer

    def record_progress(self, upload_id: str, writer_token: str, received: int) -> float:
        """Record the number of durable bytes, extend the lease, and return the time at which the upload expires.

        Raises `LeaseLostError` if the lease was lost.
        """
        now = self._clock()
        ends_at = now + self._kept_seconds
        self._update_held_upload(
            upload_id, writer_token, received=received, lease_until=now + LEASE_SECONDS, ends_at=ends_at
        )
        return ends_at

    def release_lease(self, upload_id: str, writer_token: str, received: int) -> None:
        """Record the number of durable bytes and release the lease, so that another request may continue.

        Raises `LeaseLostError` if the lease was lost.
        """
        ends_at = self._clock() + self._kept_seconds
        self._update_held_upload(upload_id, writer_token, received=received, writer=None, ends_at=ends_at)

    def finish(self, upload_id: str, writer_token: str, document_id: str) -> None:
        """Record the document created from the complete upload, and release the lease.

        Clients can read the record until the upload expires. Raises `LeaseLostError` if the lease was lost.
        """
        whole = {"received": uploads.c.length, "document_id": document_id}
        self._update_held_upload(upload_id, writer_token, writer=None, **whole)

    def delete(self, tenant_id: str, upload_id: str, owner: str) -> None:
        """Delete an upload.

        Raises `UploadNotFoundError` if the upload does not exist, and `UploadTakenError` while a request is writing to
        it.
        """
        with write_transaction(self._engine) as connection:
            of_upload = self._build_owner_condition(tenant_id, upload_id, owner)
            row = connection.execute(select(uploads).where(of_upload).with_for_update()).first()
            _build_upload(row, upload_id)
            if row is not None and row.writer is not None and row.lease_until > self._clock():
                raise UploadTakenError("Another request is writing to this upload.")
            connection.execute(delete(uploads).where(of_upload))

    def discard(self, upload_id: str, writer_token: str) -> None:
        """Delete an unusable upload on behalf of the request that is writing to it."""
        with write_transaction(self._engine) as connection:
            connection.execute(delete(uploads).where(uploads.c.id == upload_id, uploads.c.writer == writer_token))

    def delete_expired_uploads(self) -> list[str]:
        """Delete the expired uploads and return their ids."""
        over = uploads.c.ends_at <= self._clock(), uploads.c.lease_until <= self._clock()
        with write_transaction(self._engine) as connection:
            found = list(connection.execute(select(uploads.c.id).where(*over)).scalars())
            connection.execute(delete(uploads).where(*over))
        return found

    def select_existing_ids(self, upload_ids: Sequence[str]) -> set[str]:
        """Select those of these ids whose upload exists."""
        with read_transaction(self._engine) as connection:
            some = (select(uploads.c.id).where(uploads.c.id.in_(each)) for each in iter_slices(upload_ids))
            return {found for query in some for found in connection.execute(query).scalars()}

    def _build_owner_condition(self, tenant_id: str, upload_id: str, owner: str) -> ColumnElement[bool]:
        # guard: upload-of-sender
        mine = (uploads.c.tenant_id == tenant_id) & (uploads.c.owner == owner)
        return (uploads.c.id == upload_id) & mine & (uploads.c.ends_at > self._clock())

    def _update_held_upload(self, upload_id: str, writer_token: str, /, **values: Any) -> None:  # noqa: ANN401 - columns
        held = uploads.c.id == upload_id, uploads.c.writer == writer_token
        with write_transaction(self._engine) as connection:
            if connection.execute(update(uploads).where(*held).values(**values)).rowcount != 1:
                raise LeaseLostError(f"Another request has taken over upload {upload_id}, or the upload was deleted.")


def _build_open_conditions(now: float) -> tuple[ColumnElement[bool], ...]:
    return uploads.c.document_id.is_(None), uploads.c.ends_at > now


def _build_upload(row: Row[Any] | None, upload_id: str) -> PartialUpload:
    if row is None:
        raise UploadNotFoundError(f"Upload {upload_id!r} not found. It may have expired.")
    return PartialUpload(
        row.id,
        row.tenant_id,
        row.owner,
        row.length,
        row.received,
        row.description,
        row.header,
        row.document_id,
        row.ends_at,
    )
