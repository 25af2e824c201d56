"""Starts answers in the background whose events are streamed, so that an interrupted stream can be resumed."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from api.admission.current_caller import CurrentCaller
from api.admission.idempotency import ClaimedRequest
from api.answers.asking import CallerQuestion
from api.answers.detached import DetachedAnswers, DetachedQuestion
from api.answers.schemas import QuestionIn
from api.http import sse
from api.openai.response_following import FollowedResponse, stream_response
from api.openai.response_states import load_response_state
from ingest.storage.accounts.records import Scope


@dataclass(frozen=True)
class BackgroundStream:
    """A question whose answer continues if its client disconnects. `repeated` are the members of the request that the
    response repeats.
    """

    detached: DetachedAnswers
    followed: FollowedResponse
    question: QuestionIn
    asking: CallerQuestion
    repeated: Mapping[str, Any]

    async def start(self, claim: ClaimedRequest | None) -> StreamingResponse:
        """Start the answer, unless an earlier request with the same claim has started it, and stream its events.

        Raises quota errors.
        """
        followed = self.followed
        asked = DetachedQuestion.from_request(followed.request, followed.caller, self.question, self.asking)
        is_started = claim is not None and claim.is_repeat and await run_in_threadpool(self._is_pending)
        if not is_started and await run_in_threadpool(self.asking.find_previous_answer) is None:
            await self.detached.start(asked)
        if claim is not None:
            claim.is_made = True
        state = await run_in_threadpool(load_response_state, followed.services, followed.caller, followed.response_id)
        current = CurrentCaller.from_request(followed.request, followed.caller, Scope.ASK)
        events = stream_response(followed, current, replace(state, request=self.repeated))
        return StreamingResponse(events, media_type=sse.MEDIA_TYPE)

    def _is_pending(self) -> bool:
        caller, pending = self.followed.caller, self.followed.services.answers.pending
        return pending.find(caller.tenant_id, self.followed.identifier, caller.visible_owner) is not None
