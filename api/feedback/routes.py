"""`/v1/answers/{id}/feedback` and `/v1/feedback`: creates, shows, withdraws and lists feedback on answers."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query

from api.admission.access import Admin, Asker, Caller, ServicesDep
from api.feedback.schemas import FeedbackIn, FeedbackOfAnswer, FeedbackOut, FeedbackPage, FeedbackWithAnswerOut
from api.http.cursors import decode_cursor, encode_cursor
from ingest.storage.answers.feedback_records import FeedbackFilter, Rating

router = APIRouter(prefix="/v1", tags=["feedback"])


@router.post("/answers/{answer_id}/feedback")
def give_feedback(answer_id: str, body: FeedbackIn, caller: Asker, services: ServicesDep) -> FeedbackOut:
    """Give feedback on an answer. It replaces any feedback that you gave on the same answer before.

    The answer of a run has the same id as the run. Feedback is stored as long as its answer. Admins of the tenant can
    read it.
    """
    made = services.answers.feedback.record_feedback(
        caller.tenant_id, answer_id, caller.owner, body.to_verdict(), owner=caller.visible_owner
    )
    return FeedbackOut.from_entry(made, caller.owner)


@router.get("/answers/{answer_id}/feedback")
def get_answer_feedback(answer_id: str, caller: Caller, services: ServicesDep) -> FeedbackOfAnswer:
    """Show your feedback on an answer; an admin sees the feedback of all users."""
    found = services.answers.feedback.list_for_answer(
        caller.tenant_id, answer_id, caller.visible_owner, owner=caller.visible_owner
    )
    return FeedbackOfAnswer(feedback=[FeedbackOut.from_entry(each, caller.owner) for each in found])


@router.delete("/answers/{answer_id}/feedback", status_code=204)
def withdraw_feedback(answer_id: str, caller: Asker, services: ServicesDep) -> None:
    """Withdraw your feedback on an answer."""
    services.answers.feedback.delete_feedback(caller.tenant_id, answer_id, caller.owner, owner=caller.visible_owner)


@router.get("/feedback")
def list_feedback(
    caller: Admin,
    services: ServicesDep,
    rating: Rating | None = None,
    answer: Annotated[str | None, Query(max_length=64)] = None,
    author: Annotated[str | None, Query(max_length=256)] = None,
    commented: bool | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    cursor: str | None = None,
) -> FeedbackPage:
    """List the tenant's feedback, newest first. Paginated.

    `commented` selects feedback with or without a comment. If an answer used a document that you cannot read, comments
    on the answer are withheld, because they may quote the document.
    """
    wanted = FeedbackFilter(
        rating,
        answer,
        author,
        commented,
        since=None if since is None else since.timestamp(),
        until=None if until is None else until.timestamp(),
    )
    found = services.answers.feedback.list_latest(
        caller.tenant_id,
        wanted,
        before=decode_cursor(cursor) if cursor else None,
        limit=limit + 1,
        readers=caller.readers,
    )
    more = encode_cursor(found[limit - 1].sequence) if len(found) > limit else None
    return FeedbackPage(
        feedback=[FeedbackWithAnswerOut.from_entry(each, caller.owner) for each in found[:limit]], next_cursor=more
    )
