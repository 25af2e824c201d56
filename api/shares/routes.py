"""`/v1/shares` and `/v1/shared`: links by which others of a tenant read a conversation or a run."""

import time
from typing import Annotated

from fastapi import APIRouter, Query, Response

from api.admission.access import Asker, Caller, Served
from api.admission.services import Services
from api.answers.run_schemas import RunEventPage
from api.http.cursors import decode_cursor, encode_cursor
from api.http.problems import BadRequestError
from api.runs.routes import load_events_page
from api.shares.schemas import SharedOut, ShareIn, ShareOut, SharePage
from api.shares.sharing import is_run_closed, load_shared_run, load_shared_turns
from ingest.storage.errors import ShareNotFoundError, SharingOffError

router = APIRouter(prefix="/v1", tags=["shares"])

_DAY_SECONDS = 86_400.0


@router.post("/shares", status_code=201)
def create(body: ShareIn, caller: Asker, served: Served, response: Response) -> ShareOut:
    """Make a link to a conversation or a run of yours.

    It opens nothing to anybody outside of the tenant, and no document to anybody: who reads by it signs in, and sees of
    each answer what the documents allow that are open to that reader. It ends with `expires_at`, when it is revoked,
    and with what it leads to; questions that are asked later in the conversation are read by it, too.
    """
    made = served.answers.shares.create(
        caller.tenant_id,
        caller.owner,
        conversation_id=body.conversation,
        run_id=body.run,
        ends_at=_compute_end(served, body),
        owner=caller.visible_owner,
    )
    response.headers["Location"] = f"/v1/shared/{made.id}"
    return ShareOut.from_share(made, served.settings.public_url)


@router.get("/shares")
def listing(
    caller: Caller,
    served: Served,
    conversation: Annotated[str | None, Query(max_length=64)] = None,
    run: Annotated[str | None, Query(max_length=64)] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    cursor: str | None = None,
) -> SharePage:
    """List your links that are valid, newest first, a page at a time; those of one `conversation` or one `run` only.

    An admin sees everybody's.
    """
    found = served.answers.shares.list_shares(
        caller.tenant_id,
        of=conversation or run,
        before=decode_cursor(cursor) if cursor else None,
        limit=limit + 1,
        owner=caller.visible_owner,
    )
    more = encode_cursor(found[limit - 1].sequence) if len(found) > limit else None
    shown = [ShareOut.from_share(each, served.settings.public_url) for each in found[:limit]]
    return SharePage(shares=shown, next_cursor=more)


@router.delete("/shares/{share_id}", status_code=204)
def revoke(share_id: str, caller: Asker, served: Served) -> None:
    """End a link at once. Whoever made it can, and an admin."""
    served.answers.shares.revoke(caller.tenant_id, share_id, caller.visible_owner)


@router.get("/shared/{share_id}")
def read(
    share_id: str,
    caller: Caller,
    served: Served,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: str | None = None,
) -> SharedOut:
    """Read what a link leads to, within what is open to you: a conversation's turns a page at a time, or a run."""
    share = served.answers.shares.load_share(caller.tenant_id, share_id)
    shown = ShareOut.from_share(share, None)
    about = {"by": shown.by, "created_at": shown.created_at, "expires_at": shown.expires_at}
    if share.run_id is not None:
        run = load_shared_run(served, caller, share)
        return SharedOut(kind="run", title=run.question, turns=[], next_cursor=None, run=run, **about)
    assert share.conversation_id is not None
    title = served.answers.conversations.load_conversation(caller.tenant_id, share.conversation_id).title
    turns, last = load_shared_turns(served, caller, share, after=decode_cursor(cursor), limit=limit)
    more = None if last is None else encode_cursor(last)
    return SharedOut(kind="conversation", title=title, turns=turns, next_cursor=more, run=None, **about)


@router.get("/shared/{share_id}/events")
def events(
    share_id: str,
    caller: Caller,
    served: Served,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    cursor: str | None = None,
) -> RunEventPage:
    """List the events of a shared run, a page at a time; without their bodies if a document of it is closed to you."""
    share = served.answers.shares.load_share(caller.tenant_id, share_id)
    if share.run_id is None:
        raise ShareNotFoundError(f"The link {share_id!r} leads to no run.")
    run = served.answers.runs.load_run(caller.tenant_id, share.run_id)
    return load_events_page(served, run, decode_cursor(cursor), limit, withheld=is_run_closed(served, caller, run.id))


def _compute_end(served: Services, body: ShareIn) -> float:
    """Return when a link ends. Raises `SharingOffError`, and `BadRequestError` for a time that is over or too late."""
    most = served.settings.share_days * _DAY_SECONDS
    if not most:
        raise SharingOffError("Links are switched off here.")
    now = time.time()
    if body.expires_at is None:
        return now + most
    asked = body.expires_at.timestamp()
    if not now < asked <= now + most:
        raise BadRequestError(
            f"`expires_at` is not within the next {served.settings.share_days:g} days.",
            hint="Send a time that is to come and within that, or leave it out.",
        )
    return asked
