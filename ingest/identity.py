"""Who asks: a principal of one tenant, with what it may do and whose documents it may see."""

from dataclasses import dataclass
from enum import StrEnum


class Scope(StrEnum):
    """What a principal may do; none of them includes another."""

    READ = "read"  # list, search and read documents, answers and runs
    WRITE = "write"  # upload, change and delete documents
    ASK = "ask"  # ask questions, which spends the language model's time and money
    ADMIN = "admin"  # manage the tenant's users, keys and grants


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

    @property
    def subjects(self) -> frozenset[str]:
        """The names under which documents and collections may be opened to it: `user:ann`, `group:hr`."""
        users = [] if self.user is None else [f"user:{self.user}"]
        return frozenset([*users, *(f"group:{group}" for group in self.groups)])

    @property
    def readers(self) -> frozenset[str] | None:
        """The subjects whose documents it may see; None, for an admin that is no user, means every one of the tenant.

        Documents without an ACL are open to every principal of the tenant.
        """
        return None if Scope.ADMIN in self.scopes and self.user is None else self.subjects
