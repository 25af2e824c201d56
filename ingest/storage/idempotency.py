"""Keys of requests that may be sent again: who has begun the request, and the response it got.

A key is claimed before the work begins, under a lease that its process renews, so that the same request sent meanwhile
is told so. A process that dies leaves a lease that runs out, and the next one goes on under the same id: what is made
under that id, such as a run, is made once.
"""

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Engine, delete, select, update

from ingest.storage.db.database import insert_if_absent, write_transaction
from ingest.storage.db.schema import idempotency_keys as keys
from ingest.storage.errors import IdempotencyKeyReusedError, RequestUnderWayError

RETENTION_SECONDS = 24 * 3_600.0
LEASE_SECONDS = 60.0


@dataclass(frozen=True)
class Claim:
    """A claimed key. What the request makes has the `id`, if it has one of its own choosing.

    `is_repeat` says that the request has begun before, and `is_done` that it has its response: `response`, or where
    that is None, what was made under the id. `body_sha256` is the digest of a body that was streamed.
    """

    tenant_id: str
    key_sha256: str
    id: str
    is_repeat: bool = False
    is_done: bool = False
    body_sha256: str | None = None
    response: bytes | None = None


class IdempotencyKeys:
    """The keys of all tenants; a key's digest has in it who sent it."""

    def __init__(
        self, engine: Engine, *, kept_seconds: float = RETENTION_SECONDS, clock: Callable[[], float] = time.time
    ) -> None:
        self._engine = engine
        self._kept_seconds = kept_seconds
        self._clock = clock

    def claim(self, tenant_id: str, key_sha256: str, request_sha256: str) -> Claim:
        """Claim a key for a request, or find what it was given before.

        Raises `IdempotencyKeyReusedError` for another request with this key, and `RequestUnderWayError`.
        """
        now, of_key = self._clock(), (keys.c.tenant_id == tenant_id) & (keys.c.key_sha256 == key_sha256)
        with write_transaction(self._engine) as connection:
            connection.execute(delete(keys).where(of_key, keys.c.ends_at <= now))
            row = connection.execute(select(keys).where(of_key).with_for_update()).first()
            if row is None:
                fresh = Claim(tenant_id, key_sha256, str(uuid.uuid4()))
                values = {"request_sha256": request_sha256, "lease_until": now + LEASE_SECONDS}
                times = {"created_at": now, "ends_at": now + self._kept_seconds}
                if insert_if_absent(connection, keys, id=fresh.id, **_build_key_columns(fresh), **values, **times):
                    return fresh
                raise RequestUnderWayError("The same request is just beginning.")
            # guard: idempotency-same-request
            if row.request_sha256 != request_sha256:
                raise IdempotencyKeyReusedError("The Idempotency-Key belongs to another request.")
            if row.done_at is None:
                # guard: idempotency-in-progress
                if row.lease_until > now:
                    raise RequestUnderWayError("A request with this Idempotency-Key is under way.")
                connection.execute(update(keys).where(of_key).values(lease_until=now + LEASE_SECONDS))
            done = row.done_at is not None
            return Claim(tenant_id, key_sha256, row.id, True, done, row.body_sha256, row.response)

    def renew(self, claim: Claim) -> None:
        """Extend the lease of a request under way."""
        self._update_claim(claim, lease_until=self._clock() + LEASE_SECONDS)

    def store_response(self, claim: Claim, response: bytes | None, body_sha256: str | None = None) -> None:
        """Keep the response of a request, or None where what was made under its id is shown again."""
        self._update_claim(claim, done_at=self._clock(), response=response, body_sha256=body_sha256)

    def release(self, claim: Claim) -> None:
        """Let the same request begin again, under the same id."""
        self._update_claim(claim, lease_until=0.0)

    def delete(self, claim: Claim) -> None:
        """Give up a key whose request came to nothing."""
        with write_transaction(self._engine) as connection:
            connection.execute(delete(keys).where(_build_held_condition(claim)))

    def _update_claim(self, claim: Claim, **values: Any) -> None:  # noqa: ANN401 - columns
        with write_transaction(self._engine) as connection:
            connection.execute(update(keys).where(_build_held_condition(claim)).values(**values))


def _build_key_columns(claim: Claim) -> dict[str, str]:
    return {"tenant_id": claim.tenant_id, "key_sha256": claim.key_sha256}


def _build_held_condition(claim: Claim) -> ColumnElement[bool]:
    return (
        (keys.c.tenant_id == claim.tenant_id)
        & (keys.c.key_sha256 == claim.key_sha256)
        & (keys.c.id == claim.id)
        & keys.c.done_at.is_(None)
    )
