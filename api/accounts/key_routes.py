"""`/v1/keys` and `/v1/me`: an admin creates, lists, changes, rotates and revokes the tenant's API keys."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from api.accounts.schemas import KeyChange, KeyIn, KeyOut, KeyPage, NewKeyOut, PrincipalOut, RotationIn
from api.admission.access import Admin, Anybody, ServicesDep, build_missing_scope_error
from api.http.cursors import decode_text_cursor, encode_text_cursor
from api.http.problems import ApiError
from ingest.storage.accounts.records import Principal, Scope


class KeyNeedsUserError(ApiError):
    """An admin who is a user tried to create an admin key that belongs to no user."""

    code = "key_needs_user"
    status = 403
    default_hint = "Set `user` on the key, or send this request with an admin key that belongs to no user."


router = APIRouter(prefix="/v1", tags=["keys"])

_DEFAULT_ROTATION = RotationIn()


@router.get("/me")
def get_me(caller: Anybody) -> PrincipalOut:
    """Show the caller's tenant, user, groups and scopes. Any valid key or token is accepted."""
    return PrincipalOut.from_records(caller)


@router.post("/keys", status_code=201)
def create_key(body: KeyIn, caller: Admin, services: ServicesDep, response: Response) -> NewKeyOut:
    """Create a key. The response contains the key's secret, which is never shown again.

    A key with a `user` has that user's access to documents. Only an operator can grant the `operator` scope. An admin
    who is a user can grant the `admin` scope only to keys with a `user`.
    """
    require_grantable_scopes(caller, body.scopes)
    _require_user_for_admin_key(caller, body.user, body.scopes)
    made = services.keys.issue_key(
        caller.tenant_id, body.name, scopes=body.scopes, user=body.user, expires_at=_to_timestamp(body.expires_at)
    )
    response.headers["Location"] = f"/v1/keys/{made[0].id}"
    return NewKeyOut.from_new_key(made)


@router.get("/keys")
def list_keys(
    caller: Admin, services: ServicesDep, limit: Annotated[int, Query(ge=1, le=500)] = 50, cursor: str | None = None
) -> KeyPage:
    """List the tenant's keys without their secrets, oldest first, including revoked ones. Paginated."""
    found = services.keys.list_keys(caller.tenant_id, after=decode_text_cursor(cursor), limit=limit + 1)
    page = found[:limit]
    more = encode_text_cursor(page[-1].id) if len(found) > limit else None
    return KeyPage(keys=[KeyOut.from_key(key) for key in page], next_cursor=more)


@router.get("/keys/{key_id}")
def get_key(key_id: str, caller: Admin, services: ServicesDep) -> KeyOut:
    """Show a key without its secret."""
    return KeyOut.from_key(services.keys.load_key(caller.tenant_id, key_id))


@router.patch("/keys/{key_id}")
def change_key(key_id: str, body: KeyChange, caller: Admin, services: ServicesDep) -> KeyOut:
    """Change the name, scopes or expiry of a live key. The change applies from the key's next request."""
    changes: dict[str, Any] = {
        name: getattr(body, name)
        for name in body.model_fields_set
        if name == "expires_at" or getattr(body, name) is not None
    }
    if "scopes" in changes:
        require_grantable_scopes(caller, changes["scopes"])
        _require_user_for_admin_key(caller, services.keys.load_key(caller.tenant_id, key_id).user, changes["scopes"])
    if "expires_at" in changes:
        changes["expires_at"] = _to_timestamp(body.expires_at)
    return KeyOut.from_key(services.keys.change_key(caller.tenant_id, key_id, changes))


@router.post("/keys/{key_id}/rotate", status_code=201)
def rotate_key(
    key_id: str, caller: Admin, services: ServicesDep, response: Response, body: RotationIn = _DEFAULT_ROTATION
) -> NewKeyOut:
    """Create a replacement for a key, with the same name, scopes, user and lifetime.

    Both keys are valid for `grace_seconds` (a day by default), after which the old key expires.
    """
    key = services.keys.load_key(caller.tenant_id, key_id)
    require_grantable_scopes(caller, key.scopes)
    _require_user_for_admin_key(caller, key.user, key.scopes)
    made = services.keys.rotate_key(caller.tenant_id, key_id, grace_seconds=body.grace_seconds)
    response.headers["Location"] = f"/v1/keys/{made[0].id}"
    return NewKeyOut.from_new_key(made)


@router.delete("/keys/{key_id}")
def revoke_key(key_id: str, caller: Admin, services: ServicesDep) -> KeyOut:
    """Revoke a key immediately and permanently. The key stays in listings; revoking it again changes nothing."""
    services.keys.revoke_key(caller.tenant_id, key_id)
    return KeyOut.from_key(services.keys.load_key(caller.tenant_id, key_id))


def require_grantable_scopes(caller: Principal, scopes: set[Scope] | frozenset[Scope]) -> None:
    """Raise `ScopeMissingError` if `scopes` contains `operator` and the caller does not have that scope itself."""
    # guard: operator-keys
    if Scope.OPERATOR in scopes and Scope.OPERATOR not in caller.scopes:
        raise build_missing_scope_error(Scope.OPERATOR)


def _require_user_for_admin_key(caller: Principal, user: str | None, scopes: set[Scope] | frozenset[Scope]) -> None:
    """Raise `KeyNeedsUserError` if an admin who is a user tries to create an admin key without a user.

    Such a key could read every document of the tenant, including documents that its creator is not allowed to read.
    """
    # guard: admin-key-needs-user
    if caller.user is not None and user is None and Scope.ADMIN in scopes:
        raise KeyNeedsUserError(
            "An admin key must belong to a user; without a user, the key could read every document of the tenant."
        )


def _to_timestamp(instant: datetime | None) -> float | None:
    return None if instant is None else instant.timestamp()
