"""Tenants, users, keys and grants on the wire."""

import time
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import AwareDatetime, Field, StringConstraints, field_serializer

from api.http.wire import InOrder, Instant, Wire
from ingest.storage.accounts.records import MAX_NAME_CHARS, ROTATION_GRACE_SECONDS, Role, Scope

if TYPE_CHECKING:
    from ingest.storage.accounts.keys import ApiKey
    from ingest.storage.accounts.users import User, UserAccess

Name = Annotated[str, StringConstraints(min_length=1, max_length=MAX_NAME_CHARS)]
_MAX_GROUPS = 1_000
_MAX_GRACE_SECONDS = 90 * 86_400
_MAX_LINK_HOURS = 72


class TenantIn(Wire):
    """A new tenant, or its new name."""

    name: Name


class TenantChange(Wire):
    """Changes of a tenant; while a tenant is suspended, none of its keys and tokens is valid."""

    name: Name | None = None
    suspended: bool | None = None


class TenantOut(Wire):
    """A tenant of the installation."""

    id: str
    name: str
    created_at: Instant
    suspended_at: Instant | None


class TenantPage(Wire):
    """A page of tenants in the order of their names; `next_cursor` is null on the last one."""

    tenants: list[TenantOut]
    next_cursor: str | None


class GroupsIn(Wire):
    """The groups of a user; it is in no others."""

    groups: list[Name] = Field(max_length=_MAX_GROUPS)


class UserIn(Wire):
    """A new user. Its name is what ACLs and grants call `user:NAME`, and does not change."""

    name: Name
    groups: list[Name] = Field(default_factory=list, max_length=_MAX_GROUPS)


class UserOut(Wire):
    """A user of the tenant. `scopes` are those of its live `keys` together, and `sessions` counts its browsers."""

    id: str
    name: str
    groups: list[str]
    scopes: InOrder[Scope]
    keys: int
    sessions: int
    created_at: Instant

    @classmethod
    def from_user(cls, user: "User", access: "UserAccess") -> Self:
        return cls.from_records(user, access)


class UserPage(Wire):
    """A page of users in the order of their names; `next_cursor` is null on the last one."""

    users: list[UserOut]
    next_cursor: str | None


class GroupOut(Wire):
    """A group, and how many users are in it."""

    name: str
    members: int


class GroupList(Wire):
    """The groups that users are in, in the order of their names."""

    groups: list[GroupOut]


class LinkIn(Wire):
    """What a link lets its user do in the portal, from then on in every session of it, and how long it is good."""

    scopes: set[Scope] = Field(
        default_factory=lambda: {Scope.READ, Scope.WRITE, Scope.ASK}, min_length=1, examples=[["read", "ask"]]
    )
    hours: float = Field(24, gt=0, le=_MAX_LINK_HOURS)

    @field_serializer("scopes")
    def sort_scopes(self, scopes: set[Scope]) -> list[Scope]:
        """Keep the default in OpenAPI from having another order in each process."""
        return sorted(scopes)


class LinkOut(Wire):
    """A link that signs in whoever opens it first. It is shown this once. `key` is the key that its sessions act as."""

    url: str
    key: str
    expires_at: datetime


class SignedOutOut(Wire):
    """How many sessions and unused links were ended."""

    sessions: int


class KeyIn(Wire):
    """A new key. `user` is a user's id or name: the key then sees what that user may see."""

    name: Name
    scopes: set[Scope] = Field(min_length=1)
    user: Name | None = None
    expires_at: AwareDatetime | None = None


class KeyChange(Wire):
    """Changes of a live key; `"expires_at": null` removes the expiry."""

    name: Name | None = None
    scopes: set[Scope] | None = Field(None, min_length=1)
    expires_at: AwareDatetime | None = None


class RotationIn(Wire):
    """How long the old key stays valid beside its successor."""

    grace_seconds: float = Field(ROTATION_GRACE_SECONDS, ge=0, le=_MAX_GRACE_SECONDS)


class KeyOut(Wire):
    """A key without its secret. `last_used_at` may be a minute late; `successor` is the key that takes its place."""

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
    def from_key(cls, record: "ApiKey", /, **more: str) -> Self:
        return cls.from_records(record, state=record.get_state(time.time()), **more)


class NewKeyOut(KeyOut):
    """A new key with the text that a client sends, which is shown this once."""

    key: str

    @classmethod
    def from_new_key(cls, made: "tuple[ApiKey, str]") -> Self:
        return cls.from_key(made[0], key=made[1])


class KeyPage(Wire):
    """A page of keys, oldest first, revoked ones too; `next_cursor` is null on the last one."""

    keys: list[KeyOut]
    next_cursor: str | None


class PrincipalOut(Wire):
    """Who the caller is to the service. `key` is null for a token of an identity provider."""

    tenant: str = Field(validation_alias="tenant_id")
    key: str | None = Field(validation_alias="key_id")
    name: str
    user: str | None
    groups: InOrder[str]
    scopes: InOrder[Scope]
    expires_at: Instant | None


class RoleIn(Wire):
    """The role that a subject is to have, instead of the one it had."""

    role: Role


class GrantOut(Wire):
    """A subject, `user:NAME`, `group:NAME` or `key:ID`, has a role on a collection."""

    collection: str
    subject: str
    role: Role
    created_at: Instant


class GrantList(Wire):
    """All grants of a collection, in the order of their subjects; without any it is open to the tenant."""

    grants: list[GrantOut]
