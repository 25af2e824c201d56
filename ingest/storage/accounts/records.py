"""The principal of a request: a tenant's key, token or session, with its permissions and access rights."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Self

from ingest.storage.errors import CollectionNotFoundError, NameInvalidError, RoleMissingError

MAX_NAME_CHARS = 200
# Time after a rotation for which the old key keeps working, so that clients can switch to the new key without downtime.
ROTATION_GRACE_SECONDS = 24 * 3600.0
# Prefix of the key id under which the usage of a Slack channel is counted. The channel's id follows the prefix. Ids of
# API keys contain no colon.
SLACK_KEY_PREFIX = "slack:"


class Scope(StrEnum):
    """A permission of a principal. No scope includes another."""

    READ = "read"  # list, search and read documents, answers and runs
    WRITE = "write"  # upload, change and delete documents
    ASK = "ask"  # ask questions, which costs model time and money
    ADMIN = "admin"  # manage the tenant's users, keys and grants
    OPERATOR = "operator"  # manage the tenants of the installation; a tenant's admin cannot grant this scope


TENANT_SCOPES = frozenset({Scope.READ, Scope.WRITE, Scope.ASK, Scope.ADMIN})


class Role(StrEnum):
    """A subject's role on a collection. Each role includes the ones before it."""

    READER = "reader"  # find, read and ask about the collection's documents
    WRITER = "writer"  # upload, change and delete the collection's documents
    ADMIN = "admin"  # manage the collection's grants


_ROLE_RANKS = {role: rank for rank, role in enumerate(Role)}


@dataclass(frozen=True)
class CollectionAccess:
    """The collections to which a principal's access is restricted. Its scopes alone govern other collections.

    `denied` collections appear not to exist. `read_only` collections can be read but not changed. The principal may
    change the grants of `managed` collections without having the scope `admin`. `by_key` is true if a grant names the
    principal's key.
    """

    denied: frozenset[str] = frozenset()
    read_only: frozenset[str] = frozenset()
    managed: frozenset[str] = frozenset()
    by_key: bool = False

    @classmethod
    def from_grants(cls, grants: Iterable[tuple[str, str, Role]], subjects: frozenset[str]) -> "CollectionAccess":
        """Compute the access of `subjects` from a tenant's grants, given as triples of collection, subject and role.

        A collection without grants is open to everyone in the tenant.
        """
        best: dict[str, int] = {}
        by_key = False
        for collection, subject, role in grants:
            rank = _ROLE_RANKS[role] if subject in subjects else -1
            by_key |= rank >= 0 and subject.startswith("key:")
            best[collection] = max(rank, best.get(collection, -1))
        return cls(
            denied=frozenset(name for name, rank in best.items() if rank < 0),
            read_only=frozenset(name for name, rank in best.items() if rank == _ROLE_RANKS[Role.READER]),
            managed=frozenset(name for name, rank in best.items() if rank == _ROLE_RANKS[Role.ADMIN]),
            by_key=by_key,
        )

    def require_writable(self, collection: str) -> None:
        """Raise `CollectionNotFoundError` if the collection is denied, and `RoleMissingError` if it is read-only."""
        if collection in self.denied:
            raise CollectionNotFoundError(f"Collection {collection!r} not found.")
        # guard: read-only-role
        if collection in self.read_only:
            raise RoleMissingError(f"This requires the role `writer` on the collection {collection!r}.")

    def can_read(self, collection: str) -> bool:
        return collection not in self.denied

    def can_write(self, collection: str) -> bool:
        return collection not in self.denied and collection not in self.read_only


OPEN_ACCESS = CollectionAccess()


@dataclass(frozen=True)
class Profile:
    """The display name and mail address of a person, as an identity provider states them.

    People can often choose both themselves. Only an address that the provider has verified identifies a person.
    """

    name: str
    mail: str | None = None
    is_mail_verified: bool = False


# An additional reader, which every admin who is also a user has. It gives access to all collections without a grant. It
# is not a valid subject, so no grant or access list can name it.
ADMIN_READER = "scope:admin"


@dataclass(frozen=True)
class Principal:
    """The authenticated holder of a key or token.

    `name` is for display and logging. `expires_at` is the time at which the credential expires. `other_users` are
    further names of the same person, as in `user:NAME`. `profile` is that of a token.
    """

    tenant_id: str
    key_id: str | None
    name: str
    user: str | None = None
    groups: frozenset[str] = frozenset()
    scopes: frozenset[Scope] = frozenset()
    expires_at: float | None = None
    collections: CollectionAccess = OPEN_ACCESS
    other_users: frozenset[str] = frozenset()
    profile: Profile | None = field(default=None, compare=False)

    @property
    def is_admin(self) -> bool:
        return Scope.ADMIN in self.scopes

    @property
    def subjects(self) -> frozenset[str]:
        """The principal's subjects, such as `user:ann`, as they appear in access lists."""
        users = () if self.user is None else (self.user, *self.other_users)
        return frozenset([*(f"user:{user}" for user in users), *(f"group:{group}" for group in self.groups)])

    @property
    def readers(self) -> frozenset[str] | None:
        """The subjects whose documents and collections this principal may see.

        None for an admin that is not a user, who may see everything. Documents without an access list are visible to
        every principal that may see their collection, and an admin may see every collection. The key's own subject is
        included only if a grant names the key, so that keys with access to the same documents can share cache entries.
        """
        if self.is_admin and self.user is None:
            return None
        every = {ADMIN_READER} if self.is_admin else set()
        return self.subjects | every | ({f"key:{self.key_id}"} if self.collections.by_key else set())

    @property
    def owner(self) -> str:
        """The owner under which the principal's conversations, answers and runs are stored: `user:NAME` or `key:ID`."""
        return f"user:{self.user}" if self.user is not None else f"key:{self.key_id}"

    @property
    def owners(self) -> frozenset[str]:
        """All names under which the same person has stored something, such as an upload by way of Slack."""
        return frozenset({self.owner, *(f"user:{user}" for user in self.other_users)})

    @property
    def visible_owner(self) -> str | None:
        """The only owner whose conversations, answers and runs the principal may see.

        None for an admin, who sees all.
        """
        return None if self.is_admin else self.owner

    def compute_access(self, grants: Iterable[tuple[str, str, Role]]) -> CollectionAccess:
        """Compute the principal's access to collections from the tenant's grants.

        An admin has full access to all collections.
        """
        if self.is_admin:
            return OPEN_ACCESS
        keys = frozenset() if self.key_id is None else frozenset({f"key:{self.key_id}"})
        return CollectionAccess.from_grants(grants, self.subjects | keys)


@dataclass(frozen=True)
class Asker:
    """The caller that asked a question, without its secret.

    `session_sha256` is the hash of the secret of the caller's browser session. `key_id` is None for callers with a
    token of an identity provider; the other fields are those of the token.
    """

    tenant_id: str
    key_id: str | None
    name: str
    user: str | None
    groups: tuple[str, ...]
    scopes: tuple[str, ...]
    expires_at: float | None
    session_sha256: str | None = None

    @classmethod
    def from_principal(cls, principal: Principal, session_sha256: str | None = None) -> Self:
        return cls(
            principal.tenant_id,
            principal.key_id,
            principal.name,
            principal.user,
            tuple(sorted(principal.groups)),
            tuple(sorted(principal.scopes)),
            principal.expires_at,
            session_sha256,
        )

    @classmethod
    def from_columns(cls, columns: Mapping[str, Any]) -> Self:
        return cls(**{**columns, "groups": tuple(columns["groups"]), "scopes": tuple(columns["scopes"])})

    def to_columns(self) -> dict[str, Any]:
        return asdict(self)


def validate_name(name: str, label: str) -> str:
    """Return the name of a tenant, user, group or key without surrounding spaces.

    Raises `NameInvalidError` if it is invalid.
    """
    name = name.strip()
    if not 1 <= len(name) <= MAX_NAME_CHARS or not name.isprintable():
        raise NameInvalidError(f"{name[:40]!r} is not a valid {label} name.")
    return name


def validate_subject(subject: str) -> str:
    """Return the normalized subject of a grant, such as `user:ann`. Raises `NameInvalidError` if it is invalid."""
    kind, colon, name = subject.partition(":")
    if not colon or kind not in ("user", "group", "key"):
        raise NameInvalidError(
            f"{subject[:40]!r} is not a valid subject.", hint="Write user:NAME, group:NAME or key:ID."
        )
    return f"{kind}:{validate_name(name, kind)}"
