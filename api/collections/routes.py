"""`/v1/collections`: made, described, changed and deleted; and the grants that say who may use one."""

from typing import Annotated

from fastapi import APIRouter, Header, Path, Query, Response

from api.accounts.schemas import GrantList, GrantOut, RoleIn
from api.admission.access import Caller, Granter, Served, Writer
from api.admission.idempotency import build_etag_headers, parse_if_match
from api.admission.services import Services
from api.collections.schemas import (
    CollectionChangeIn,
    CollectionDeletionOut,
    CollectionIn,
    CollectionOut,
    CollectionPage,
    get_role,
)
from api.http.cursors import decode_text_cursor, encode_text_cursor
from ingest.storage.accounts.records import Principal, Role
from ingest.storage.documents.collection_records import Collection
from ingest.storage.errors import CollectionNotFoundError, RoleMissingError
from ingest.storage.queue.records import JobKind

router = APIRouter(prefix="/v1/collections", tags=["collections"])

CollectionName = Annotated[str, Path(min_length=1, max_length=128, pattern=r"^[\w.-]+$")]
Subject = Annotated[str, Path(min_length=1, max_length=210)]


@router.get("")
def listing(
    caller: Caller,
    served: Served,
    limit: Annotated[int, Query(ge=1, le=500)] = 500,
    cursor: str | None = None,
) -> CollectionPage:
    """List the collections that the caller may use, with its documents and what it may do, a page at a time."""
    found = served.documents.collections.list_collections(
        caller.tenant_id, after=decode_text_cursor(cursor) or None, limit=limit + 1, readers=caller.readers
    )
    page = found[:limit]
    more = encode_text_cursor(page[-1].name) if len(found) > limit else None
    return CollectionPage(collections=[CollectionOut.from_collection(each, caller) for each in page], next_cursor=more)


@router.post("", status_code=201)
def create(body: CollectionIn, caller: Writer, served: Served, response: Response) -> CollectionOut:
    """Make an empty collection; an upload that names one makes it, too. `409` if there is one of this name.

    It is open to the whole tenant, unless it is `private` or grants are added.
    """
    private_to = caller.owner if body.private else None
    require_readable(caller, body.name)
    made = served.documents.collections.create(caller.tenant_id, body.name, body.to_settings(), private_to=private_to)
    response.headers.update({"Location": f"/v1/collections/{body.name}", **build_etag_headers(made)})
    return CollectionOut.from_collection(made, served.accounts.grants.resolve_access(caller))


@router.get("/{collection}")
def one(collection: CollectionName, caller: Caller, served: Served, response: Response) -> CollectionOut:
    """Show a collection: its settings and what is in it. Send its `ETag` as `If-Match`."""
    found = served.documents.collections.load_collection(caller.tenant_id, collection, readers=caller.readers)
    response.headers.update(build_etag_headers(found))
    return CollectionOut.from_collection(found, caller)


@router.patch("/{collection}")
def change(
    collection: CollectionName,
    body: CollectionChangeIn,
    caller: Granter,
    served: Served,
    response: Response,
    if_match: Annotated[str | None, Header()] = None,
) -> CollectionOut:
    """Change a collection's title, description, default strategy or metadata; its name stays.

    For whoever may write a collection that is open to the tenant, and for the admins of one that grants restrict.
    `If-Match` carries its `ETag`: `428` without it, `412` when it has changed since.
    """
    admitted = parse_if_match(if_match)
    known = require_manageable(served, caller, collection)
    changed = served.documents.collections.change(caller.tenant_id, collection, body.apply_to(known.settings), admitted)
    response.headers.update(build_etag_headers(changed))
    return one(collection, caller, served, response)


@router.delete("/{collection}")
def delete(collection: CollectionName, caller: Granter, served: Served) -> CollectionDeletionOut:
    """Delete a collection with its documents and grants; when this answers, nothing of it can be found.

    The answer is a receipt; workers remove the content, and `GET …/deletion` shows when that is done. For whoever may
    write a collection that is open to the tenant, and for the admins of one that grants restrict; `403` if it has
    documents that are closed to the caller.
    """
    require_manageable(served, caller, collection)
    deletion = served.documents.collections.delete(
        caller.tenant_id, collection, owner=caller.owner, readers=caller.readers
    )
    served.work.doorbell.ring(JobKind.COLLECT)
    return CollectionDeletionOut.from_records(deletion)


@router.get("/{collection}/deletion")
def deletion(collection: CollectionName, caller: Granter, served: Served) -> CollectionDeletionOut:
    """Show the receipt of the last collection of this name that the caller has deleted; an admin sees everybody's."""
    found = served.documents.collections.load_deletion(caller.tenant_id, collection, owner=caller.visible_owner)
    return CollectionDeletionOut.from_records(found)


@router.get("/{collection}/grants")
def grants(collection: CollectionName, caller: Granter, served: Served) -> GrantList:
    """List who may use a collection. For the tenant's admins and the collection's; without grants it is open to all."""
    _require_admin_role(served, caller, collection)
    return GrantList(
        grants=[
            GrantOut.from_records(each) for each in served.accounts.grants.list_grants(caller.tenant_id, collection)
        ]
    )


@router.put("/{collection}/grants/{subject}")
def grant(collection: CollectionName, subject: Subject, body: RoleIn, caller: Granter, served: Served) -> GrantOut:
    """Give `user:NAME`, `group:NAME` or `key:ID` a role on a collection, at once.

    With its first grant a collection is closed to everybody else but the tenant's admins.
    """
    _require_admin_role(served, caller, collection)
    return GrantOut.from_records(served.accounts.grants.grant(caller.tenant_id, collection, subject, body.role))


@router.delete("/{collection}/grants/{subject}", status_code=204)
def revoke(
    collection: CollectionName,
    subject: Subject,
    caller: Granter,
    served: Served,
    open_to_all: Annotated[bool, Query()] = False,
) -> None:
    """Take a grant away, at once. The last one goes only with `open_to_all`: then the collection is open to all."""
    _require_admin_role(served, caller, collection)
    served.accounts.grants.revoke(caller.tenant_id, collection, subject, open_to_all=open_to_all)


def _require_admin_role(served: Services, caller: Principal, collection: str) -> None:
    """Refuse who is neither the tenant's admin nor the collection's; to who may not read it, it is not there."""
    if caller.is_admin or collection in caller.collections.managed:
        return
    known = {each.name for each in served.accounts.grants.list_collections(caller.tenant_id)}
    if collection not in known or not caller.collections.can_read(collection):
        raise CollectionNotFoundError(f"There is no collection {collection!r}.")
    raise RoleMissingError(f"This needs the role `admin` on the collection {collection!r}.")


def require_manageable(served: Services, caller: Principal, collection: str) -> Collection:
    """Return a collection that the caller may change and delete as a whole.

    Raises `CollectionNotFoundError`, and `RoleMissingError` for a restricted one whose admin the caller is not.
    """
    found = served.documents.collections.load_collection(caller.tenant_id, collection, readers=caller.readers)
    # guard: restricted-collection-admins
    if found.grants and get_role(caller, collection) is not Role.ADMIN:
        raise RoleMissingError(f"This needs the role `admin` on the collection {collection!r}.")
    return found


def require_readable(caller: Principal, collection: str) -> None:
    """Raise `CollectionNotFoundError` for the name of a collection that is not the caller's to know of."""
    if not caller.collections.can_read(collection):
        raise CollectionNotFoundError(f"There is no collection {collection!r}.")
