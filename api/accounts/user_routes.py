"""`/v1/users` and `/v1/groups`: an admin manages users, their groups, sign-in links and sessions."""

import time
from collections import Counter
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from api.accounts.key_routes import require_grantable_scopes
from api.accounts.schemas import (
    GroupList,
    GroupOut,
    GroupsIn,
    LinkIn,
    LinkOut,
    SignedOutOut,
    UserIn,
    UserOut,
    UserPage,
)
from api.admission.access import Admin, ServicesDep
from api.admission.services import Services
from api.http.cursors import decode_text_cursor, encode_text_cursor
from api.http.wire import convert_timestamp
from api.portal.links import build_sign_in_link, ensure_portal_key, get_own_url
from ingest.storage.accounts.users import User

router = APIRouter(prefix="/v1", tags=["users"])

_DEFAULT_LINK = LinkIn()


@router.post("/users", status_code=201)
def create_user(body: UserIn, caller: Admin, services: ServicesDep, response: Response) -> UserOut:
    """Create a user. Keys created for it (`POST /v1/keys`) have the user's access to documents."""
    user = services.accounts.users.create(caller.tenant_id, body.name, body.groups)
    response.headers["Location"] = f"/v1/users/{user.id}"
    return _build_user_models(services, [user])[0]


@router.get("/users")
def list_users(
    caller: Admin, services: ServicesDep, limit: Annotated[int, Query(ge=1, le=500)] = 50, cursor: str | None = None
) -> UserPage:
    """List the tenant's users, sorted by name. Paginated."""
    found = services.accounts.users.list_users(caller.tenant_id, after=decode_text_cursor(cursor), limit=limit + 1)
    more = encode_text_cursor(found[limit - 1].name) if len(found) > limit else None
    return UserPage(users=_build_user_models(services, found[:limit]), next_cursor=more)


@router.get("/groups")
def list_groups(caller: Admin, services: ServicesDep) -> GroupList:
    """List the groups of the tenant's users, and of people at their last sign-in with an identity provider.

    A group exists as long as it has members.
    """
    found = Counter(services.accounts.users.count_group_members(caller.tenant_id))
    found += Counter(services.accounts.people.count_group_members(caller.tenant_id))
    return GroupList(groups=[GroupOut(name=name, members=members) for name, members in sorted(found.items())])


@router.get("/users/{user_id}")
def get_user(user_id: str, caller: Admin, services: ServicesDep) -> UserOut:
    """Show a user, by id or name."""
    return _build_user_models(services, [services.accounts.users.load_user(caller.tenant_id, user_id)])[0]


@router.patch("/users/{user_id}")
def change_user(user_id: str, body: GroupsIn, caller: Admin, services: ServicesDep) -> UserOut:
    """Replace a user's groups. The change applies from the next request of any of the user's keys."""
    return _build_user_models(services, [services.accounts.users.set_groups(caller.tenant_id, user_id, body.groups)])[0]


@router.post("/users/{user_id}/sign-in-link", status_code=201)
def create_sign_in_link(
    user_id: str, caller: Admin, services: ServicesDep, request: Request, body: LinkIn = _DEFAULT_LINK
) -> LinkOut:
    """Create a one-time link that signs this user in to the portal. Give it only to this user.

    Sessions started with the link have the permissions of the user's key `portal`, which is created if necessary and
    gets the requested scopes. Revoking that key or deleting the user closes the sessions.
    """
    # guard: admin-grants-own-scopes
    require_grantable_scopes(caller, body.scopes)
    user = services.accounts.users.load_user(caller.tenant_id, user_id)
    key = ensure_portal_key(services.keys, caller.tenant_id, user=user.name, scopes=frozenset(body.scopes))
    seconds = body.hours * 3600
    ticket = services.accounts.sessions.issue_ticket(caller.tenant_id, key.id, lifetime_seconds=seconds)
    url = build_sign_in_link(get_own_url(services.settings, request.scope), ticket)
    return LinkOut(url=url, key=key.id, expires_at=convert_timestamp(time.time() + seconds))


@router.post("/users/{user_id}/sign-out")
def sign_user_out(user_id: str, caller: Admin, services: ServicesDep) -> SignedOutOut:
    """Close all sessions of a user on all devices and invalidate unused links. The user's keys stay valid."""
    user = services.accounts.users.load_user(caller.tenant_id, user_id)
    ended = services.accounts.sessions.end_sessions_of_owner(caller.tenant_id, f"user:{user.name}")
    return SignedOutOut(sessions=ended)


@router.delete("/users/{user_id}", status_code=204)
def delete_user(user_id: str, caller: Admin, services: ServicesDep) -> None:
    """Delete a user, revoke its keys and close its sessions, all immediately.

    Grants and ACLs for `user:NAME` remain, and apply to any later user with the same name.
    """
    services.accounts.users.delete(caller.tenant_id, user_id)


def _build_user_models(services: Services, users: list[User]) -> list[UserOut]:
    access = services.accounts.users.load_access_rights(users[0].tenant_id, users) if users else {}
    return [UserOut.from_user(user, access[user.id]) for user in users]
