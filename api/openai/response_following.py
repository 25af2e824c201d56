"""Streams the events of a stored response, or of a response in progress, to clients that may reconnect."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from fastapi import Request
from starlette.concurrency import run_in_threadpool

from api.admission.current_caller import CurrentCaller
from api.admission.services import Services
from api.answers.following import END_ID, load_events_after
from api.answers.schemas import AnswerOut
from api.http import sse
from api.http.problems import AnswerCancelledError, build_problem
from api.openai.response_events import ResumableEventFormatter
from api.openai.response_states import ResponseState, build_view, load_response_state
from api.openai.responses import ResponseView, parse_response_id
from ingest.storage.accounts.records import Principal
from ingest.storage.answers.interrupted import RESTARTED
from ingest.storage.errors import AnswerNotFoundError, LeadlineError
from rlm.answers import Answer
from rlm.events import Completed, Delta, Event, Reading, Retrieved


@dataclass(frozen=True)
class FollowedResponse:
    """A response to stream to a client that has received the events up to `starting_after`, or none if that is -1."""

    request: Request
    services: Services
    caller: Principal
    response_id: str
    starting_after: int = -1
    result_limit: int | None = None

    @property
    def identifier(self) -> str:
        return parse_response_id(self.response_id)[0]

    def build_view(self, caller: Principal) -> ResponseView:
        """Return the settings for presenting the answer to `caller`."""
        with_search = parse_response_id(self.response_id)[1]
        return build_view(self.request, self.services, caller, with_search=with_search, result_limit=self.result_limit)


async def stream_response(
    followed: FollowedResponse, current: CurrentCaller, first: ResponseState
) -> AsyncIterator[str]:
    """Yield the events of a response as they are stored, until it has ended or the process shuts down.

    `first` is the state when the stream begins.
    """
    services, changed, sent_at = followed.services, asyncio.Event(), time.monotonic()
    replay, tenant_id = _Replay(followed, first), followed.caller.tenant_id
    with services.events.feed.watch(tenant_id, followed.identifier, sse.build_change_callback(changed)):
        while services.accepting:
            changed.clear()  # Clear this before loading, so that events stored in the meantime trigger another load.
            events = ""
            try:
                events = await run_in_threadpool(replay.format_next_events, await current.refresh_principal())
            except sse.TRANSIENT_ERRORS:
                sent_at = 0.0
            except LeadlineError as error:  # The status was already sent, so the error is sent as an event.
                yield replay.format_failure(build_problem(error))
                return
            if events:
                yield events
                sent_at = time.monotonic()
                changed.set()  # One page may not contain all new events, so load again.
            if replay.has_ended:
                return
            if time.monotonic() - sent_at > sse.HEARTBEAT_SECONDS:
                yield sse.HEARTBEAT
                sent_at = time.monotonic()
            await sse.wait_for_change(changed, lambda: services.accepting)


class _Replay:
    """The events of one response for one client. It reads stored events from the first one, because the number of an
    event depends on the events before it.
    """

    def __init__(self, followed: FollowedResponse, first: ResponseState) -> None:
        self._followed = followed
        self._answer: ResponseState = first
        self._last_event = 0
        self._text = ""
        self.has_ended = False
        self._formatter = self._build_formatter(first)

    def format_next_events(self, caller: Principal) -> str:
        """Return the events since the last call."""
        followed, parts = self._followed, [self._formatter.format_start()]
        for number, kind, body in _load_events(followed, caller, self._last_event):
            if number == END_ID:
                self.has_ended = True
                return "".join([*parts, self._format_end(caller, kind, body)])
            self._last_event = int(number)
            if kind == RESTARTED:
                self._text = ""
                self._formatter.restart()
            event = _convert_stored_event(kind, body)
            if isinstance(event, Delta):
                self._text += event.text
            parts.append("" if event is None else self._formatter.format_event(event))
        return "".join(parts)

    def format_failure(self, problem: Mapping[str, Any]) -> str:
        return self._formatter.format_failure(problem)

    def _format_end(self, caller: Principal, kind: str, body: Mapping[str, Any]) -> str:
        if kind != "completed":
            return self._formatter.format_failure(body)
        self._answer = load_response_state(self._followed.services, caller, self._followed.response_id)
        answer = self._answer.answer
        assert answer is not None
        self._formatter.prepare_end(
            self._answer.request,
            self._followed.build_view(caller),
            with_form=answer.output is not None,
            completed_at=self._answer.completed_at,
        )
        # The stored events may have been removed before this client read all of them.
        rest = self._formatter.format_event(Delta(answer.text[len(self._text) :]))
        return rest + self._formatter.format_event(Completed(cast(Answer, None)))

    def _build_formatter(self, first: ResponseState) -> ResumableEventFormatter:
        followed = self._followed
        return ResumableEventFormatter(
            lambda: cast(AnswerOut, self._answer.answer),
            followed.identifier,
            first.request,
            followed.build_view(followed.caller),
            created_at=first.created_at,
            starting_after=followed.starting_after,
        )


def _load_events(
    followed: FollowedResponse, caller: Principal, last_event: int
) -> list[tuple[int | str, str, Mapping[str, Any]]]:
    """Return the next stored events. A response that a run makes has only the last one."""
    services, identifier = followed.services, followed.identifier
    try:
        return load_events_after(services, caller, caller.tenant_id, identifier, last_event)
    except AnswerNotFoundError:
        state = load_response_state(services, caller, followed.response_id)
    if state.answer is not None:
        return [(END_ID, "completed", {})]
    if state.status == "cancelled":
        return [(END_ID, "error", build_problem(AnswerCancelledError("The response was cancelled.")))]
    if state.error is not None:
        problem = {"status": 500, "detail": state.error["message"], "code": state.error["code"]}
        return [(END_ID, "error", problem)]
    return []


def _convert_stored_event(kind: str, body: Mapping[str, Any]) -> Event | None:
    """Return a stored event as the formatter takes it, or None if responses do not show events of its kind."""
    match kind:
        case "retrieved":
            return Retrieved((), body["query"])
        case "reading":
            return Reading(body["call"], ())
        case "delta":
            return Delta(body["text"])
        case _:
            return None
