"""`/v1/admin/tenants`: an operator creates, lists, renames and suspends tenants, and creates their first keys."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from api.accounts.schemas import KeyIn, NewKeyOut, TenantChange, TenantIn, TenantOut, TenantPage
from api.admission.access import Operator, ServicesDep
from api.http.cursors import decode_text_cursor, encode_text_cursor

router = APIRouter(prefix="/v1/admin/tenants", tags=["tenants"])


@router.post("", status_code=201)
def create_tenant(body: TenantIn, caller: Operator, services: ServicesDep, response: Response) -> TenantOut:
    """Create a tenant.

    Create its first key with `POST …/{id}/keys`. If that key has the `admin` scope, it can be used to create more keys.
    """
    tenant = services.accounts.tenants.create(body.name)
    response.headers["Location"] = f"/v1/admin/tenants/{tenant.id}"
    return TenantOut.from_records(tenant)


@router.get("")
def list_tenants(
    caller: Operator, services: ServicesDep, limit: Annotated[int, Query(ge=1, le=500)] = 50, cursor: str | None = None
) -> TenantPage:
    """List the tenants of the installation, sorted by name. Paginated."""
    found = services.accounts.tenants.list_tenants(after=decode_text_cursor(cursor), limit=limit + 1)
    more = encode_text_cursor(found[limit - 1].name) if len(found) > limit else None
    return TenantPage(tenants=[TenantOut.from_records(tenant) for tenant in found[:limit]], next_cursor=more)


@router.get("/{tenant_id}")
def get_tenant(tenant_id: str, caller: Operator, services: ServicesDep) -> TenantOut:
    """Show a tenant, by id or name."""
    return TenantOut.from_records(services.accounts.tenants.load_tenant(tenant_id))


@router.patch("/{tenant_id}")
def change_tenant(tenant_id: str, body: TenantChange, caller: Operator, services: ServicesDep) -> TenantOut:
    """Rename, suspend or resume a tenant. Keys and tokens of a suspended tenant are rejected immediately."""
    tenants = services.accounts.tenants
    tenant = tenants.load_tenant(tenant_id)
    if body.name is not None:
        tenant = tenants.rename(tenant.id, body.name)
    if body.suspended is not None:
        tenant = tenants.suspend(tenant.id) if body.suspended else tenants.resume(tenant.id)
    return TenantOut.from_records(tenant)


@router.post("/{tenant_id}/keys", status_code=201)
def create_tenant_key(tenant_id: str, body: KeyIn, caller: Operator, services: ServicesDep) -> NewKeyOut:
    """Create a key for a tenant. The response contains the key's secret, which is never shown again."""
    tenant = services.accounts.tenants.load_tenant(tenant_id)
    expires_at = None if body.expires_at is None else body.expires_at.timestamp()
    made = services.keys.issue_key(tenant.id, body.name, scopes=body.scopes, user=body.user, expires_at=expires_at)
    return NewKeyOut.from_new_key(made)
