"""Finds the person or program that asked a question again, after the request that asked it has gone."""

import time
from collections.abc import Callable

from sqlalchemy import Connection, Engine, select

from ingest.storage.accounts.grants import load_access
from ingest.storage.accounts.keys import find_current_principal
from ingest.storage.accounts.records import Asker, Principal, Scope
from ingest.storage.accounts.sessions import find_session_principal
from ingest.storage.db.database import read_transaction
from ingest.storage.db.schema import tenants


class Askers:
    """Finds the current permissions of askers."""

    def __init__(self, engine: Engine, *, clock: Callable[[], float] = time.time) -> None:
        self._engine = engine
        self._clock = clock

    def find_principal(self, asker: Asker) -> Principal | None:
        """Return the principal of an asker with its current permissions, or None if its work must stop.

        Work must stop if the asker's session was ended, its key was revoked, its user was deleted or its tenant was
        suspended. Like a run, work continues after the session, key or token has merely expired.
        """
        now = self._clock()
        with read_transaction(self._engine) as connection:
            if asker.session_sha256 is not None and (asker.expires_at is None or asker.expires_at > now):
                # guard: resumed-answers-need-session
                return find_session_principal(connection, asker.session_sha256, now)
            if asker.key_id is not None:
                return find_current_principal(connection, asker.key_id)
            return _find_token_principal(connection, asker)


def _find_token_principal(connection: Connection, asker: Asker) -> Principal | None:
    """Return the principal of a token, which was checked when the question was asked, with its current grants."""
    live = select(tenants.c.id).where(tenants.c.id == asker.tenant_id, tenants.c.suspended_at.is_(None))
    if connection.execute(live).first() is None:
        return None
    return load_access(
        connection,
        Principal(
            asker.tenant_id,
            None,
            asker.name,
            user=asker.user,
            groups=frozenset(asker.groups),
            scopes=frozenset(scope for scope in Scope if scope in asker.scopes),
            expires_at=asker.expires_at,
        ),
    )
