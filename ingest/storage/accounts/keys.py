"""API keys. A secret has 256 random bits, is stored as a hash, and is compared in constant time.

The time of a key's last use is recorded.
"""

import hashlib
import hmac
import queue
import secrets
import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import structlog
from sqlalchemy import Connection, Engine, Row, Select, bindparam, event, insert, select, update

from ingest.storage.accounts.grants import GRANTS_QUERY, apply_grants, load_access
from ingest.storage.accounts.records import ROTATION_GRACE_SECONDS, TENANT_SCOPES, Principal, Scope, validate_name
from ingest.storage.accounts.users import load_user
from ingest.storage.audit.records import Action
from ingest.storage.audit.store import record_action
from ingest.storage.db.database import FrequentQuery, lock_tenant, read_transaction, write_transaction
from ingest.storage.db.schema import api_keys, tenants, users
from ingest.storage.errors import KeyNotFoundError, KeyStateError, LeadlineError, NameInvalidError, TenantNotFoundError
from ingest.storage.quotas.rows import copy_limits

# Minimum time between two writes of a key's last use. Every request uses a key, so a write for each use would be
# expensive.
LAST_USE_INTERVAL_SECONDS = 60.0
_MAX_PENDING_USES = 1_000

log = structlog.get_logger(__name__)


class LastUseRecorder:
    """Records when keys were last used, in a background thread that starts on first use.

    If a write fails, the use is not recorded, because requests must not wait for this write or fail because of it.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._noted: dict[str, float] = {}
        self._waiting: queue.Queue[tuple[str, float] | None] = queue.Queue(_MAX_PENDING_USES)
        self._thread: threading.Thread | None = None
        self._is_closed = False
        self._pool = engine.pool
        event.listen(engine, "engine_disposed", lambda _: self.close())

    def record_use(self, key_id: str, written_at: float | None, used_at: float) -> None:
        """Queue this use for recording, unless a use within the previous minute is already known.

        `written_at` is the time of the last use recorded in the catalog. Uses already queued by this process also
        count.
        """
        with self._lock:
            known = max(written_at or 0.0, self._noted.get(key_id, 0.0))
            if used_at - known < LAST_USE_INTERVAL_SECONDS or self._is_closed:
                return
            if len(self._noted) >= _MAX_PENDING_USES:
                self._noted.clear()
            self._noted[key_id] = used_at
            if self._thread is None:
                self._thread = threading.Thread(target=self._write_pending_uses, name="last-use", daemon=True)
                self._thread.start()
        try:
            self._waiting.put_nowait((key_id, used_at))
        except queue.Full:
            log.debug("last use of key not recorded", key=key_id)

    def close(self) -> None:
        """Stop recording. A write in progress is completed; queued writes are dropped."""
        with self._lock:
            thread, self._thread, self._is_closed = self._thread, None, True
        if thread is not None:
            self._waiting.queue.clear()
            self._waiting.put(None)
            thread.join()
            # Disposing of an engine replaces its connection pool. By now, a write in progress has returned its
            # connection to the old pool.
            self._pool.dispose()

    def _write_pending_uses(self) -> None:
        while (use := self._waiting.get()) is not None:
            key_id, at = use
            self._pool = self._engine.pool
            older = api_keys.c.last_used_at.is_(None) | (api_keys.c.last_used_at < at)
            try:
                with write_transaction(self._engine) as connection:
                    connection.execute(update(api_keys).where(api_keys.c.id == key_id, older).values(last_used_at=at))
            except LeadlineError as error:
                log.debug("last use of key not recorded", key=key_id, error=repr(error))


_KEY_PREFIX = "ll"

# Every request runs this query, so it is built once.
_CHECK_QUERY = (
    select(api_keys, users.c.name.label("user"), users.c.groups, users.c.deleted_at, tenants.c.suspended_at)
    .join(tenants, tenants.c.id == api_keys.c.tenant_id)
    .outerjoin(users, users.c.id == api_keys.c.user_id)
    .where(api_keys.c.id == bindparam("id"))
)


@dataclass(frozen=True)
class ApiKey:
    """An API key without its secret.

    `user` is the name of the key's user. `successor_id` is the id of the key that replaced it in a rotation.
    `last_used_at` may be up to a minute old.
    """

    id: str
    tenant_id: str
    name: str
    scopes: frozenset[Scope]
    user: str | None
    created_at: float
    expires_at: float | None
    last_used_at: float | None
    revoked_at: float | None
    successor_id: str | None

    def get_state(self, now: float) -> str:
        """Return `live`, `expired` or `revoked`."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= now else "live"


class ApiKeys:
    """Issues, checks, lists, changes, rotates and revokes API keys.

    Each secret is returned once, when it is issued, and cannot be read later.

        key, secret = keys.issue(tenant_id, "ci", scopes={Scope.READ, Scope.ASK})
        principal = keys.check(secret)
    """

    def __init__(self, engine: Engine, *, clock: Callable[[], float] = time.time) -> None:
        self._engine = engine
        self._clock = clock
        self._last_use = LastUseRecorder(engine)
        self._checked, self._grants = FrequentQuery(engine, _CHECK_QUERY), FrequentQuery(engine, GRANTS_QUERY)

    def issue_key(
        self,
        tenant_id: str,
        name: str,
        *,
        scopes: Collection[Scope] = TENANT_SCOPES,
        user: str | None = None,
        expires_at: float | None = None,
    ) -> tuple[ApiKey, str]:
        """Create a key and return it with the secret that a client sends: `ll_<id>_<43 characters>`.

        `user` is the id or name of the key's user. Raises `TenantNotFoundError`, `UserNotFoundError`,
        `NameInvalidError` if the name is invalid or there are no scopes, and `KeyStateError` if the expiry is in the
        past.
        """
        now = self._clock()
        _require_valid_scopes_and_expiry(scopes, expires_at, now)
        with write_transaction(self._engine) as connection:
            if connection.execute(select(tenants.c.id).where(tenants.c.id == tenant_id)).first() is None:
                raise TenantNotFoundError(f"Tenant {tenant_id!r} not found.")
            user_id = None if user is None else load_user(connection, tenant_id, user).id
            issued = _insert_key(
                connection,
                tenant_id=tenant_id,
                name=validate_name(name, "key"),
                scopes=sorted(scopes),
                user_id=user_id,
                created_at=now,
                expires_at=expires_at,
            )
            _record_audit(
                connection, Action.KEY_CREATED, issued[0], scopes=sorted(scopes), user=user, expires_at=expires_at
            )
        return issued

    def authenticate(self, token: str) -> Principal | None:
        """Return the principal of the live key with this secret. Return None if there is no such key."""
        prefix, _, rest = token.partition("_")
        identifier, _, secret = rest.partition("_")
        if prefix != _KEY_PREFIX or not secret:
            return None
        now = self._clock()
        row = next(iter(self._checked.load_rows({"id": identifier})), None)
        # The hashes are compared even if the id is unknown, so that response times do not reveal which ids exist.
        expected = _hash_secret("") if row is None else row.secret_sha256
        if not hmac.compare_digest(expected, _hash_secret(secret)) or row is None or not _is_live_key(row, now):
            return None
        principal = _build_principal(row)
        if not principal.is_admin:
            principal = apply_grants(principal, self._grants.load_rows({"tenant_id": principal.tenant_id}))
        self._last_use.record_use(row.id, row.last_used_at, now)
        return principal

    def list_keys(self, tenant_id: str, *, after: str = "", limit: int = 1000) -> list[ApiKey]:
        """List keys by creation time, including revoked keys, starting after the key with id `after`, if given."""
        at, identifier = api_keys.c.created_at, api_keys.c.id
        query = _build_keys_query(tenant_id).order_by(at, identifier).limit(limit)
        if after:
            mine = api_keys.c.tenant_id == tenant_id, api_keys.c.id == after
            since = select(api_keys.c.created_at).where(*mine).scalar_subquery()
            query = query.where((at > since) | ((at == since) & (identifier > after)))
        with read_transaction(self._engine) as connection:
            rows = connection.execute(query).all()
        return [_build_key(row) for row in rows]

    def load_key(self, tenant_id: str, identifier: str) -> ApiKey:
        """Load a key. Raises `KeyNotFoundError` if it does not exist or belongs to another tenant."""
        with read_transaction(self._engine) as connection:
            return _load_key(connection, tenant_id, identifier)

    def change_key(self, tenant_id: str, identifier: str, changes: Mapping[str, Any]) -> ApiKey:
        """Change the `name`, `scopes` or `expires_at` of a live key.

        The change takes effect when the transaction commits. Raises `KeyNotFoundError` if the key does not exist,
        `KeyStateError` if it is not live or would already be expired, and `NameInvalidError` if the name is invalid or
        there are no scopes.
        """
        with write_transaction(self._engine) as connection:
            key, now = _require_live_key(connection, tenant_id, identifier, self._clock()), self._clock()
            values = dict(changes)
            _require_valid_scopes_and_expiry(
                values.get("scopes", key.scopes), values.get("expires_at", key.expires_at), now
            )
            if "name" in values:
                values["name"] = validate_name(values["name"], "key")
            if "scopes" in values:
                values["scopes"] = sorted(values["scopes"])
            if values:
                connection.execute(update(api_keys).where(api_keys.c.id == identifier).values(**values))
                _record_audit(connection, Action.KEY_CHANGED, key, changed=values)
            return _load_key(connection, tenant_id, identifier)

    def rotate_key(
        self, tenant_id: str, identifier: str, *, grace_seconds: float = ROTATION_GRACE_SECONDS
    ) -> tuple[ApiKey, str]:
        """Issue a new key with the same name, scopes, user, lifetime and quotas, and schedule the old key to expire.

        Both keys work for `grace_seconds`. Raises `KeyNotFoundError` if the key does not exist, and `KeyStateError` if
        it is not live or was already rotated.
        """
        with write_transaction(self._engine) as connection:
            lock_tenant(connection, tenant_id)
            now = self._clock()
            key = _require_live_key(connection, tenant_id, identifier, now)
            if key.successor_id is not None:
                raise KeyStateError(
                    f"Key {identifier} was already rotated: {key.successor_id} replaced it.",
                    hint="Rotate the new key instead.",
                )
            columns = select(api_keys.c.user_id).where(api_keys.c.id == identifier)
            successor = _insert_key(
                connection,
                tenant_id=tenant_id,
                name=key.name,
                scopes=sorted(key.scopes),
                user_id=connection.execute(columns).scalar_one(),
                created_at=now,
                expires_at=None if key.expires_at is None else now + key.expires_at - key.created_at,
            )
            copy_limits(connection, tenant_id, identifier, successor[0].id)
            ends = now + grace_seconds if key.expires_at is None else min(now + grace_seconds, key.expires_at)
            of_old = update(api_keys).where(api_keys.c.id == identifier)
            connection.execute(of_old.values(expires_at=ends, successor_id=successor[0].id))
            _record_audit(connection, Action.KEY_ROTATED, key, successor=successor[0].id, ends_at=ends)
        return successor

    def expire_key(self, tenant_id: str, identifier: str) -> None:
        """Expire a key now. Runs that it started continue; `revoke` stops them."""
        of_key = api_keys.c.tenant_id == tenant_id, api_keys.c.id == identifier
        with write_transaction(self._engine) as connection:
            connection.execute(update(api_keys).where(*of_key).values(expires_at=self._clock()))

    def revoke_key(self, tenant_id: str, identifier: str) -> bool:
        """Revoke a key and return true.

        Return false if the tenant has no such key or the key is already revoked.
        """
        of_key = api_keys.c.tenant_id == tenant_id, api_keys.c.id == identifier, api_keys.c.revoked_at.is_(None)
        with write_transaction(self._engine) as connection:
            revoked = connection.execute(update(api_keys).where(*of_key).values(revoked_at=self._clock())).rowcount == 1
            if revoked:
                record_action(connection, Action.KEY_REVOKED, f"key:{identifier}", tenant_id=tenant_id)
        return revoked


def _record_audit(connection: Connection, action: Action, key: ApiKey, **details: Any) -> None:  # noqa: ANN401 - JSON
    record_action(connection, action, f"key:{key.id}", tenant_id=key.tenant_id, name=key.name, **details)


def find_live_principal(connection: Connection, identifier: str, now: float) -> Principal | None:
    """Return the principal of a key if it is live now, otherwise None.

    Used by sessions that have the key's permissions.
    """
    row = connection.execute(_CHECK_QUERY, {"id": identifier}).first()
    return load_access(connection, _build_principal(row)) if row is not None and _is_live_key(row, now) else None


def find_current_principal(connection: Connection, identifier: str) -> Principal | None:
    """Return the current principal of a key for work that the key started, or None if the work must stop.

    If the key was rotated, its successor is used. Work that has started continues after the key expires, but stops if
    the key is revoked, its user is deleted or its tenant is suspended. The user's groups may have changed since the
    work started.
    """
    seen: set[str] = set()
    at: str | None = identifier
    while at is not None and at not in seen:
        seen.add(at)
        row = connection.execute(_CHECK_QUERY, {"id": at}).first()
        if row is None:
            return None
        if _is_usable_key(row):
            return load_access(connection, _build_principal(row))
        at = row.successor_id
    return None


def _insert_key(connection: Connection, **values: Any) -> tuple[ApiKey, str]:  # noqa: ANN401 - columns
    identifier, secret = secrets.token_hex(8), secrets.token_urlsafe(32)
    connection.execute(insert(api_keys).values(id=identifier, secret_sha256=_hash_secret(secret), **values))
    return _load_key(connection, values["tenant_id"], identifier), f"{_KEY_PREFIX}_{identifier}_{secret}"


def _is_live_key(row: Row[Any], now: float) -> bool:
    # guard: key-expiry
    return _is_usable_key(row) and (row.expires_at is None or row.expires_at > now)


def _is_usable_key(row: Row[Any]) -> bool:
    # guard: suspended-tenant-keys
    # guard: key-revocation
    return row.revoked_at is None and row.deleted_at is None and row.suspended_at is None


def _build_principal(row: Row[Any]) -> Principal:
    return Principal(
        row.tenant_id,
        row.id,
        row.name,
        user=row.user,
        groups=frozenset(row.groups or ()),
        scopes=_parse_scopes(row.scopes),
        expires_at=row.expires_at,
    )


def _require_valid_scopes_and_expiry(scopes: Collection[Scope], expires_at: float | None, now: float) -> None:
    """Raise `NameInvalidError` if a key has no scopes, and `KeyStateError` if it has already expired."""
    if not scopes:
        raise NameInvalidError(
            "A key must have at least one scope.", hint=f"The available scopes are {', '.join(Scope)}."
        )
    if expires_at is not None and expires_at <= now:
        raise KeyStateError("The expiry time is in the past.", hint="Set a time in the future, or revoke the key.")


def _require_live_key(connection: Connection, tenant_id: str, identifier: str, now: float) -> ApiKey:
    key = _load_key(connection, tenant_id, identifier)
    if key.get_state(now) != "live":
        raise KeyStateError(
            f"Key {identifier} is {key.get_state(now)} and cannot be changed.", hint="Create a new key."
        )
    return key


def _load_key(connection: Connection, tenant_id: str, identifier: str) -> ApiKey:
    row = connection.execute(_build_keys_query(tenant_id).where(api_keys.c.id == identifier)).first()
    if row is None:
        raise KeyNotFoundError(f"Key {identifier!r} not found.")
    return _build_key(row)


def _build_keys_query(tenant_id: str) -> Select[Any]:
    named = select(api_keys, users.c.name.label("user")).outerjoin(users, users.c.id == api_keys.c.user_id)
    return named.where(api_keys.c.tenant_id == tenant_id)


def _build_key(row: Row[Any]) -> ApiKey:
    return ApiKey(
        row.id,
        row.tenant_id,
        row.name,
        _parse_scopes(row.scopes),
        row.user,
        row.created_at,
        row.expires_at,
        row.last_used_at,
        row.revoked_at,
        row.successor_id,
    )


def _parse_scopes(names: Collection[str]) -> frozenset[Scope]:
    """Parse the scopes in a row.

    Unknown scopes are ignored, because they may have been stored by a later release.
    """
    return frozenset(scope for scope in Scope if scope in names)


def _hash_secret(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
