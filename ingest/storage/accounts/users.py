"""Users and groups of tenants, and the sessions of users and keys.

Deleting a user also revokes its keys and ends its sessions, in the same commit.
"""

import secrets
import time
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, Row, Select, delete, func, select, update
from sqlalchemy.exc import IntegrityError

from ingest.storage.accounts.people import end_groups_of_provider
from ingest.storage.accounts.records import Scope, validate_name
from ingest.storage.audit.records import Action
from ingest.storage.audit.store import record_action
from ingest.storage.db.database import read_transaction, write_transaction
from ingest.storage.db.schema import api_keys, sessions, tenants, users
from ingest.storage.errors import NameTakenError, TenantNotFoundError, UserNotFoundError

SESSION, TICKET = "session", "ticket"


def end_sessions(connection: Connection, tenant_id: str, owner: str) -> int:
    """End an owner's sessions and invalidate its unused tickets. Return the number of both.

    The groups of a person from an identity provider count again, in Slack, after the next sign-in.
    """
    of_owner = sessions.c.tenant_id == tenant_id, sessions.c.owner == owner
    ended = connection.execute(delete(sessions).where(*of_owner)).rowcount
    # guard: groups-end-with-sessions
    end_groups_of_provider(connection, tenant_id, owner)
    record_action(connection, Action.SESSIONS_ENDED, owner, tenant_id=tenant_id, sessions=ended)
    return ended


def count_sessions(connection: Connection, tenant_id: str, owners: Collection[str], now: float) -> dict[str, int]:
    """Count the live sessions of each owner. Owners without a live session are omitted."""
    live = (
        sessions.c.tenant_id == tenant_id,
        sessions.c.owner.in_(list(owners)),
        sessions.c.purpose == SESSION,
        sessions.c.ends_at > now,
        sessions.c.used_at + sessions.c.idle_seconds > now,
    )
    rows = connection.execute(select(sessions.c.owner, func.count()).where(*live).group_by(sessions.c.owner)).all()
    return {row[0]: row[1] for row in rows}


@dataclass(frozen=True)
class User:
    """A user. Access lists and grants name it as `user:NAME`, so its name cannot change. `groups` is sorted."""

    id: str
    tenant_id: str
    name: str
    groups: tuple[str, ...]
    created_at: float


@dataclass(frozen=True)
class UserAccess:
    """A user's access: the combined scopes of its live keys, and the number of live keys and of live sessions.

    `last_seen_at` is the last known use of a key or session, a few minutes old at most; None if there was none.
    """

    scopes: frozenset[Scope] = frozenset()
    keys: int = 0
    sessions: int = 0
    last_seen_at: float | None = None


class Users:
    """Creates, lists, changes and deletes users. Each method is one transaction on the users of a single tenant."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def create(self, tenant_id: str, name: str, groups: Collection[str] = ()) -> User:
        """Create a user.

        Raises `TenantNotFoundError`, `NameTakenError` if the name is in use, and `NameInvalidError` if it is invalid.
        """
        user = User(
            secrets.token_hex(8), tenant_id, validate_name(name, "user"), _normalize_groups(groups), time.time()
        )
        row = {"id": user.id, "tenant_id": tenant_id, "name": user.name, "created_at": user.created_at}
        with write_transaction(self._engine) as connection:
            if connection.execute(select(tenants.c.id).where(tenants.c.id == tenant_id)).first() is None:
                raise TenantNotFoundError(f"Tenant {tenant_id!r} not found.")
            try:
                with connection.begin_nested():
                    connection.execute(users.insert().values(**row, groups=list(user.groups)))
            except IntegrityError as error:
                raise NameTakenError(f"A user named {user.name!r} already exists.") from error
            _record_audit(connection, Action.USER_CREATED, user, groups=user.groups)
        return user

    def list_users(self, tenant_id: str, *, after: str = "", limit: int = 1000) -> list[User]:
        """List users sorted by name, starting after the name `after`."""
        query = _build_live_query(tenant_id).where(users.c.name > after).order_by(users.c.name).limit(limit)
        with read_transaction(self._engine) as connection:
            return [_build_user(row) for row in connection.execute(query).all()]

    def load_user(self, tenant_id: str, id_or_name: str) -> User:
        """Load a user by id or, if no id matches, by name. Raises `UserNotFoundError` if there is none."""
        with read_transaction(self._engine) as connection:
            return load_user(connection, tenant_id, id_or_name)

    def load_access_rights(self, tenant_id: str, listed_users: Sequence[User]) -> dict[str, UserAccess]:
        """Return the access rights of these users, keyed by user id."""
        now = time.time()
        live = (
            api_keys.c.user_id.in_([user.id for user in listed_users]),
            api_keys.c.revoked_at.is_(None),
            func.coalesce(api_keys.c.expires_at, now + 1) > now,
        )
        with read_transaction(self._engine) as connection:
            keys = connection.execute(select(api_keys.c.user_id, api_keys.c.scopes).where(*live)).all()
            signed_in = count_sessions(connection, tenant_id, [f"user:{user.name}" for user in listed_users], now)
            last_seen = _load_last_uses(connection, tenant_id, listed_users)
        scopes: dict[str, list[frozenset[Scope]]] = {}
        for user_id, named in keys:
            scopes.setdefault(user_id, []).append(frozenset(scope for scope in Scope if scope in named))
        return {
            user.id: UserAccess(
                frozenset().union(*scopes.get(user.id, [])),
                len(scopes.get(user.id, [])),
                signed_in.get(f"user:{user.name}", 0),
                last_seen.get(user.id),
            )
            for user in listed_users
        }

    def count_group_members(self, tenant_id: str) -> dict[str, int]:
        """Count the members of each group. Groups are sorted by name."""
        with read_transaction(self._engine) as connection:
            rows = connection.execute(_build_live_query(tenant_id).with_only_columns(users.c.groups)).scalars().all()
        return dict(sorted(Counter(group for groups in rows for group in groups).items()))

    def set_groups(self, tenant_id: str, id_or_name: str, groups: Collection[str]) -> User:
        """Replace a user's groups. The change takes effect when the transaction commits.

        Raises `UserNotFoundError` if the user does not exist, and `NameInvalidError` if a group name is invalid.
        """
        wanted = _normalize_groups(groups)
        with write_transaction(self._engine) as connection:
            user = load_user(connection, tenant_id, id_or_name)
            connection.execute(update(users).where(users.c.id == user.id).values(groups=list(wanted)))
            _record_audit(connection, Action.USER_CHANGED, user, groups=wanted)
            return load_user(connection, tenant_id, user.id)

    def delete(self, tenant_id: str, id_or_name: str) -> User:
        """Delete a user, revoke its keys and end its sessions. Raises `UserNotFoundError` if the user does not exist.

        Grants and access lists that name `user:NAME` are not removed, so a new user with this name would have the same
        access rights.
        """
        at = time.time()
        with write_transaction(self._engine) as connection:
            user = load_user(connection, tenant_id, id_or_name)
            connection.execute(update(users).where(users.c.id == user.id).values(deleted_at=at))
            of_user = api_keys.c.user_id == user.id, api_keys.c.revoked_at.is_(None)
            connection.execute(update(api_keys).where(*of_user).values(revoked_at=at))
            # guard: deleted-user-sessions
            end_sessions(connection, tenant_id, f"user:{user.name}")
            _record_audit(connection, Action.USER_DELETED, user)
        return user


def _record_audit(connection: Connection, action: Action, user: User, **details: Any) -> None:  # noqa: ANN401 - JSON
    record_action(connection, action, f"user:{user.id}", tenant_id=user.tenant_id, name=user.name, **details)


def load_user(connection: Connection, tenant_id: str, id_or_name: str) -> User:
    """Load a live user by id or, if no id matches, by name. Raises `UserNotFoundError` if there is none."""
    for column in (users.c.id, users.c.name):
        row = connection.execute(_build_live_query(tenant_id).where(column == id_or_name)).first()
        if row is not None:
            return _build_user(row)
    raise UserNotFoundError(f"User {id_or_name!r} not found.")


def _build_live_query(tenant_id: str) -> Select[Any]:
    return select(users).where(users.c.tenant_id == tenant_id, users.c.deleted_at.is_(None))


def _build_user(row: Row[Any]) -> User:
    return User(row.id, row.tenant_id, row.name, tuple(row.groups), row.created_at)


def _load_last_uses(connection: Connection, tenant_id: str, listed_users: Sequence[User]) -> dict[str, float]:
    """Return the time of the last use of each user's keys and sessions. Users without a use are omitted."""
    ids = {f"user:{user.name}": user.id for user in listed_users}
    of_keys = select(api_keys.c.user_id, func.max(api_keys.c.last_used_at)).where(
        api_keys.c.user_id.in_(list(ids.values())), api_keys.c.last_used_at.is_not(None)
    )
    of_sessions = select(sessions.c.owner, func.max(sessions.c.used_at)).where(
        sessions.c.tenant_id == tenant_id, sessions.c.owner.in_(list(ids)), sessions.c.purpose == SESSION
    )
    found: dict[str, float] = {}
    for user_id, used_at in (
        *connection.execute(of_keys.group_by(api_keys.c.user_id)).all(),
        *((ids[owner], at) for owner, at in connection.execute(of_sessions.group_by(sessions.c.owner)).all()),
    ):
        found[user_id] = max(found.get(user_id, 0.0), used_at)
    return found


def _normalize_groups(groups: Collection[str]) -> tuple[str, ...]:
    return tuple(sorted({validate_name(group, "group") for group in groups}))
