"""`/v1/collections`: creates, shows, changes and deletes collections, and manages their grants."""

from typing import Annotated

from fastapi import APIRouter, Header, Path, Query, Response

from api.accounts.schemas import GrantList, GrantOut, RoleIn
from api.admission.access import Caller, Granter, ServicesDep, Writer
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
def list_collections(
    caller: Caller,
    services: ServicesDep,
    limit: Annotated[int, Query(ge=1, le=500)] = 500,
    cursor: str | None = None,
) -> CollectionPage:
    """List the collections that you may use, with your role and the number of documents you may read. Paginated."""
    found = services.documents.collections.list_collections(
        caller.tenant_id, after=decode_text_cursor(cursor) or None, limit=limit + 1, readers=caller.readers
    )
    page = found[:limit]
    more = encode_text_cursor(page[-1].name) if len(found) > limit else None
    return CollectionPage(collections=[CollectionOut.from_collection(each, caller) for each in page], next_cursor=more)


@router.post("", status_code=201)
def create_collection(body: CollectionIn, caller: Writer, services: ServicesDep, response: Response) -> CollectionOut:
    """Create an empty collection. Uploading to a new name also creates a collection. `409` if the name exists.

    The collection is open to the whole tenant, unless `private` is set or grants are added.
    """
    private_to = caller.owner if body.private else None
    require_readable_collection(caller, body.name)
    made = services.documents.collections.create(
        caller.tenant_id, body.name, body.to_settings(), private_subject=private_to
    )
    response.headers.update({"Location": f"/v1/collections/{body.name}", **build_etag_headers(made)})
    return CollectionOut.from_collection(made, services.accounts.grants.resolve_access(caller))


@router.head("/{collection}", include_in_schema=False)
@router.get("/{collection}")
def get_collection(
    collection: CollectionName, caller: Caller, services: ServicesDep, response: Response
) -> CollectionOut:
    """Show a collection, its settings and its contents. Send its `ETag` as `If-Match` to change it."""
    found = services.documents.collections.load_collection(caller.tenant_id, collection, readers=caller.readers)
    response.headers.update(build_etag_headers(found))
    return CollectionOut.from_collection(found, caller)


@router.patch("/{collection}")
def change_collection(
    collection: CollectionName,
    body: CollectionChangeIn,
    caller: Granter,
    services: ServicesDep,
    response: Response,
    if_match: Annotated[str | None, Header()] = None,
) -> CollectionOut:
    """Change a collection's title, description, default strategy, metadata or `describe`.

    To rename a collection, change its `title`, which people see. Its `name` is its id and cannot be changed.

    Requires write access if the collection is open to the tenant, or the role `admin` on it if it has grants. Send the
    collection's `ETag` as `If-Match`. The response is `428` without `If-Match`, and `412` if the collection has changed
    since.
    """
    admitted = parse_if_match(if_match)
    known = require_manageable_collection(services, caller, collection)
    changed = services.documents.collections.change(
        caller.tenant_id, collection, body.apply_to(known.settings), admitted
    )
    response.headers.update(build_etag_headers(changed))
    return get_collection(collection, caller, services, response)


@router.delete("/{collection}")
def delete_collection(
    collection: CollectionName,
    caller: Granter,
    services: ServicesDep,
    only_if_empty: Annotated[bool, Query()] = False,
) -> CollectionDeletionOut:
    """Delete a collection with its documents, sources and grants. Then, searches no longer find any of its content.

    The response is a receipt. Workers remove the content; `GET …/deletion` shows when they have finished. Requires
    write access if the collection is open to the tenant, or the role `admin` on it if it has grants. `403` if it
    contains documents that you cannot read. With `only_if_empty`, a collection that contains documents is not deleted
    (`409`, `collection_not_empty`).
    """
    require_manageable_collection(services, caller, collection)
    deletion = services.documents.collections.delete(
        caller.tenant_id, collection, owner=caller.owner, readers=caller.readers, only_if_empty=only_if_empty
    )
    services.work.doorbell.notify(JobKind.COLLECT)
    return CollectionDeletionOut.from_records(deletion)


@router.get("/{collection}/deletion")
def get_collection_deletion(
    collection: CollectionName, caller: Granter, services: ServicesDep
) -> CollectionDeletionOut:
    """Show the receipt of the last collection with this name that you deleted. An admin sees all receipts."""
    found = services.documents.collections.load_deletion(caller.tenant_id, collection, owner=caller.visible_owner)
    return CollectionDeletionOut.from_records(found)


@router.get("/{collection}/grants")
def list_grants(collection: CollectionName, caller: Granter, services: ServicesDep) -> GrantList:
    """List the grants of a collection. Requires an admin of the tenant or of the collection.

    A collection without grants is open to the whole tenant.
    """
    _require_admin_role(services, caller, collection)
    return GrantList(
        grants=[
            GrantOut.from_records(each) for each in services.accounts.grants.list_grants(caller.tenant_id, collection)
        ]
    )


@router.put("/{collection}/grants/{subject}")
def grant_access(
    collection: CollectionName, subject: Subject, body: RoleIn, caller: Granter, services: ServicesDep
) -> GrantOut:
    """Grant a role on a collection to `user:NAME`, `group:NAME` or `key:ID`. The grant takes effect immediately.

    A person who has signed in with an identity provider can be named by name or verified mail address.
    The first grant closes the collection to everyone else except the tenant's admins.
    """
    _require_admin_role(services, caller, collection)
    return GrantOut.from_records(services.accounts.grants.grant_role(caller.tenant_id, collection, subject, body.role))


@router.delete("/{collection}/grants/{subject}", status_code=204)
def revoke_access(
    collection: CollectionName,
    subject: Subject,
    caller: Granter,
    services: ServicesDep,
    open_to_all: Annotated[bool, Query()] = False,
) -> None:
    """Revoke a grant immediately. Revoking the last grant opens the collection to all, so it requires `open_to_all`."""
    _require_admin_role(services, caller, collection)
    services.accounts.grants.revoke_grant(caller.tenant_id, collection, subject, open_to_all=open_to_all)


def _require_admin_role(services: Services, caller: Principal, collection: str) -> None:
    """Require the caller to be an admin of the tenant or of the collection.

    Raises `RoleMissingError` if the caller is neither, or `CollectionNotFoundError` if the caller may not even read the
    collection.
    """
    if caller.is_admin or collection in caller.collections.managed:
        return
    known = {each.name for each in services.accounts.grants.list_collections(caller.tenant_id)}
    if collection not in known or not caller.collections.can_read(collection):
        raise CollectionNotFoundError(f"Collection {collection!r} not found.")
    raise RoleMissingError(f"This needs the role `admin` on the collection {collection!r}.")


def require_manageable_collection(services: Services, caller: Principal, collection: str) -> Collection:
    """Return a collection that the caller may change and delete as a whole.

    Raises `CollectionNotFoundError` if the caller may not read it, or `RoleMissingError` if it has grants and the
    caller is not its admin.
    """
    found = services.documents.collections.load_collection(caller.tenant_id, collection, readers=caller.readers)
    # guard: restricted-collection-admins
    if found.grants and get_role(caller, collection) is not Role.ADMIN:
        raise RoleMissingError(f"This needs the role `admin` on the collection {collection!r}.")
    return found


def require_readable_collection(caller: Principal, collection: str) -> None:
    """Raise `CollectionNotFoundError` if the caller may not read a collection with this name."""
    if not caller.collections.can_read(collection):
        raise CollectionNotFoundError(f"Collection {collection!r} not found.")
