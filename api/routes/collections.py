"""`/v1/collections`: the collections that the caller may use, and the grants that say who else may."""

from typing import Annotated

from fastapi import APIRouter, Path, Query

from api.access import Caller, Granter, Served
from api.identity_schemas import CollectionList, CollectionOut, GrantList, GrantOut, RoleIn
from api.services import Services
from ingest.errors import CollectionNotFoundError, RoleMissingError
from ingest.identity import Principal, Role

router = APIRouter(prefix="/v1/collections", tags=["collections"])

CollectionName = Annotated[str, Path(min_length=1, max_length=128, pattern=r"^[\w.-]+$")]
Subject = Annotated[str, Path(min_length=1, max_length=210)]


@router.get("")
def listing(caller: Caller, served: Served) -> CollectionList:
    """List the collections that the caller may use, with what it may do with each."""
    found = served.identities.grants.collections(caller.tenant_id)
    return CollectionList(
        collections=[
            CollectionOut.of(total, _role(caller, total.name))
            for total in found
            if caller.collections.may_read(total.name)
        ]
    )


@router.get("/{collection}/grants")
def grants(collection: CollectionName, caller: Granter, served: Served) -> GrantList:
    """List who may use a collection. For the tenant's admins and the collection's; without grants it is open to all."""
    _require_managed(served, caller, collection)
    return GrantList(
        grants=[GrantOut.of(each) for each in served.identities.grants.grants(caller.tenant_id, collection)]
    )


@router.put("/{collection}/grants/{subject}")
def grant(collection: CollectionName, subject: Subject, body: RoleIn, caller: Granter, served: Served) -> GrantOut:
    """Give `user:NAME`, `group:NAME` or `key:ID` a role on a collection, at once.

    With its first grant a collection is closed to everybody else but the tenant's admins.
    """
    _require_managed(served, caller, collection)
    return GrantOut.of(served.identities.grants.grant(caller.tenant_id, collection, subject, body.role))


@router.delete("/{collection}/grants/{subject}", status_code=204)
def revoke(
    collection: CollectionName,
    subject: Subject,
    caller: Granter,
    served: Served,
    open_to_all: Annotated[bool, Query()] = False,
) -> None:
    """Take a grant away, at once. The last one goes only with `open_to_all`: then the collection is open to all."""
    _require_managed(served, caller, collection)
    served.identities.grants.revoke(caller.tenant_id, collection, subject, open_to_all=open_to_all)


def _require_managed(served: Services, caller: Principal, collection: str) -> None:
    """Refuse who is neither the tenant's admin nor the collection's; to who may not read it, it is not there."""
    if caller.is_admin or collection in caller.collections.managed:
        return
    known = {each.name for each in served.identities.grants.collections(caller.tenant_id)}
    if collection not in known or not caller.collections.may_read(collection):
        raise CollectionNotFoundError(f"There is no collection {collection!r}.")
    raise RoleMissingError(f"This needs the role `admin` on the collection {collection!r}.")


def _role(caller: Principal, collection: str) -> Role:
    if caller.is_admin or collection in caller.collections.managed:
        return Role.ADMIN
    return Role.WRITER if caller.collections.may_write(collection) else Role.READER
