"""`/v1/people`: finds people who signed in with an identity provider, by id, name or mail address."""

from typing import Annotated

from fastapi import APIRouter, Query

from api.accounts.schemas import Name, PersonOut, PersonPage
from api.admission.access import Caller, ServicesDep, build_missing_scope_error
from api.http.cursors import decode_text_cursor, encode_text_cursor
from ingest.storage.accounts.records import Scope

router = APIRouter(prefix="/v1", tags=["users"])

_MAX_IDS = 200
# Names contain no line breaks.
_SEPARATOR = "\n"


@router.get("/people")
def list_people(
    caller: Caller,
    services: ServicesDep,
    query: Annotated[str, Query(max_length=200)] = "",
    user: Annotated[list[Name] | None, Query(max_length=_MAX_IDS)] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: str | None = None,
) -> PersonPage:
    """List the people of the tenant who signed in with an identity provider, sorted by name. Paginated.

    `query` is a part of the name, or the beginning of the mail address. This needs the scope `write` or `admin`,
    because these callers share documents. With `user`, ids such as those in `readers`, every caller gets the names of
    these people. Users with keys are listed by `GET /v1/users`.
    """
    people = services.accounts.people
    if user is not None:
        known = people.load_people(caller.tenant_id, user)
        return PersonPage(people=[PersonOut.from_person(each, caller) for each in known], next_cursor=None)
    # guard: directory-for-sharers
    if caller.scopes.isdisjoint((Scope.ADMIN, Scope.WRITE)):
        raise build_missing_scope_error(Scope.WRITE)
    name, _, after = decode_text_cursor(cursor).partition(_SEPARATOR)
    found = people.list_people(caller.tenant_id, query=query, after=(name, after), limit=limit + 1)
    page = found[:limit]
    more = encode_text_cursor(f"{page[-1].name}{_SEPARATOR}{page[-1].user}") if len(found) > limit else None
    return PersonPage(people=[PersonOut.from_person(each, caller) for each in page], next_cursor=more)
