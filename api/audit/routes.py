"""`/v1/audit`: the log of actions in the caller's tenant."""

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from itertools import islice
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from fastapi.responses import StreamingResponse

from api.admission.access import Admin, ServicesDep
from api.admission.services import Services
from api.audit.schemas import AuditEntryOut, AuditPage, VerificationOut
from api.http.cursors import decode_cursor, encode_cursor
from api.http.problems import BadRequestError
from ingest.storage.accounts.records import Principal
from ingest.storage.audit.records import Anchor, AuditEntry
from ingest.storage.audit.store import AuditFilter

router = APIRouter(prefix="/v1/audit", tags=["audit"])

_LINES = "application/x-ndjson"
_EXPORTED_AT_ONCE = 500


@router.get("")
def list_audit_entries(
    caller: Admin,
    services: ServicesDep,
    action: Annotated[str | None, Query(max_length=64)] = None,
    object: Annotated[str | None, Query(max_length=200)] = None,
    by: Annotated[str | None, Query(max_length=200)] = None,
    since: datetime | None = None,
    until: datetime | None = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    cursor: str | None = None,
) -> AuditPage:
    """List the actions in your tenant, newest first. Paginated.

    `action` filters by action, such as `document.deleted`; `object` by object, such as `document:` followed by the
    document's id; and `by` by the actor's key id or user name.
    """
    wanted = _build_filter(caller, action, object, by, since, until)
    before = decode_cursor(cursor) if cursor else None
    found = services.events.audit.list_latest(wanted, before=before, limit=limit + 1)
    more = encode_cursor(found[limit - 1].sequence) if len(found) > limit else None
    people = set().union(*map(_list_people, found[:limit]))
    names = services.accounts.people.find_names(caller.tenant_id, people)
    names |= services.events.names.find_names(caller.tenant_id, _list_objects(found[:limit]), caller.readers)
    return AuditPage(
        entries=[AuditEntryOut.from_records(entry) for entry in found[:limit]], names=names, next_cursor=more
    )


@router.get("/verification")
def verify_audit_log(
    caller: Admin, services: ServicesDep, anchor: Annotated[str | None, Query(max_length=100)] = None
) -> VerificationOut:
    """Verify that no entry of the installation's audit log was changed, removed, reordered or inserted.

    `entries` counts your tenant's entries, and `head` is the last of them. `anchor` is a head from an export or an
    earlier verification. If you send an `anchor`, a truncated log is also detected. Store `head` in a location where
    nobody with write access to the database can change it.
    """
    try:
        noted = None if anchor is None else Anchor.parse(anchor)
    except ValueError as error:
        raise BadRequestError(
            "The anchor is not valid.", hint="Send a `head` exactly as an export or a verification returned it."
        ) from error
    return VerificationOut.from_verification(services.events.audit.verify_for_tenant(caller.tenant_id, noted))


@router.get("/export", response_class=StreamingResponse, responses={200: {"content": {_LINES: {}}}})
def export_audit_log(
    caller: Admin,
    services: ServicesDep,
    action: Annotated[str | None, Query(max_length=64)] = None,
    object: Annotated[str | None, Query(max_length=200)] = None,
    by: Annotated[str | None, Query(max_length=200)] = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Response:
    """Download the tenant's log as JSON Lines, oldest entry first, optionally filtered.

    The response header `Leadline-Audit-Head` identifies the tenant's last entry. Store its value, so that you can later
    detect whether the log was truncated. `names` has the current names of people in the entry, by `user:ID`. It is not
    part of the entry, so the hash does not cover it.
    """
    wanted, head = (
        _build_filter(caller, action, object, by, since, until),
        services.events.audit.load_tenant_head(caller.tenant_id),
    )
    entries = services.events.audit.iter_entries(wanted, last_sequence=head.sequence)
    headers = {"Content-Disposition": 'attachment; filename="audit.jsonl"', "Leadline-Audit-Head": str(head)}
    lines = (json.dumps(each) + "\n" for each in _iter_named_entries(services, caller, entries))
    return StreamingResponse(lines, media_type=_LINES, headers=headers)


def _list_objects(entries: Iterable[AuditEntry]) -> set[str]:
    """Return the objects that entries are about, and the keys of their actors."""
    found: set[str] = set()
    for entry in entries:
        # The object of a changed quota is `quota:` and the id of a key, or of the tenant.
        found.add(entry.object.replace("quota:", "key:", 1))
        if entry.actor.key_id:
            found.add(f"key:{entry.actor.key_id}")
    return found


def _list_people(entry: AuditEntry) -> set[str]:
    """Return the users whom an entry names as its actor, its object or in its details, such as `user:ann`."""
    actor = {f"user:{entry.actor.user}"} if entry.actor.user else set()
    return actor | {each for each in (entry.object, *_iter_texts(entry.details)) if each.startswith("user:")}


def _iter_texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _iter_texts(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _iter_texts(each)


def _iter_named_entries(
    services: Services, caller: Principal, entries: Iterator[AuditEntry]
) -> Iterator[dict[str, Any]]:
    """Yield entries as JSON objects, with the names of the people in them."""
    while some := list(islice(entries, _EXPORTED_AT_ONCE)):
        people = set().union(*map(_list_people, some))
        names = services.accounts.people.find_names(caller.tenant_id, people)
        for entry in some:
            named = {each: names[each] for each in sorted(_list_people(entry)) if each in names}
            yield {**entry.to_json(), "names": named}


def _build_filter(
    caller: Principal,
    action: str | None,
    object_id: str | None,
    actor: str | None,
    start_time: datetime | None,
    end_time: datetime | None,
) -> AuditFilter:
    return AuditFilter(
        caller.tenant_id,
        action=action,
        object=object_id,
        by=actor,
        since=None if start_time is None else start_time.timestamp(),
        until=None if end_time is None else end_time.timestamp(),
    )
