"""What people decide on a run that has met its budget: to add to it, or to end it with what it has."""

from dataclasses import replace
from typing import Any

from api.problems import BadRequestError
from api.run_schemas import MoreIn
from api.services import Services
from ingest.documents import JobKind
from ingest.identity import Principal
from ingest.quotas import Account
from ingest.runs import Resumption, Run, to_finish
from rlm.llm.budgets import Limits
from rlm.requests import Wanted
from rlm.runs.bodies import limits_body, limits_of


def add_to_budget(served: Services, caller: Principal, run_id: str, more: MoreIn) -> Run:
    """Let a paused run go on with a larger budget, which is reserved of the quotas on which the run counts.

    Raises `BadRequestError` for a limit that the run has not, `RunStateError`, and `QuotaExceededError`.
    """
    run = served.runs.run(caller.tenant_id, run_id, caller.sees_only)
    limits, added = limits_of(run.limits), more.model_dump(exclude_none=True)
    names = ", ".join(run.limits) or "none"
    for name in added:
        if getattr(limits, name) is None:
            raise BadRequestError(f"The run has no limit of {name}.", hint=f"Its limits: {names}.")
    if not added:
        raise BadRequestError("Nothing is added to the budget.", hint=f"Add to one of its limits: {names}.")
    raised: dict[str, Any] = {name: getattr(limits, name) + value for name, value in added.items()}
    limits = replace(limits, **raised)
    account = Account(run.tenant_id, run.key_id or "")
    wanted = served.meter.run(account, Wanted(confirm=True, budget=limits))
    decided = Resumption(
        limits_body(limits), len(run.raised), pauses=True, added=limits_body(Limits(**added)), wanted=wanted
    )
    return _resumed(served, caller, run, decided)


def finish(served: Services, caller: Principal, run_id: str) -> Run:
    """Let a paused run end with what it has. Raises `RunStateError`."""
    run = served.runs.run(caller.tenant_id, run_id, caller.sees_only)
    return _resumed(served, caller, run, to_finish(run))


def _resumed(served: Services, caller: Principal, run: Run, decided: Resumption) -> Run:
    found = served.runs.resume(caller.tenant_id, run.id, decided, caller.sees_only)
    served.doorbell.ring(JobKind.RUN)
    return found
