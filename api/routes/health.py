"""`/health`, `/v1/status` and `/problems`: liveness, readiness, current state, and explanations of problems."""

from typing import Any

from fastapi import APIRouter, Response

from api.access import Caller, Served
from api.problems import STATUS, ApiError
from api.schemas import StatusOut
from ingest.errors import LeadlineError

router = APIRouter(tags=["health"])


@router.get("/health/live")
async def live() -> dict[str, str]:
    """Answer while the process lives, also while all of its threads are busy."""
    return {"status": "alive"}


@router.get("/health/ready")
def ready(served: Served, response: Response) -> dict[str, Any]:
    """Return `200` if uploads and searches work; `parts` says what is still coming, such as a loading language model.

    `503` while this process stops, and while the vector index is away: uploads are still accepted then.
    """
    parts = served.parts()
    status = "stopping" if not served.accepting else parts["search"]["state"]
    response.status_code = 200 if status == "ready" else 503
    return {"status": status, "parts": parts}


@router.get("/v1/status")
def status(caller: Caller, served: Served, collection: str | None = None) -> StatusOut:
    """Count the caller's documents in each state, and the outcomes of its searches in the query cache."""
    totals = served.catalog.totals(caller.tenant_id, collection)
    return StatusOut.of(totals, served.searcher.counts(caller.tenant_id))


@router.get("/problems/{code}")
def explain(code: str) -> dict[str, Any]:
    """Explain a problem's `type` and what to do about it."""
    for kind, status in _kinds():
        if kind.code == code:
            return {"code": code, "status": status, "meaning": (kind.__doc__ or "").strip(), "hint": kind.default_hint}
    return {"code": code, "meaning": "This release has no such problem.", "hint": "See /docs."}


def _kinds() -> list[tuple[type[LeadlineError], int]]:
    return [*STATUS.items(), *((kind, kind.status) for kind in ApiError.__subclasses__())]
