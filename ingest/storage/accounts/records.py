"""Who asks: a principal of one tenant, with what it may do and what it may see."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from ingest.storage.errors import CollectionNotFoundError, NameInvalidError, RoleMissingError

MAX_NAME_CHARS = 200
# For so long the old secret of a rotated key goes on to work.
ROTATION_GRACE_SECONDS = 24 * 3600.0
# Usage of a Slack channel is counted under this prefix and the channel's id; ids of keys have no colon.
SLACK_KEY_PREFIX = "slack:"


class Scope(StrEnum):
    """What a principal may do; none of them includes another."""

    READ = "read"  # list, search and read documents, answers and runs
    WRITE = "write"  # upload, change and delete documents
    ASK = "ask"  # ask questions, which spends the language model's time and money
    ADMIN = "admin"  # manage the tenant's users, keys and grants
    OPERATOR = "operator"  # manage the tenants of the installation; no tenant's admin can give it


TENANT_SCOPES = frozenset({Scope.READ, Scope.WRITE, Scope.ASK, Scope.ADMIN})


class Role(StrEnum):
    """What a subject may do with a collection; each includes the ones before."""

    READER = "reader"  # find, read and ask about its documents
    WRITER = "writer"  # upload, change and delete them
    ADMIN = "admin"  # manage its grants


_ROLE_RANKS = {role: rank for rank, role in enumerate(Role)}


@dataclass(frozen=True)
class CollectionAccess:
    """Collections that a principal may not use in full; every other one is open to it, within its scopes.

    `denied` ones are to it as if they were not there. `read_only` ones may be read, and `managed` ones are those whose
    grants it may change without the scope `admin`. `by_key` says that a grant names its key.
    """

    denied: frozenset[str] = frozenset()
    read_only: frozenset[str] = frozenset()
    managed: frozenset[str] = frozenset()
    by_key: bool = False

    @classmethod
    def from_grants(cls, grants: Iterable[tuple[str, str, Role]], subjects: frozenset[str]) -> "CollectionAccess":
        """Decide by the grants of a tenant, each a collection, a subject and a role: a collection without is open."""
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
        """Raise `CollectionNotFoundError` for a denied collection, and `RoleMissingError` for a read-only one."""
        if collection in self.denied:
            raise CollectionNotFoundError(f"There is no collection {collection!r}.")
        # guard: read-only-role
        if collection in self.read_only:
            raise RoleMissingError(f"This needs the role `writer` on the collection {collection!r}.")

    def can_read(self, collection: str) -> bool:
        return collection not in self.denied

    def can_write(self, collection: str) -> bool:
        return collection not in self.denied and collection not in self.read_only


OPEN_ACCESS = CollectionAccess()
# Among the readers of an admin, who needs no grant; no grant and no access list can name it.
ADMIN_READER = "scope:admin"


@dataclass(frozen=True)
class Principal:
    """The holder of a checked key or token. `name` is for people and logs; `expires_at` is when its credential ends."""

    tenant_id: str
    key_id: str | None
    name: str
    user: str | None = None
    groups: frozenset[str] = frozenset()
    scopes: frozenset[Scope] = frozenset()
    expires_at: float | None = None
    collections: CollectionAccess = OPEN_ACCESS

    @property
    def is_admin(self) -> bool:
        return Scope.ADMIN in self.scopes

    @property
    def subjects(self) -> frozenset[str]:
        """The names under which documents may be opened to it: `user:ann`, `group:hr`."""
        users = [] if self.user is None else [f"user:{self.user}"]
        return frozenset([*users, *(f"group:{group}" for group in self.groups)])

    @property
    def readers(self) -> frozenset[str] | None:
        """The subjects whose documents and collections it may see; None, for an admin that is no user, is all of them.

        Documents without an ACL are open to every principal of the tenant that may see their collection, and every
        collection is to an admin. A key's own name is among them only where a grant says so: what is kept for one key
        is used for another otherwise.
        """
        if self.is_admin and self.user is None:
            return None
        every = {ADMIN_READER} if self.is_admin else set()
        return self.subjects | every | ({f"key:{self.key_id}"} if self.collections.by_key else set())

    @property
    def owner(self) -> str:
        """The name under which the conversations, answers and runs of this principal are its own."""
        return f"user:{self.user}" if self.user is not None else f"key:{self.key_id}"

    @property
    def visible_owner(self) -> str | None:
        """The owner whose conversations, answers and runs it may see; None, for an admin, is everybody's."""
        return None if self.is_admin else self.owner

    def compute_access(self, grants: Iterable[tuple[str, str, Role]]) -> CollectionAccess:
        """Decide which collections it may use; a tenant's admin uses all of them."""
        if self.is_admin:
            return OPEN_ACCESS
        keys = frozenset() if self.key_id is None else frozenset({f"key:{self.key_id}"})
        return CollectionAccess.from_grants(grants, self.subjects | keys)


def validate_name(name: str, what: str) -> str:
    """Return a name of a tenant, user or group without surrounding spaces. Raises `NameInvalidError`."""
    name = name.strip()
    if not 1 <= len(name) <= MAX_NAME_CHARS or not name.isprintable():
        raise NameInvalidError(f"{name[:40]!r} is no name for a {what}.")
    return name


def validate_subject(subject: str) -> str:
    """Return a subject of a grant, such as `user:ann`. Raises `NameInvalidError`."""
    kind, colon, name = subject.partition(":")
    if not colon or kind not in ("user", "group", "key"):
        raise NameInvalidError(f"{subject[:40]!r} is no subject.", hint="Write user:NAME, group:NAME or key:ID.")
    return f"{kind}:{validate_name(name, kind)}"
