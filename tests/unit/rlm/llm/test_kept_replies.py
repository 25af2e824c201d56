"""The same call again: answered by what is kept, or by the request that is under way."""

import threading
from collections.abc import Mapping

import pytest

from ingest.storage.answers.replies import StoredReply
from ingest.storage.errors import CatalogUnavailableError
from rlm.errors import (
    LanguageModelRefusedError,
    RunCancelledError,
)
from rlm.llm.budgets import Budget, Limits, Usage
from rlm.llm.port import SubReply
from rlm.llm.scheduler import SubCallScheduler
from tests.support.scheduling import PROFILE, Held, call, calls, chat, echo, run, scripted, started, texts


def test_the_same_call_again_costs_nothing(scheduler: SubCallScheduler) -> None:
    model, budget = chat(echo), Budget(Limits(calls=2))
    bound = scheduler.bind_sub_calls(model, PROFILE, tenant_id="ann", budget=budget)
    bound.run(calls(2))
    assert [(each.text, each.cached) for each in bound.run(calls(2)) if isinstance(each, SubReply)] == [
        ("re q0", True),
        ("re q1", True),
    ]
    assert (len(model.prompts), budget.spending.calls) == (2, 2)


def test_another_tenant_pays_for_itself(scheduler: SubCallScheduler) -> None:
    model = chat(echo)
    for tenant in ("ann", "bob"):
        run(scheduler, model, [call("q")], tenant=tenant)
    assert len(model.prompts) == 2


def test_failures_are_not_kept(scheduler: SubCallScheduler) -> None:
    model = scripted(LanguageModelRefusedError("Not now."), "fine")
    assert texts(run(scheduler, model, [call("q")])) == ["language_model_refused"]
    assert texts(run(scheduler, model, [call("q")])) == ["fine"]


class BrokenCache:
    """A cache whose database is away, or worse."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def load_replies(self, tenant_id: str, keys: object) -> Mapping[str, StoredReply]:
        raise self._error

    def store_replies(self, tenant_id: str, replies: object, work: object = None) -> None:
        raise self._error


@pytest.mark.parametrize("error", [CatalogUnavailableError("Away."), ValueError("a value of the statement")])
def test_a_cache_that_is_away_costs_money_and_nothing_else(error: Exception) -> None:
    scheduler = SubCallScheduler(BrokenCache(error))
    try:
        assert texts(run(scheduler, chat(echo), calls(3))) == ["re q0", "re q1", "re q2"]
    finally:
        scheduler.close()


def test_equal_calls_at_once_are_one_request(scheduler: SubCallScheduler) -> None:
    model, budget = chat(echo), Budget(Limits())
    results = scheduler.bind_sub_calls(model, PROFILE, tenant_id="ann", budget=budget).run([call("q")] * 50)
    assert texts(results) == ["re q"] * 50
    assert (len(model.prompts), budget.spending.calls) == (1, 1)
    assert sum(isinstance(each, SubReply) and each.cached for each in results) == 49


def test_when_the_first_of_two_equal_calls_is_cancelled_the_second_is_answered(scheduler: SubCallScheduler) -> None:
    held, gone = Held(), threading.Event()
    model = chat(held.answer)
    bound = [scheduler.bind_sub_calls(model, PROFILE, tenant_id="ann", budget=Budget(Limits())) for _ in range(2)]
    first, first_end = started(lambda: bound[0].run([call("q")], cancelled=gone.is_set))
    assert held.asked.acquire(timeout=120)
    second, second_end = started(lambda: bound[1].run([call("q")]))
    gone.set()
    first.join()
    assert isinstance(first_end[0], RunCancelledError)
    assert held.asked.acquire(timeout=120)  # the second now asks for itself
    held.let.set()
    second.join()
    assert second_end == [[SubReply("re q", Usage(1, 20, 5))]]
    assert model.given_up == 1
