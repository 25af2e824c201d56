"""Wire models for tenants, users, keys and grants."""

import time
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import AwareDatetime, Field, StringConstraints, field_serializer

from api.http.wire import InOrder, Instant, Wire
from ingest.storage.accounts.records import MAX_NAME_CHARS, ROTATION_GRACE_SECONDS, Principal, Role, Scope

if TYPE_CHECKING:
    from ingest.storage.accounts.keys import ApiKey
    from ingest.storage.accounts.people import Person
    from ingest.storage.accounts.users import User, UserAccess

Name = Annotated[str, StringConstraints(min_length=1, max_length=MAX_NAME_CHARS)]
_MAX_GROUPS = 1_000
_MAX_GRACE_SECONDS = 90 * 86_400
_MAX_LINK_HOURS = 72


class TenantIn(Wire):
    """The name of a new tenant, or the new name of an existing one."""

    name: Name


class TenantChange(Wire):
    """Changes to a tenant. While a tenant is suspended, its keys and tokens are not valid."""

    name: Name | None = None
    suspended: bool | None = None


class TenantOut(Wire):
    """A tenant of the installation."""

    id: str
    name: str
    created_at: Instant
    suspended_at: Instant | None


class TenantPage(Wire):
    """A page of tenants, sorted by name; `next_cursor` is null on the last page."""

    tenants: list[TenantOut]
    next_cursor: str | None


class GroupsIn(Wire):
    """The complete list of a user's groups."""

    groups: list[Name] = Field(max_length=_MAX_GROUPS)


class UserIn(Wire):
    """A new user. ACLs and grants refer to it as `user:NAME`, so the name cannot be changed."""

    name: Name
    groups: list[Name] = Field(default_factory=list, max_length=_MAX_GROUPS)


class UserOut(Wire):
    """A user. `scopes` is the union of the scopes of its live `keys`; `sessions` counts its open browser sessions.

    `last_seen_at` is the last known use of a key or session, and may be a few minutes old. It is null if none is known.
    """

    id: str
    name: str
    groups: list[str]
    scopes: InOrder[Scope]
    keys: int
    sessions: int
    last_seen_at: Instant | None
    created_at: Instant

    @classmethod
    def from_user(cls, user: "User", access: "UserAccess") -> Self:
        return cls.from_records(user, access)


class UserPage(Wire):
    """A page of users, sorted by name; `next_cursor` is null on the last page."""

    users: list[UserOut]
    next_cursor: str | None


class PersonOut(Wire):
    """A person who signed in with an identity provider. ACLs and grants refer to this person as `user:` and `user`.

    People can often choose their `name`. Callers with the scope `write` or `admin` see `mail`; `mail_verified` says
    whether the provider has verified it. Only admins see the `groups` and the time of the last sign-in.
    """

    user: str
    name: str
    mail: str | None
    mail_verified: bool = Field(validation_alias="is_mail_verified")
    groups: InOrder[str] | None
    signed_in_at: Instant | None

    @classmethod
    def from_person(cls, person: "Person", caller: Principal) -> Self:
        """Build the model as shown to a caller."""
        hidden: dict[str, None] = {} if caller.is_admin else {"groups": None, "signed_in_at": None}
        # guard: mail-of-people-for-sharers
        if caller.scopes.isdisjoint((Scope.ADMIN, Scope.WRITE)):
            hidden |= {"mail": None}
        return cls.from_records(person, **hidden)


class PersonPage(Wire):
    """A page of people, sorted by name; `next_cursor` is null on the last page."""

    people: list[PersonOut]
    next_cursor: str | None


class GroupOut(Wire):
    """A group and its number of members."""

    name: str
    members: int


class GroupList(Wire):
    """The groups that have members, sorted by name."""

    groups: list[GroupOut]


class LinkIn(Wire):
    """A new sign-in link: the scopes of sessions started with it, and the number of hours for which it is valid."""

    scopes: set[Scope] = Field(
        default_factory=lambda: {Scope.READ, Scope.WRITE, Scope.ASK}, min_length=1, examples=[["read", "ask"]]
    )
    hours: float = Field(24, gt=0, le=_MAX_LINK_HOURS)

    @field_serializer("scopes")
    def sort_scopes(self, scopes: set[Scope]) -> list[Scope]:
        """Sort the scopes, so that the default value in the OpenAPI schema is the same in every process."""
        return sorted(scopes)


class LinkOut(Wire):
    """A one-time sign-in link, which is shown only once. Sessions started with it have the permissions of `key`."""

    url: str
    key: str
    expires_at: datetime


class SignedOutOut(Wire):
    """The number of closed sessions plus the number of invalidated unused sign-in links."""

    sessions: int


class KeyIn(Wire):
    """A new key. `user` is a user's id or name; the key then has that user's access to documents."""

    name: Name
    scopes: set[Scope] = Field(min_length=1)
    user: Name | None = None
    expires_at: AwareDatetime | None = None


class KeyChange(Wire):
    """Changes to a live key; `"expires_at": null` removes the expiry."""

    name: Name | None = None
    scopes: set[Scope] | None = Field(None, min_length=1)
    expires_at: AwareDatetime | None = None


class RotationIn(Wire):
    """The grace period of a rotation, during which both the old key and its replacement are valid."""

    grace_seconds: float = Field(ROTATION_GRACE_SECONDS, ge=0, le=_MAX_GRACE_SECONDS)


class KeyOut(Wire):
    """A key without its secret. `last_used_at` may be up to a minute old; `successor` is the replacement key."""

    id: str
    name: str
    scopes: InOrder[Scope]
    user: str | None
    state: Literal["live", "expired", "revoked"]
    created_at: Instant
    expires_at: Instant | None
    last_used_at: Instant | None
    revoked_at: Instant | None
    successor: str | None = Field(validation_alias="successor_id")

    @classmethod
    def from_key(cls, record: "ApiKey", /, **extra_fields: str) -> Self:
        return cls.from_records(record, state=record.get_state(time.time()), **extra_fields)


class NewKeyOut(KeyOut):
    """A new key. `key` is its secret, which is shown only once."""

    key: str

    @classmethod
    def from_new_key(cls, key_and_secret: "tuple[ApiKey, str]") -> Self:
        return cls.from_key(key_and_secret[0], key=key_and_secret[1])


class KeyPage(Wire):
    """A page of keys, oldest first, including revoked ones; `next_cursor` is null on the last page."""

    keys: list[KeyOut]
    next_cursor: str | None


class PrincipalOut(Wire):
    """The authenticated caller. `key` is null for a token of an identity provider."""

    tenant: str = Field(validation_alias="tenant_id")
    key: str | None = Field(validation_alias="key_id")
    name: str
    user: str | None
    groups: InOrder[str]
    scopes: InOrder[Scope]
    expires_at: Instant | None


class RoleIn(Wire):
    """The new role of a subject on a collection."""

    role: Role


class GrantOut(Wire):
    """A role on a collection, granted to a subject: `user:NAME`, `group:NAME` or `key:ID`."""

    collection: str
    subject: str
    role: Role
    created_at: Instant


class GrantList(Wire):
    """All grants of a collection, sorted by subject. A collection without grants is open to the whole tenant."""

    grants: list[GrantOut]
