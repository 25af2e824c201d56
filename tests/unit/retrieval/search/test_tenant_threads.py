"""Whose work is done next. Threads wait for events, not for times."""

import threading
from collections.abc import Callable

import pytest

from retrieval.search.tenant_threads import TenantThreadPool


class Work:
    """Work in one thread that goes on when it is let, and the order in which it was done."""

    def __init__(self) -> None:
        self.threads = TenantThreadPool[str](1, name="test")
        self.done: list[str] = []
        self.let, self.begun = threading.Event(), threading.Event()
        self.first = self.threads.submit_task("first", self._hold)
        assert self.begun.wait(60)

    def noted(self, name: str) -> Callable[[], str]:
        def work() -> str:
            self.done.append(name)
            return name

        return work

    def put(self, tenant_id: str, name: str) -> Callable[[], str]:
        return self.threads.submit_task(tenant_id, self.noted(name)).result

    def _hold(self) -> str:
        self.begun.set()
        self.let.wait(60)
        return "held"


def test_a_tenant_with_one_piece_of_work_is_next_however_many_another_has() -> None:
    work = Work()
    waiting = [work.put("greedy", f"greedy {number}") for number in range(4)]
    waiting += [work.put("light", "light")]
    work.let.set()
    assert [each() for each in waiting] == ["greedy 0", "greedy 1", "greedy 2", "greedy 3", "light"]
    assert work.done == ["greedy 0", "light", "greedy 1", "greedy 2", "greedy 3"]
    work.threads.close()


def test_tenants_take_turns_and_each_ones_work_is_done_in_its_order() -> None:
    work = Work()
    waiting = [work.put(tenant, f"{tenant}{number}") for tenant in "abc" for number in range(2)]
    work.let.set()
    for each in waiting:
        each()
    assert work.done == ["a0", "b0", "c0", "a1", "b1", "c1"]
    work.threads.close()


def test_what_the_work_raises_is_raised_to_who_waits_for_it() -> None:
    threads = TenantThreadPool[str](1, name="test")

    def fail() -> str:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        threads.submit_task("ann", fail).result(60)
    threads.close()


def test_what_was_given_up_before_its_turn_is_not_done() -> None:
    work = Work()
    given_up = work.threads.submit_task("ann", work.noted("given up"))
    after = work.put("ann", "after")
    assert given_up.cancel()
    work.let.set()
    assert after() == "after"
    assert work.done == ["after"]
    work.threads.close()


def test_at_the_end_work_in_progress_is_finished_and_all_other_is_cancelled() -> None:
    work, cancelled = Work(), threading.Event()
    waiting = work.threads.submit_task("ann", work.noted("never"))
    waiting.add_done_callback(lambda _: cancelled.set())
    closing = threading.Thread(target=work.threads.close)
    closing.start()
    assert cancelled.wait(60)
    work.let.set()
    closing.join(60)
    assert work.first.result(60) == "held"
    assert work.done == []
