"""Handles runs that reached their budget: continues them with a larger one, or ends them with a partial result."""

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


def add_to_budget(services: Services, caller: Principal, run_id: str, increase: MoreIn) -> Run:
    """Continue one of the caller's paused runs with a larger budget.

    Raises `BadRequestError` for a limit that the run does not have, `RunStateError` if the run is not paused, and
    `QuotaExceededError` if the quotas do not allow the larger budget.
    """
    run = services.answers.runs.load_run(caller.tenant_id, run_id, caller.visible_owner)
    limits, added = parse_limits(run.limits), increase.model_dump(exclude_none=True)
    names = ", ".join(run.limits) or "none"
    for name in added:
        if getattr(limits, name) is None:
            raise BadRequestError(f"The run has no `{name}` limit.", hint=f"The run has these limits: {names}.")
    if not added:
        raise BadRequestError(
            "The request adds nothing to the budget.", hint=f"Add to one of the run's limits: {names}."
        )
    return raise_budget(services, run, Limits(**added))


def raise_budget(services: Services, run: Run, added_limits: Limits) -> Run:
    """Continue a paused run with a larger budget. The new budget is reserved from the quotas of the run's account.

    Raises `RunStateError` if the run is not paused or its budget was raised after it was loaded, and
    `QuotaExceededError` if the quotas do not allow the larger budget.
    """
    limits = parse_limits(run.limits)
    more = {name: value for name, value in vars(added_limits).items() if value is not None}
    raised: dict[str, Any] = {name: getattr(limits, name) + value for name, value in more.items()}
    limits = replace(limits, **raised)
    account = Account(run.tenant_id, run.key_id or "")
    wanted = services.admission.meter.build_quota_request(account, AnswerOptions(confirm=True, budget=limits))
    return _resume_run(
        services,
        run,
        Resumption(
            build_limits_body(limits),
            len(run.raised),
            pauses=True,
            added=build_limits_body(added_limits),
            wanted=wanted,
        ),
    )


def finish_run(services: Services, caller: Principal, run_id: str) -> Run:
    """Finish one of the caller's paused runs with a partial result. Raises `RunStateError` if it is not paused."""
    return finish_with_partial_result(
        services, services.answers.runs.load_run(caller.tenant_id, run_id, caller.visible_owner)
    )


def finish_with_partial_result(services: Services, run: Run) -> Run:
    """Finish a paused run with a partial result.

    Raises `RunStateError` if the run is not paused or its budget was raised in the meantime.
    """
    return _resume_run(services, run, build_finish_decision(run))


def _resume_run(services: Services, run: Run, resumption: Resumption) -> Run:
    found = services.answers.runs.resume(run.tenant_id, run.id, resumption)
    services.work.doorbell.notify(JobKind.RUN)
    return found
