"""Browser sessions, and one-time tickets that start a session.

The secret of a session or ticket has 256 random bits and is stored as a hash.
"""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, Engine, Row, delete, insert, select, update

from ingest.storage.accounts.grants import load_access
from ingest.storage.accounts.keys import find_live_principal
from ingest.storage.accounts.provider_sessions import (
    ProviderTokens,
    build_holder_columns,
    build_token_columns,
    hash_secret,
)
from ingest.storage.accounts.records import Principal, Scope
from ingest.storage.accounts.users import SESSION, TICKET, end_sessions
from ingest.storage.audit.records import Action
from ingest.storage.audit.store import record_action
from ingest.storage.db.database import read_transaction, write_transaction
from ingest.storage.db.schema import sessions, tenants

LIFETIME_SECONDS = 7 * 86_400.0
IDLE_SECONDS = 24 * 3_600.0
TICKET_SECONDS = 3_600.0
# Minimum time between two writes of a session's last use, so that most requests need no write.
_USE_INTERVAL_SECONDS = 300.0


@dataclass(frozen=True)
class LiveSession:
    """The principal of a session, and the time at which its identity provider last confirmed it.

    `refreshed_at` is None for a session that no provider confirms.
    """

    principal: Principal
    refreshed_at: float | None = None


class Sessions:
    """Starts, checks and ends sessions.

    A session has the permissions of the key that started it and ends with that key.
    """

    def __init__(self, engine: Engine, *, clock: Callable[[], float] = time.time) -> None:
        self._engine = engine
        self._clock = clock

    def issue_ticket(self, tenant_id: str, key_id: str, *, lifetime_seconds: float = TICKET_SECONDS) -> str:
        """Issue a ticket that starts one session with the permissions of the key.

        The ticket is valid for `lifetime_seconds`.
        """
        now, secret = self._clock(), secrets.token_urlsafe(32)
        with write_transaction(self._engine) as connection:
            principal = find_live_principal(connection, key_id, now)
            owner = f"key:{key_id}" if principal is None else principal.owner
            _insert_session(
                connection,
                secret,
                purpose=TICKET,
                tenant_id=tenant_id,
                key_id=key_id,
                owner=owner,
                now=now,
                ends_at=now + lifetime_seconds,
            )
        return secret

    def redeem_ticket(self, ticket: str) -> Principal | None:
        """Redeem a ticket and return its principal. Return None if the ticket is unknown, used or expired."""
        with write_transaction(self._engine) as connection:
            row = _find_live_row(connection, hash_secret(ticket), TICKET, self._clock())
            if row is None:
                return None
            # guard: sign-in-link-once
            used = connection.execute(delete(sessions).where(sessions.c.secret_sha256 == row.secret_sha256)).rowcount
            return _find_principal(connection, row, self._clock()) if used == 1 else None

    def start_session(
        self,
        principal: Principal,
        *,
        lifetime_seconds: float = LIFETIME_SECONDS,
        idle_seconds: float = IDLE_SECONDS,
        tokens: ProviderTokens | None = None,
    ) -> str:
        """Start a session and return its secret.

        The session ends at the latest when its principal's key or token expires. `tokens` are those of a sign-in at an
        identity provider.
        """
        now, secret = self._clock(), secrets.token_urlsafe(32)
        ends_at = min(now + lifetime_seconds, principal.expires_at or float("inf"))
        with write_transaction(self._engine) as connection:
            connection.execute(delete(sessions).where(sessions.c.ends_at <= now))
            _insert_session(
                connection,
                secret,
                purpose=SESSION,
                tenant_id=principal.tenant_id,
                key_id=principal.key_id,
                holder=None if principal.key_id else build_holder_columns(principal),
                owner=principal.owner,
                now=now,
                ends_at=ends_at,
                idle_seconds=idle_seconds,
                **({} if tokens is None else build_token_columns(tokens, secret, now)),
            )
            record_action(
                connection, Action.SESSION_BEGUN, principal.owner, tenant_id=principal.tenant_id, ends_at=ends_at
            )
        return secret

    def authenticate(self, secret: str) -> Principal | None:
        """Return the principal of a session, as `find_session` does."""
        found = self.find_session(secret)
        return None if found is None else found.principal

    def find_session(self, secret: str) -> LiveSession | None:
        """Return a live session, and record its use.

        Returns None if the session has ended or was idle for too long, or if its key is not live.
        """
        now = self._clock()
        with read_transaction(self._engine) as connection:
            row = _find_live_row(connection, hash_secret(secret), SESSION, now)
            principal = None if row is None else _find_principal(connection, row, now)
        if row is not None and principal is not None and now - row.used_at > _USE_INTERVAL_SECONDS:
            with write_transaction(self._engine) as connection:
                of_session = sessions.c.secret_sha256 == row.secret_sha256
                connection.execute(update(sessions).where(of_session).values(used_at=now))
        if row is None or principal is None:
            return None
        return LiveSession(replace(principal, expires_at=row.ends_at), row.refreshed_at)

    def end_session(self, secret: str) -> None:
        """End one session."""
        with write_transaction(self._engine) as connection:
            connection.execute(delete(sessions).where(sessions.c.secret_sha256 == hash_secret(secret)))

    def end_sessions(self, principal: Principal) -> int:
        """End all sessions of a principal and invalidate its unused tickets. Return the number of both."""
        return self.end_sessions_of_owner(principal.tenant_id, principal.owner)

    def end_sessions_of_owner(self, tenant_id: str, owner: str) -> int:
        """End all sessions of an owner (`user:NAME` or `key:ID`) and invalidate its unused tickets.

        Returns the number of both.
        """
        with write_transaction(self._engine) as connection:
            return end_sessions(connection, tenant_id, owner)


def _insert_session(
    connection: Connection,
    secret: str,
    *,
    now: float,
    idle_seconds: float = IDLE_SECONDS,
    **values: Any,  # noqa: ANN401 - columns
) -> None:
    connection.execute(
        insert(sessions).values(
            secret_sha256=hash_secret(secret), created_at=now, used_at=now, idle_seconds=idle_seconds, **values
        )
    )


def find_session_principal(connection: Connection, secret_sha256: str, now: float) -> Principal | None:
    """Return the principal of a live session by the hash of its secret, without counting as a use of the session."""
    row = _find_live_row(connection, secret_sha256, SESSION, now)
    principal = None if row is None else _find_principal(connection, row, now)
    return None if row is None or principal is None else replace(principal, expires_at=row.ends_at)


def _find_live_row(connection: Connection, secret_sha256: str, purpose: str, now: float) -> Row[Any] | None:
    """Find a live session or ticket by the hash of its secret.

    The lookup does not need to take constant time: an attacker cannot choose the hashes of guessed secrets, so its
    timing reveals nothing about a stored secret.
    """
    found = sessions.c.secret_sha256 == secret_sha256, sessions.c.purpose == purpose
    row = connection.execute(
        select(sessions, tenants.c.suspended_at).join(tenants, tenants.c.id == sessions.c.tenant_id).where(*found)
    ).first()
    if row is None or row.suspended_at is not None or row.ends_at <= now:
        return None
    # guard: session-idle-end
    return row if purpose == TICKET or now - row.used_at <= row.idle_seconds else None


def _find_principal(connection: Connection, row: Row[Any], now: float) -> Principal | None:
    if row.key_id is not None:
        return find_live_principal(connection, row.key_id, now)
    holder = row.holder or {}
    return load_access(
        connection,
        Principal(
            row.tenant_id,
            None,
            holder["name"],
            user=holder["user"],
            groups=frozenset(holder["groups"]),
            scopes=frozenset(scope for scope in Scope if scope in holder["scopes"]),
            expires_at=row.ends_at,
        ),
    )
