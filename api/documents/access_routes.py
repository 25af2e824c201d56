"""`/v1/documents/{id}/access`: tells an admin whether a user can read a document, and why."""

from typing import Annotated

from fastapi import APIRouter, Query

from api.admission.access import Admin, ServicesDep
from api.admission.services import Services
from api.documents.schemas import DocumentAccessOut
from ingest.storage.accounts.records import Principal
from ingest.storage.errors import DocumentNotFoundError

router = APIRouter(prefix="/v1/documents/{document_id}", tags=["documents"])


@router.get("/access")
def get_document_access(
    document_id: str, caller: Admin, services: ServicesDep, user: Annotated[str, Query(min_length=1, max_length=200)]
) -> DocumentAccessOut:
    """Show whether a user, given by id, name or verified mail address, can read a document now, and why.

    The groups of people from an identity provider are those of the last sign-in. Roles of single keys are not
    considered. `404` if you cannot read the document yourself, or if there is no such user.
    """
    document = services.documents.catalog.load_document(caller.tenant_id, document_id, readers=caller.readers)
    person = _load_principal(services, caller.tenant_id, user)
    through = None if document.readers is None else sorted(document.readers & person.subjects)
    can_read = _can_read(services, person, document_id)
    return DocumentAccessOut(
        user=person.user or user,
        can_read=can_read,
        through=through,
        denied_by=None if can_read else "readers" if through == [] else "collection",
    )


def _load_principal(services: Services, tenant_id: str, id_or_name: str) -> Principal:
    """Return a principal with the rights of a person from an identity provider, or of all keys of a user."""
    found = services.accounts.people.find_principal(tenant_id, id_or_name)
    if found is not None:
        return services.accounts.grants.resolve_access(found)
    user = services.accounts.users.load_user(tenant_id, id_or_name)
    rights = services.accounts.users.load_access_rights(tenant_id, [user])[user.id]
    person = Principal(tenant_id, None, user.name, user.name, frozenset(user.groups), rights.scopes)
    return services.accounts.grants.resolve_access(person)


def _can_read(services: Services, person: Principal, document_id: str) -> bool:
    try:
        services.documents.catalog.load_document(person.tenant_id, document_id, readers=person.readers)
    except DocumentNotFoundError:
        return False
    return True
