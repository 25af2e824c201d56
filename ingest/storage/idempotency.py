"""Idempotency keys of requests, and the stored responses that are returned when a request is repeated.

A key is claimed before the work starts, under a lease renewed by the process. If the same request is sent again before
the work is done, the second request is rejected, because the first is still in progress. If the process dies, the lease
expires and the next request continues under the same id. An object created under that id, such as a run, is created
only once.
"""

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Engine, delete, select, update

from ingest.storage.db.database import insert_row_if_absent, write_transaction
from ingest.storage.db.schema import idempotency_keys as keys
from ingest.storage.errors import IdempotencyKeyReusedError, RequestInProgressError

RETENTION_SECONDS = 24 * 3_600.0
LEASE_SECONDS = 60.0


@dataclass(frozen=True)
class Claim:
    """A claimed key.

    If the request creates an object whose id can be chosen, the object gets this `id`. `is_repeat` is true if the
    request was started before. `is_done` is true if the request has completed with `response` or, if `response` is
    None, with the object created under the id. `body_sha256` is the digest of a streamed body.
    """

    tenant_id: str
    key_sha256: str
    id: str
    is_repeat: bool = False
    is_done: bool = False
    body_sha256: str | None = None
    response: bytes | None = None


class IdempotencyKeys:
    """The idempotency keys of all tenants. A key's digest also covers the sender of the key."""

    def __init__(
        self, engine: Engine, *, retention_seconds: float = RETENTION_SECONDS, clock: Callable[[], float] = time.time
    ) -> None:
        self._engine = engine
        self._kept_seconds = retention_seconds
        self._clock = clock

    def claim(self, tenant_id: str, key_sha256: str, request_sha256: str) -> Claim:
        """Claim a key for a request, or return the claim of an earlier request with this key.

        Raises `IdempotencyKeyReusedError` if the key was used for a different request, and `RequestInProgressError` if
        the earlier request is still in progress.
        """
        now, of_key = self._clock(), (keys.c.tenant_id == tenant_id) & (keys.c.key_sha256 == key_sha256)
        with write_transaction(self._engine) as connection:
            connection.execute(delete(keys).where(of_key, keys.c.ends_at <= now))
            row = connection.execute(select(keys).where(of_key).with_for_update()).first()
            if row is None:
                fresh = Claim(tenant_id, key_sha256, str(uuid.uuid4()))
                values = {"request_sha256": request_sha256, "lease_until": now + LEASE_SECONDS}
                times = {"created_at": now, "ends_at": now + self._kept_seconds}
                if insert_row_if_absent(connection, keys, id=fresh.id, **_build_key_columns(fresh), **values, **times):
                    return fresh
                raise RequestInProgressError("An identical request is already in progress.")
            # guard: idempotency-same-request
            if row.request_sha256 != request_sha256:
                raise IdempotencyKeyReusedError("The Idempotency-Key was already used for a different request.")
            if row.done_at is None:
                # guard: idempotency-in-progress
                if row.lease_until > now:
                    raise RequestInProgressError("A request with this Idempotency-Key is already in progress.")
                connection.execute(update(keys).where(of_key).values(lease_until=now + LEASE_SECONDS))
            done = row.done_at is not None
            return Claim(tenant_id, key_sha256, row.id, True, done, row.body_sha256, row.response)

    def renew(self, claim: Claim) -> None:
        """Extend the lease of a request in progress."""
        self._update_claim(claim, lease_until=self._clock() + LEASE_SECONDS)

    def store_response(self, claim: Claim, response: bytes | None, body_sha256: str | None = None) -> None:
        """Store the response to a request.

        If `response` is None, a repeated request returns the object created under the request's id.
        """
        self._update_claim(claim, done_at=self._clock(), response=response, body_sha256=body_sha256)

    def release(self, claim: Claim) -> None:
        """Release the lease, so that the same request can start again under the same id."""
        self._update_claim(claim, lease_until=0.0)

    def delete(self, claim: Claim) -> None:
        """Delete the key of a request that changed nothing."""
        with write_transaction(self._engine) as connection:
            connection.execute(delete(keys).where(_build_claim_condition(claim)))

    def _update_claim(self, claim: Claim, **values: Any) -> None:  # noqa: ANN401 - columns
        with write_transaction(self._engine) as connection:
            connection.execute(update(keys).where(_build_claim_condition(claim)).values(**values))


def _build_key_columns(claim: Claim) -> dict[str, str]:
    return {"tenant_id": claim.tenant_id, "key_sha256": claim.key_sha256}


def _build_claim_condition(claim: Claim) -> ColumnElement[bool]:
    return (
        (keys.c.tenant_id == claim.tenant_id)
        & (keys.c.key_sha256 == claim.key_sha256)
        & (keys.c.id == claim.id)
        & keys.c.done_at.is_(None)
    )
