"""What people decide on a run that has met its budget: to add to it, or to end it with what it has."""

from dataclasses import replace
from typing import Any

from api.admission.services import Services
from api.answers.run_schemas import MoreIn
from api.http.problems import BadRequestError
from ingest.storage.accounts.records import Principal
from ingest.storage.answers.run_records import Resumption, Run, build_finish_decision
from ingest.storage.queue.records import JobKind
from ingest.storage.quotas.records import Account
from rlm.llm.budgets import Limits
from rlm.requests import AnswerOptions
from rlm.runs.bodies import build_limits_body, parse_limits


def add_to_budget(served: Services, caller: Principal, run_id: str, more: MoreIn) -> Run:
    """Let a caller's paused run go on with a larger budget.

    Raises `BadRequestError` for a limit that the run has not, `RunStateError`, and `QuotaExceededError`.
    """
    run = served.answers.runs.load_run(caller.tenant_id, run_id, caller.visible_owner)
    limits, added = parse_limits(run.limits), more.model_dump(exclude_none=True)
    names = ", ".join(run.limits) or "none"
    for name in added:
        if getattr(limits, name) is None:
            raise BadRequestError(f"The run has no limit of {name}.", hint=f"Its limits: {names}.")
    if not added:
        raise BadRequestError("Nothing is added to the budget.", hint=f"Add to one of its limits: {names}.")
    return raise_budget(served, run, Limits(**added))


def raise_budget(served: Services, run: Run, added: Limits) -> Run:
    """Let a paused run go on with so much more, which is reserved of the quotas on which the run counts.

    Raises `RunStateError`, also where its budget was raised since it was read, and `QuotaExceededError`.
    """
    limits = parse_limits(run.limits)
    more = {name: value for name, value in vars(added).items() if value is not None}
    raised: dict[str, Any] = {name: getattr(limits, name) + value for name, value in more.items()}
    limits = replace(limits, **raised)
    account = Account(run.tenant_id, run.key_id or "")
    wanted = served.admission.meter.build_run_reservation(account, AnswerOptions(confirm=True, budget=limits))
    return _resume_run(
        served,
        run,
        Resumption(
            build_limits_body(limits), len(run.raised), pauses=True, added=build_limits_body(added), wanted=wanted
        ),
    )


def finish_run(served: Services, caller: Principal, run_id: str) -> Run:
    """Let a caller's paused run end with what it has. Raises `RunStateError`."""
    return finish_with_partial_result(
        served, served.answers.runs.load_run(caller.tenant_id, run_id, caller.visible_owner)
    )


def finish_with_partial_result(served: Services, run: Run) -> Run:
    """Let a paused run end with what it has. Raises `RunStateError`, also where its budget was raised meanwhile."""
    return _resume_run(served, run, build_finish_decision(run))


def _resume_run(served: Services, run: Run, decided: Resumption) -> Run:
    found = served.answers.runs.resume(run.tenant_id, run.id, decided)
    served.work.doorbell.ring(JobKind.RUN)
    return found
