"""Loads responses: stored answers, answers in progress, and the runs that make answers in the background."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from fastapi import Request

from api.admission.services import Services
from api.answers.asking import build_visible_answer
from api.answers.following import build_pending_problem
from api.answers.schemas import AnswerOut, extract_cited_document_ids
from api.openai.limits import limit_text
from api.openai.models import get_base_url
from api.openai.responses import (
    ResponseNotFoundError,
    ResponseView,
    build_output_items,
    build_response_object,
    get_response_status,
    parse_response_id,
)
from api.openai.search_results import FoundTexts, ReadText
from ingest.storage.accounts.records import Principal
from ingest.storage.answers.pending_records import PendingAnswer, PendingState
from ingest.storage.answers.run_records import Run, RunState
from ingest.storage.errors import AnswerNotFoundError, ContentChangedError, RunNotFoundError, TextLostError

_RUN_STATUS = {RunState.QUEUED: "queued", RunState.CANCELLED: "cancelled", RunState.FAILED: "failed"}
_PENDING_STATUS = {PendingState.RUNNING: "in_progress", PendingState.CANCELLED: "cancelled"}


@dataclass(frozen=True)
class ResponseState:
    """The state of a response. `request` contains the stored members of its request, also its `input`."""

    request: Mapping[str, Any]
    created_at: float
    status: str
    answer: AnswerOut | None = None
    question: str = ""
    completed_at: float | None = None
    error: Mapping[str, Any] | None = None

    @property
    def input(self) -> list[Mapping[str, Any]]:
        """The messages of the request. Earlier releases stored only the question."""
        return self.request.get("input") or [{"role": "user", "content": self.question}]

    def build_object(self, response_id: str, view: ResponseView) -> dict[str, Any]:
        """Return the response object."""
        status, output = self.status, list[dict[str, Any]]()
        if self.answer is not None:
            shown = limit_text(self.answer, self.request.get("max_output_tokens"))
            status = get_response_status(shown)
            output = build_output_items(shown, parse_response_id(response_id)[0], view)
        return build_response_object(
            response_id,
            self.request,
            status,
            output,
            created_at=self.created_at,
            completed_at=self.completed_at,
            answer=self.answer,
            error=self.error,
        )


def load_response_state(services: Services, caller: Principal, response_id: str) -> ResponseState:
    """Load the state of a response. Raises `ResponseNotFoundError` if the caller has no such response."""
    identifier = parse_response_id(response_id)[0]
    ids = caller.tenant_id, identifier, caller.visible_owner
    with suppress(AnswerNotFoundError):
        kept = services.answers.conversations.load_answer(*ids)
        answer = build_visible_answer(services, caller, kept)
        request = kept.body.get("request") or _find_run_request(services, caller, identifier)
        status = get_response_status(answer)
        return ResponseState(request, kept.created_at, status, answer, kept.question, kept.created_at)
    if (pending := services.answers.pending.find(*ids)) is not None:
        return _build_pending_state(pending)
    with translate_not_found_errors(response_id):
        run = services.answers.runs.load_run(*ids)
    return _build_run_state(services, caller, response_id, run)


@contextmanager
def translate_not_found_errors(response_id: str) -> Iterator[None]:
    """Convert errors about a missing answer or run to `ResponseNotFoundError`."""
    try:
        yield
    except (AnswerNotFoundError, RunNotFoundError) as error:
        raise ResponseNotFoundError(f"Response {response_id!r} not found.") from error


def build_view(
    request: Request, services: Services, caller: Principal, *, with_search: bool, result_limit: int | None
) -> ResponseView:
    """Return the settings for presenting answers to `caller`."""

    def find_texts(answer: AnswerOut) -> FoundTexts:
        read = answer.searched.read_passages if result_limit is not None else []
        cited = {each.document_id for each in answer.citations if not each.deleted}
        named = cited | {each.document_id for each in read}
        # The text is read again, so access is checked again, also for an answer that was just made.
        named -= services.answers.conversations.list_withheld_documents(named, caller.readers)
        texts = []
        for each in read:
            if each.document_id in named:
                # The text is missing if the version was deleted after this check.
                with suppress(KeyError, ContentChangedError, TextLostError):
                    text = services.contents.texts.read(each.version_id, each.start, each.end)
                    texts.append(ReadText(each, text))
        return FoundTexts(services.documents.files.load_document_files(caller.tenant_id, named), texts)

    return ResponseView(get_base_url(request, services), with_search, result_limit, find_texts)


def _find_run_request(services: Services, caller: Principal, identifier: str) -> Mapping[str, Any]:
    """Return the stored request of a run. Empty if the answer was not made by a run."""
    with suppress(RunNotFoundError):
        run = services.answers.runs.load_run(caller.tenant_id, identifier, caller.visible_owner)
        return _build_run_request(run)
    return {}


def _build_run_request(run: Run) -> dict[str, Any]:
    return {**(run.request or {}), "background": True}


def _build_pending_state(pending: PendingAnswer) -> ResponseState:
    status = _PENDING_STATUS.get(pending.state, "failed")
    error = None
    if status == "failed":
        problem = build_pending_problem(pending)
        error = {"code": problem["code"], "message": problem["detail"]}
    request = {**(pending.request or {}), "background": True}
    return ResponseState(request, pending.created_at, status, question=pending.question, error=error)


def _build_run_state(services: Services, caller: Principal, response_id: str, run: Run) -> ResponseState:
    run, request = services.answers.runs.mask_names(run, caller.readers), _build_run_request(run)
    if run.answer is not None:
        named = extract_cited_document_ids(run.answer)
        answer = AnswerOut.from_body(
            run.answer,
            identifier=run.id,
            conversation=run.conversation_id,
            deleted_documents=services.answers.conversations.list_withheld_documents(named, caller.readers),
        )
        return ResponseState(request, run.created_at, get_response_status(answer), answer, run.question, run.ended_at)
    if run.state in (RunState.COMPLETED, RunState.PARTIAL):
        raise ResponseNotFoundError(f"Response {response_id!r} not found, because its answer was deleted.")
    error = {"code": run.failure.code, "message": run.failure.detail} if run.failure else None
    status = _RUN_STATUS.get(run.state, "in_progress")
    return ResponseState(request, run.created_at, status, question=run.question, error=error)
