"""Budgets: whatever a tree of them is asked for at once, nothing is promised beyond what was given."""

import threading
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlm.errors import BudgetExhaustedError, UnpricedModelError
from rlm.llm.budgets import Amount, Budget, Limits, Price, Reservation

PRICE = Price(Decimal("0.5"), Decimal(2))


class Clock:
    """Time that passes when a test says so."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def reserve(budget: Budget, prompt: int = 10, completion: int = 5) -> Reservation:
    return budget.reserve(prompt_tokens=prompt, completion_tokens=completion)


def test_what_was_not_used_is_given_back() -> None:
    budget = Budget(Limits(calls=2, prompt_tokens=100, completion_tokens=20))
    reservation = reserve(budget, 60, 20)
    assert budget.get_remaining_limits() == Limits(calls=1, prompt_tokens=40, completion_tokens=0)
    reservation.settle(prompt_tokens=50, completion_tokens=3)
    assert budget.get_remaining_limits() == Limits(calls=1, prompt_tokens=50, completion_tokens=17)
    assert budget.spending == Amount(1, 50, 3)


def test_a_call_that_does_not_fit_is_refused_before_it_is_sent() -> None:
    budget = Budget(Limits(completion_tokens=20))
    with pytest.raises(BudgetExhaustedError, match="21 tokens to write") as refused:
        reserve(budget, 0, 21)
    assert (refused.value.resource, refused.value.may_fit_later) == ("completion_tokens", False)
    assert budget.get_remaining_limits().completion_tokens == 20


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        (Limits(calls=0), "may use 1 call, but"),
        (Limits(prompt_tokens=0), "may use 1 token to read, but"),
        (Limits(completion_tokens=1_000), "may use 2,000 tokens to write, but"),
        (Limits(tokens=2_000), "may use 2,001 tokens to read and write, but"),
        (Limits(dollars=Decimal(1)), "may use 2.001 dollars, but"),
    ],
)
def test_a_refusal_counts_one_in_the_singular(limits: Limits, said: str) -> None:
    price = Price(Decimal(1_000), Decimal(1_000))
    with pytest.raises(BudgetExhaustedError, match=said):
        Budget(limits).reserve(prompt_tokens=1, completion_tokens=2_000, price=price)


def test_what_calls_under_way_may_give_back_is_not_given_up() -> None:
    budget = Budget(Limits(completion_tokens=20))
    reserve(budget, 0, 15)
    with pytest.raises(BudgetExhaustedError, match="in progress") as refused:
        reserve(budget, 0, 15)
    assert refused.value.may_fit_later


def test_a_reservation_that_was_not_sent_costs_nothing() -> None:
    budget = Budget(Limits(calls=1))
    reservation = reserve(budget)
    assert budget.get_remaining_limits().calls == 0
    reservation.release()
    assert budget.get_remaining_limits().calls == 1


def test_settling_twice_counts_once() -> None:
    budget = Budget(Limits(calls=5))
    reservation = reserve(budget)
    reservation.settle(prompt_tokens=1, completion_tokens=1)
    reservation.settle(prompt_tokens=9, completion_tokens=9)
    reservation.release()
    assert budget.spending == Amount(1, 1, 1)
    assert budget.get_remaining_limits().calls == 4


def test_more_than_was_reserved_is_counted_and_leaves_nothing() -> None:
    budget = Budget(Limits(prompt_tokens=10))
    reserve(budget).settle(prompt_tokens=14, completion_tokens=0)
    assert budget.spending.prompt_tokens == 14
    assert budget.get_remaining_limits().prompt_tokens == 0
    with pytest.raises(BudgetExhaustedError):
        reserve(budget, 1, 0)


def test_a_child_gets_no_more_than_its_parent_has_left() -> None:
    parent = Budget(Limits(calls=10, completion_tokens=100))
    reserve(parent, 0, 40)
    assert parent.create_child().limits == Limits(calls=9, completion_tokens=60)
    assert parent.create_child(Limits(calls=3, completion_tokens=500)).limits == Limits(calls=3, completion_tokens=60)


def test_children_share_what_is_left_and_their_spending_is_the_parents() -> None:
    parent = Budget(Limits(calls=3))
    first, second = parent.create_child(), parent.create_child()
    for child in (first, second, first):
        reserve(child).settle(prompt_tokens=1, completion_tokens=1)
    assert (first.spending.calls, second.spending.calls, parent.spending.calls) == (2, 1, 3)
    for budget in (first, second, parent):
        with pytest.raises(BudgetExhaustedError):
            reserve(budget)


def test_depth_counts_down_to_the_last_level() -> None:
    child = Budget(Limits(depth=2)).create_child().create_child(Limits(depth=5))
    assert child.limits.depth == 0
    with pytest.raises(BudgetExhaustedError, match="maximum depth") as refused:
        child.create_child()
    assert refused.value.resource == "depth"


def test_time_runs_out_for_the_whole_tree() -> None:
    clock = Clock()
    parent = Budget(Limits(seconds=10), clock=clock)
    clock.seconds += 4
    child = parent.create_child(Limits(seconds=60))
    assert child.limits.seconds == 6
    clock.seconds += 6
    for budget in (parent, child):
        assert budget.get_remaining_limits().seconds == 0
        with pytest.raises(BudgetExhaustedError, match="time"):
            reserve(budget)


def test_money_is_reserved_and_settled_by_the_price_of_the_model() -> None:
    budget = Budget(Limits(dollars=Decimal("0.01")))
    reservation = budget.reserve(prompt_tokens=10_000, completion_tokens=2_000, price=PRICE)
    assert budget.get_remaining_limits().dollars == Decimal("0.001")
    reservation.settle(prompt_tokens=8_000, completion_tokens=0)
    assert budget.spending.dollars == Decimal("0.004")
    with pytest.raises(BudgetExhaustedError, match="dollars"):
        budget.create_child().reserve(prompt_tokens=0, completion_tokens=3_001, price=PRICE)


def test_dollars_cannot_be_limited_for_a_model_without_a_price() -> None:
    with pytest.raises(UnpricedModelError, match="no price") as refused:
        reserve(Budget(Limits(dollars=Decimal(1))).create_child())
    assert "LEADLINE_MODEL_PROFILES" in refused.value.hint


def test_a_resumed_run_has_what_its_earlier_processes_left() -> None:
    clock = Clock()
    budget = Budget(Limits(calls=5, seconds=60), initial_spending=Amount(calls=3), elapsed_seconds=50, clock=clock)
    assert budget.get_remaining_limits() == Limits(calls=2, seconds=10)


def test_limits_below_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="calls"):
        Limits(calls=-1)
    with pytest.raises(ValueError, match="tokens"):
        reserve(Budget(Limits()), -1)


small = st.integers(0, 12)
maybe = st.none() | small
limits = st.builds(
    Limits, calls=maybe, prompt_tokens=maybe, completion_tokens=maybe, depth=st.none() | st.integers(0, 3)
)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("child"), small, limits),
        st.tuples(st.just("reserve"), small, st.tuples(small, small)),
        st.tuples(st.just("settle"), small, st.tuples(small, small)),
        st.tuples(st.just("release"), small, st.none()),
    ),
    max_size=60,
)


def fits(limit: int | None, promised: int) -> bool:
    return limit is None or promised <= limit


@settings(max_examples=150)
@given(limits, steps)
def test_no_tree_of_budgets_promises_more_than_it_was_given(given_limits: Limits, steps: list[tuple]) -> None:  # type: ignore[type-arg]
    """An honest server uses at most what was reserved; then spent and promised together stay within every limit."""
    root = Budget(given_limits)
    budgets, parents = [root], {id(root): None}
    open_calls: list[tuple[int, Reservation]] = []
    for kind, which, detail in steps:
        budget = budgets[which % len(budgets)]
        try:
            if kind == "child":
                budgets.append(made := budget.create_child(detail))
                parents[id(made)] = budget
            elif kind == "reserve":
                open_calls.append((which % len(budgets), reserve(budget, *detail)))
            elif open_calls:
                _, reservation = open_calls.pop(which % len(open_calls))
                if kind == "release":
                    reservation.release()
                else:
                    used = reservation.amount
                    reservation.settle(
                        prompt_tokens=min(detail[0], used.prompt_tokens),
                        completion_tokens=min(detail[1], used.completion_tokens),
                    )
        except BudgetExhaustedError:
            pass
        for each in budgets:
            promised = each._settled + each._reserved
            assert fits(each.limits.calls, promised.calls)
            assert fits(each.limits.prompt_tokens, promised.prompt_tokens)
            assert fits(each.limits.completion_tokens, promised.completion_tokens)
            below = [child for child in budgets if parents[id(child)] is each]
            assert each.spending.calls >= sum(child.spending.calls for child in below)
    assert root._reserved.calls == len(open_calls)


def test_threads_at_once_never_get_more_than_there_is() -> None:
    root = Budget(Limits(calls=400, completion_tokens=2_000))
    children = [root.create_child().create_child() for _ in range(8)]
    sent: list[int] = []

    def spend(budget: Budget) -> None:
        while True:
            try:
                reservation = reserve(budget, 0, 10)
            except BudgetExhaustedError as refused:
                if refused.may_fit_later:
                    continue
                return
            sent.append(1)
            reservation.settle(prompt_tokens=0, completion_tokens=7)

    threads = [threading.Thread(target=spend, args=(child,)) for child in children]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # 285 calls of 7 tokens leave 5, which covers no other call of up to 10.
    assert len(sent) == root.spending.calls == 285


def test_what_was_paid_before_is_charged_to_a_part_and_to_the_whole_even_where_it_is_too_much() -> None:
    whole = Budget(Limits(calls=3))
    part = whole.create_child(Limits(calls=1))
    part.charge(calls=2, prompt_tokens=10, completion_tokens=1)
    assert (part.get_remaining_limits().calls, whole.get_remaining_limits().calls, whole.spending.prompt_tokens) == (
        0,
        1,
        10,
    )


def test_what_is_kept_back_is_left_for_whoever_kept_it() -> None:
    assert Budget(Limits(dollars=Decimal(1))).create_budget_with_reserve(
        Amount(2, 100, 50, Decimal("0.5"))
    ).kept_back == Amount(2, 100, 50, Decimal("0.1"))
    own = Budget(Limits(calls=20, prompt_tokens=1_000))
    others = own.create_budget_with_reserve(Amount(2, 100, 50))
    for _ in range(18):
        reserve(others).release()
        reserve(others, completion=0).settle(prompt_tokens=10, completion_tokens=0)
    with pytest.raises(BudgetExhaustedError, match="18 of 20 are used and 2 are reserved for the answer itself"):
        reserve(others)
    assert others.get_remaining_limits().calls == 0
    assert own.get_remaining_limits().calls == 2
    for _ in range(2):
        reserve(own).settle(prompt_tokens=10, completion_tokens=5)
    with pytest.raises(BudgetExhaustedError):
        reserve(own)


def test_parts_of_parts_leave_what_each_above_them_has_kept() -> None:
    root = Budget(Limits(calls=40, depth=1))
    code = root.create_budget_with_reserve(Amount(2))
    part = code.create_child()
    below = part.create_budget_with_reserve(Amount(2))
    assert [each.limits.depth for each in (root, code, part, below)] == [1, 1, 0, 0]
    assert [each.get_remaining_limits().calls for each in (root, code, part, below)] == [40, 38, 38, 36]
    for _ in range(36):
        reserve(below).settle(prompt_tokens=1, completion_tokens=1)
    assert [each.get_remaining_limits().calls for each in (root, code, part, below)] == [4, 2, 2, 0]


def test_of_a_small_limit_nothing_is_kept_back() -> None:
    others = Budget(Limits(calls=5)).create_budget_with_reserve(Amount(2, 100, 100))
    assert others.kept_back.calls == 0
    assert others.get_remaining_limits().calls == 5
