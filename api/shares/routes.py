"""`/v1/shares` and `/v1/shared`: links that let others in the tenant read a conversation or a run."""

import time
from typing import Annotated

from fastapi import APIRouter, Query, Response

from api.admission.access import Asker, Caller, ServicesDep
from api.admission.services import Services
from api.answers.run_schemas import RunEventPage
from api.http.cursors import decode_cursor, encode_cursor
from api.http.problems import BadRequestError
from api.runs.routes import load_events_page
from api.shares.schemas import SharedOut, ShareIn, ShareOut, SharePage
from api.shares.sharing import is_run_log_withheld, load_shared_run, load_shared_turns
from ingest.storage.errors import ShareNotFoundError, SharingDisabledError

router = APIRouter(prefix="/v1", tags=["shares"])

_DAY_SECONDS = 86_400.0


@router.post("/shares", status_code=201)
def create_share(body: ShareIn, caller: Asker, services: ServicesDep, response: Response) -> ShareOut:
    """Create a link to one of your conversations or runs.

    The link gives no access to anyone outside the tenant, and no access to documents. Readers must sign in, and see
    only the content of each answer that their own access to documents allows. The link is valid until `expires_at`,
    until it is revoked, or until its conversation or run is deleted. The link also shows questions that are asked in
    the conversation later.
    """
    made = services.answers.shares.create(
        caller.tenant_id,
        caller.owner,
        conversation_id=body.conversation,
        run_id=body.run,
        ends_at=_compute_expiry_time(services, body),
        owner=caller.visible_owner,
    )
    response.headers["Location"] = f"/v1/shared/{made.id}"
    return ShareOut.from_share(made, services.settings.public_url)


@router.get("/shares")
def list_shares(
    caller: Caller,
    services: ServicesDep,
    conversation: Annotated[str | None, Query(max_length=64)] = None,
    run: Annotated[str | None, Query(max_length=64)] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    cursor: str | None = None,
) -> SharePage:
    """List your valid links, newest first, optionally only links to one `conversation` or `run`. Paginated.

    An admin sees the links of all users.
    """
    found = services.answers.shares.list_shares(
        caller.tenant_id,
        target_id=conversation or run,
        before=decode_cursor(cursor) if cursor else None,
        limit=limit + 1,
        owner=caller.visible_owner,
    )
    more = encode_cursor(found[limit - 1].sequence) if len(found) > limit else None
    shown = [ShareOut.from_share(each, services.settings.public_url) for each in found[:limit]]
    return SharePage(shares=shown, next_cursor=more)


@router.delete("/shares/{share_id}", status_code=204)
def revoke_share(share_id: str, caller: Asker, services: ServicesDep) -> None:
    """Revoke a link immediately. Only its creator and admins can do this."""
    services.answers.shares.revoke(caller.tenant_id, share_id, caller.visible_owner)


@router.get("/shared/{share_id}")
def get_shared_conversation(
    share_id: str,
    caller: Caller,
    services: ServicesDep,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: str | None = None,
) -> SharedOut:
    """Read a shared conversation, one page of turns at a time, or a shared run, limited to what you may see."""
    share = services.answers.shares.load_share(caller.tenant_id, share_id)
    shown = ShareOut.from_share(share, None)
    about = {"by": shown.by, "created_at": shown.created_at, "expires_at": shown.expires_at}
    if share.run_id is not None:
        run = load_shared_run(services, caller, share)
        return SharedOut(kind="run", title=run.question, turns=[], next_cursor=None, run=run, **about)
    assert share.conversation_id is not None
    title = services.answers.conversations.load_conversation(caller.tenant_id, share.conversation_id).title
    turns, last = load_shared_turns(services, caller, share, last_turn_number=decode_cursor(cursor), limit=limit)
    more = None if last is None else encode_cursor(last)
    return SharedOut(kind="conversation", title=title, turns=turns, next_cursor=more, run=None, **about)


@router.get("/shared/{share_id}/events")
def stream_shared_conversation_events(
    share_id: str,
    caller: Caller,
    services: ServicesDep,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    cursor: str | None = None,
) -> RunEventPage:
    """List the events of a shared run. Events have no bodies if you cannot read one of its documents. Paginated."""
    share = services.answers.shares.load_share(caller.tenant_id, share_id)
    if share.run_id is None:
        raise ShareNotFoundError(f"The link {share_id!r} does not lead to a run.")
    run = services.answers.runs.load_run(caller.tenant_id, share.run_id)
    return load_events_page(
        services, run, decode_cursor(cursor), limit, is_withheld=is_run_log_withheld(services, caller, run.id)
    )


def _compute_expiry_time(services: Services, body: ShareIn) -> float:
    """Return the time at which a new link expires.

    Raises `SharingDisabledError` if sharing is turned off, and `BadRequestError` for a time in the past or too far in
    the future.
    """
    most = services.settings.share_days * _DAY_SECONDS
    if not most:
        raise SharingDisabledError("Sharing links is disabled.")
    now = time.time()
    if body.expires_at is None:
        return now + most
    asked = body.expires_at.timestamp()
    if not now < asked <= now + most:
        raise BadRequestError(
            f"`expires_at` must be within the next {services.settings.share_days:g} days.",
            hint="Send a time in that period, or omit `expires_at`.",
        )
    return asked
