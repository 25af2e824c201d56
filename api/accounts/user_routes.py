"""`/v1/users` and `/v1/groups`: an admin's users, the groups they are in, links that sign them in, and their end."""

import time
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
from api.admission.access import Admin, Served
from api.admission.services import Services
from api.http.cursors import decode_text_cursor, encode_text_cursor
from api.http.wire import to_instant
from api.portal.links import build_sign_in_link, ensure_portal_key, get_own_address
from ingest.storage.accounts.users import User

router = APIRouter(prefix="/v1", tags=["users"])

_DEFAULT_LINK = LinkIn()


@router.post("/users", status_code=201)
def create(body: UserIn, caller: Admin, served: Served, response: Response) -> UserOut:
    """Make a user of the caller's tenant. A key that belongs to it (`POST /v1/keys`) sees what the user may see."""
    user = served.accounts.users.create(caller.tenant_id, body.name, body.groups)
    response.headers["Location"] = f"/v1/users/{user.id}"
    return _to_wire(served, [user])[0]


@router.get("/users")
def listing(
    caller: Admin, served: Served, limit: Annotated[int, Query(ge=1, le=500)] = 50, cursor: str | None = None
) -> UserPage:
    """List the tenant's users in the order of their names, a page at a time."""
    found = served.accounts.users.list_users(caller.tenant_id, after=decode_text_cursor(cursor), limit=limit + 1)
    more = encode_text_cursor(found[limit - 1].name) if len(found) > limit else None
    return UserPage(users=_to_wire(served, found[:limit]), next_cursor=more)


@router.get("/groups")
def groups(caller: Admin, served: Served) -> GroupList:
    """List the groups that the tenant's users are in. A group is there while somebody is in it."""
    found = served.accounts.users.count_group_members(caller.tenant_id)
    return GroupList(groups=[GroupOut(name=name, members=members) for name, members in found.items()])


@router.get("/users/{user_id}")
def one(user_id: str, caller: Admin, served: Served) -> UserOut:
    """Show a user, by id or name."""
    return _to_wire(served, [served.accounts.users.load_user(caller.tenant_id, user_id)])[0]


@router.patch("/users/{user_id}")
def change(user_id: str, body: GroupsIn, caller: Admin, served: Served) -> UserOut:
    """Put a user into these groups and out of all others, from the next request of its keys on."""
    return _to_wire(served, [served.accounts.users.set_groups(caller.tenant_id, user_id, body.groups)])[0]


@router.post("/users/{user_id}/sign-in-link", status_code=201)
def link(user_id: str, caller: Admin, served: Served, request: Request, body: LinkIn = _DEFAULT_LINK) -> LinkOut:
    """Make a link that signs this user in to the portal, once. Give it to nobody else.

    Its sessions act as the user's key `portal`, which is made if there is none and gets these scopes. Revoking the key,
    or deleting the user, ends them.
    """
    # guard: admin-grants-own-scopes
    require_grantable_scopes(caller, body.scopes)
    user = served.accounts.users.load_user(caller.tenant_id, user_id)
    key = ensure_portal_key(served.keys, caller.tenant_id, user=user.name, scopes=frozenset(body.scopes))
    seconds = body.hours * 3600
    ticket = served.accounts.sessions.issue_ticket(caller.tenant_id, key.id, seconds=seconds)
    url = build_sign_in_link(get_own_address(served.settings, request.scope), ticket)
    return LinkOut(url=url, key=key.id, expires_at=to_instant(time.time() + seconds))


@router.post("/users/{user_id}/sign-out")
def sign_out(user_id: str, caller: Admin, served: Served) -> SignedOutOut:
    """End all sessions of a user, on all devices, and links that it has not used yet. Its keys stay valid."""
    user = served.accounts.users.load_user(caller.tenant_id, user_id)
    ended = served.accounts.sessions.end_all_for_owner(caller.tenant_id, f"user:{user.name}")
    return SignedOutOut(sessions=ended)


@router.delete("/users/{user_id}", status_code=204)
def delete(user_id: str, caller: Admin, served: Served) -> None:
    """Delete a user, revoke its keys and end its sessions at once.

    What is open to `user:NAME` stays so, for another of that name.
    """
    served.accounts.users.delete(caller.tenant_id, user_id)


def _to_wire(served: Services, users: list[User]) -> list[UserOut]:
    access = served.accounts.users.load_access(users[0].tenant_id, users) if users else {}
    return [UserOut.from_user(user, access[user.id]) for user in users]
