"""`/v1/users`: an admin makes, lists, changes and deletes the users of its tenant, and puts them into groups."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from api.access import Admin, Served
from api.cursors import decode_text_cursor, encode_text_cursor
from api.identity_schemas import GroupsIn, UserIn, UserOut, UserPage

router = APIRouter(prefix="/v1/users", tags=["users"])


@router.post("", status_code=201)
def create(body: UserIn, caller: Admin, served: Served, response: Response) -> UserOut:
    """Make a user of the caller's tenant. A key that belongs to it (`POST /v1/keys`) sees what the user may see."""
    user = served.identities.users.create(caller.tenant_id, body.name, body.groups)
    response.headers["Location"] = f"/v1/users/{user.id}"
    return UserOut.of(user)


@router.get("")
def listing(
    caller: Admin, served: Served, limit: Annotated[int, Query(ge=1, le=500)] = 50, cursor: str | None = None
) -> UserPage:
    """List the tenant's users in the order of their names, a page at a time."""
    found = served.identities.users.users(caller.tenant_id, after=decode_text_cursor(cursor), limit=limit + 1)
    more = encode_text_cursor(found[limit - 1].name) if len(found) > limit else None
    return UserPage(users=[UserOut.of(user) for user in found[:limit]], next_cursor=more)


@router.get("/{user_id}")
def one(user_id: str, caller: Admin, served: Served) -> UserOut:
    """Show a user, by id or name."""
    return UserOut.of(served.identities.users.user(caller.tenant_id, user_id))


@router.patch("/{user_id}")
def change(user_id: str, body: GroupsIn, caller: Admin, served: Served) -> UserOut:
    """Put a user into these groups and out of all others, from the next request of its keys on."""
    return UserOut.of(served.identities.users.set_groups(caller.tenant_id, user_id, body.groups))


@router.delete("/{user_id}", status_code=204)
def delete(user_id: str, caller: Admin, served: Served) -> None:
    """Delete a user and revoke its keys at once. What is open to `user:NAME` stays so, for another of that name."""
    served.identities.users.delete(caller.tenant_id, user_id)
