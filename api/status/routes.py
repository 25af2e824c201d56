"""`/health`, `/v1/status` and `/problems`: liveness, readiness, document counts, and explanations of problems."""

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response

from api.admission.access import Caller, HealthThreads, ServicesDep
from api.admission.services import Services
from api.http.problems import STATUS, ApiError
from api.status.schemas import LanguageModelOut, PartOut, ReadinessOut, StatusOut
from ingest.storage.errors import LeadlineError

router = APIRouter(tags=["health"])

Role = Literal["uploads", "search", "answers"]
REQUIRED_PARTS: Mapping[Role, tuple[str, ...]] = {
    "uploads": ("catalog", "files", "disk"),
    "search": ("catalog", "files", "search"),
    "answers": ("catalog", "files", "search", "language_model"),
}
# Maximum time for a component to report its state. If it takes longer, it counts as unavailable, because the callers
# have deadlines too.
_PART_SECONDS = 1.0
_RETRY_AFTER_SECONDS = "5"


@router.get("/health/live")
async def get_liveness() -> dict[str, str]:
    """Return 200 while the process is alive, even if all of its threads are busy."""
    return {"status": "alive"}


@router.get("/health/ready")
async def get_readiness(
    services: ServicesDep,
    threads: HealthThreads,
    response: Response,
    role: Annotated[Role | None, Query(alias="for")] = None,
) -> ReadinessOut:
    """Return `200` if this process can handle requests, and `503` during shutdown or while the catalog is unavailable.

    With `for`, it also returns `503` while the store of files is unavailable. With `for=uploads`, it also returns `503`
    while uploads are rejected because the disk is full; with `for=search`, while the vector index is unavailable; and
    with `for=answers`, while the vector index is unavailable or the language model is loading or unavailable. `parts`
    always contains the state of each component.
    """
    probes = services.build_health_probes()
    found = await asyncio.gather(
        *(threads.run_with_timeout(_PART_SECONDS, name, probe, "unavailable") for name, probe in probes.items())
    )
    states = dict(zip(probes, found, strict=True))
    # If no role is given, a full disk does not make the process unready, because searches, answers and deletions still
    # work.
    # guard: full-disk-stays-ready
    needed = REQUIRED_PARTS[role] if role else ("catalog",)
    stopping = not services.accepting
    missing = [states[name] for name in needed if states[name] not in ("ready", "none")]
    response.status_code = 503 if stopping or missing else 200
    if response.status_code == 503:
        response.headers["Retry-After"] = _RETRY_AFTER_SECONDS
    status = "stopping" if stopping else missing[0] if missing else "ready"
    return ReadinessOut(status=status, parts={name: PartOut(state=state) for name, state in states.items()})


@router.get("/v1/status")
def get_status(caller: Caller, services: ServicesDep, collection: str | None = None) -> StatusOut:
    """Count your documents by state, and the hits and misses of your searches in the query cache; name the model."""
    totals = services.documents.catalog.compute_state_totals(caller.tenant_id, collection, readers=caller.readers)
    types = services.documents.catalog.listing.count_media_types(caller.tenant_id, caller.readers)
    counts = services.asking.searcher.get_cache_counts(caller.tenant_id)
    return StatusOut.from_totals(totals, types, counts, _describe_language_model(services))


def _describe_language_model(services: Services) -> LanguageModelOut | None:
    state = services.asking.answering.get_state()
    if state["state"] == "none":
        return None
    return LanguageModelOut(model=state["model"], is_built_in=services.settings.llm == "local")


@router.get("/problems/{code}")
def get_problem_explanation(code: str) -> dict[str, Any]:
    """Explain a problem `type` and what to do about it."""
    for kind, status in _list_problem_kinds():
        if kind.code == code:
            return {"code": code, "status": status, "meaning": (kind.__doc__ or "").strip(), "hint": kind.default_hint}
    return {"code": code, "meaning": "This release has no problem with this code.", "hint": "See /docs."}


def _list_problem_kinds() -> list[tuple[type[LeadlineError], int]]:
    return [*STATUS.items(), *((kind, kind.status) for kind in ApiError.__subclasses__())]
