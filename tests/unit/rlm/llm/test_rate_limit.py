"""A model's rate limit, on an event loop of the test's own."""

import asyncio
from collections import Counter
from collections.abc import Awaitable

from hypothesis import given, settings
from hypothesis import strategies as st

from rlm.llm.rate_limit import CallPriority, RateLimit, SlotHolder


async def no_sleep(seconds: float) -> None:
    await asyncio.sleep(0)


def limited(places: int) -> RateLimit:
    return RateLimit(places, clock=lambda: 0.0, sleep=no_sleep)


def of(run: str, tenant_id: str = "ann") -> SlotHolder:
    return SlotHolder(tenant_id, run)


async def settle() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


def test_a_place_that_becomes_free_goes_to_whoever_holds_fewest() -> None:
    async def scene() -> None:
        shared = limited(3)
        for _ in range(3):
            await shared.acquire_slot(of("large"))
        waiting: list[asyncio.Future[None]] = [
            asyncio.ensure_future(shared.acquire_slot(of(run))) for run in ("large", "large", "small", "small")
        ]
        await settle()
        assert not any(each.done() for each in waiting)
        shared.release_slot(of("large"))
        await settle()
        assert [each.done() for each in waiting] == [False, False, True, False]
        shared.release_slot(of("large"))
        await settle()
        assert [each.done() for each in waiting] == [True, False, True, False]
        for each in waiting:
            each.cancel()

    asyncio.run(scene())


def test_what_somebody_waits_for_goes_before_scans() -> None:
    async def scene() -> None:
        shared = limited(1)
        await shared.acquire_slot(of("scan"))
        scans = [
            asyncio.ensure_future(shared.acquire_slot(of("another scan"), priority=CallPriority.INTERACTIVE_BATCH))
            for _ in range(3)
        ]
        await settle()
        asked = asyncio.ensure_future(shared.acquire_slot(of("scan"), priority=CallPriority.INTERACTIVE))
        await settle()
        shared.release_slot(of("scan"))
        await settle()
        assert asked.done()
        assert not any(each.done() for each in scans)
        for each in scans:
            each.cancel()

    asyncio.run(scene())


def test_answers_that_clients_wait_for_go_before_those_in_the_background() -> None:
    async def scene() -> None:
        shared, order = limited(1), list[CallPriority]()

        async def visit(priority: CallPriority) -> None:
            await shared.acquire_slot(of(priority.name, "bob"), priority=priority)
            order.append(priority)
            shared.release_slot(of(priority.name, "bob"))

        await shared.acquire_slot(of("first"))
        visits = [asyncio.ensure_future(visit(each)) for each in reversed(CallPriority)]
        await settle()
        shared.release_slot(of("first"))
        await asyncio.gather(*visits)
        assert order == sorted(CallPriority)

    asyncio.run(scene())


def test_a_tenant_with_many_runs_gets_no_more_turns_than_one_with_a_single_run() -> None:
    async def scene() -> None:
        shared, order = limited(1), list[str]()

        async def visit(tenant_id: str, run: str) -> None:
            await shared.acquire_slot(of(run, tenant_id))
            order.append(tenant_id)
            shared.release_slot(of(run, tenant_id))

        await shared.acquire_slot(of("first"))
        crowd = [asyncio.ensure_future(visit("ann", f"run {number}")) for number in range(10)]
        await settle()
        alone = [asyncio.ensure_future(visit("bob", "only")) for _ in range(3)]
        await settle()
        shared.release_slot(of("first"))
        await asyncio.gather(*crowd, *alone)
        assert "".join(each[0] for each in order) == "ababab" + "a" * 7

    asyncio.run(scene())


def test_giving_up_while_waiting_or_just_after_a_grant_leaks_no_place() -> None:
    async def scene() -> None:
        shared = limited(1)
        await shared.acquire_slot(of("a"))
        waiting = [asyncio.ensure_future(shared.acquire_slot(of(run))) for run in ("b", "c", "d")]
        await settle()
        waiting[0].cancel()
        shared.release_slot(of("a"))  # c is granted the place …
        waiting[1].cancel()  # … and gives up before it has seen that
        await settle()
        assert waiting[2].done()
        shared.release_slot(of("d"))
        assert shared.slots_in_use == 0

    asyncio.run(scene())


def test_a_hold_keeps_everyone_from_sending_until_it_is_over() -> None:
    async def scene() -> None:
        now = 0.0
        slept: list[float] = []

        async def sleep(seconds: float) -> None:
            nonlocal now
            slept.append(seconds)
            now += seconds

        shared = RateLimit(2, clock=lambda: now, sleep=sleep)
        shared.pause(5.0)
        await shared.acquire_slot(of("a"))
        assert (now, slept) == (5.0, [5.0])

    asyncio.run(scene())


def test_slots_are_free_unless_they_are_held_or_the_server_wants_a_pause() -> None:
    async def scene() -> None:
        now = 0.0
        shared = RateLimit(2, clock=lambda: now, sleep=no_sleep)
        await shared.acquire_slot(of("a"))
        assert shared.free_slots == 1
        shared.pause(5.0)
        assert shared.free_slots == 0
        now = 5.0
        assert shared.free_slots == 1
        for _ in range(2):
            shared.record_failure(is_timeout=True)
        assert shared.free_slots == 0
        shared.record_response()
        shared.release_slot(of("a"))
        assert shared.free_slots == 2

    asyncio.run(scene())


@settings(max_examples=100)
@given(st.integers(1, 4), st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3), st.booleans()), max_size=25))
def test_never_more_than_the_places_and_everybody_gets_one(places: int, work: list[tuple[str, int, bool]]) -> None:
    async def scene() -> None:
        shared = limited(places)
        inside: Counter[str] = Counter()
        most = 0

        async def visit(run: str, steps: int) -> None:
            nonlocal most
            await shared.acquire_slot(of(run))
            inside[run] += 1
            most = max(most, inside.total())
            try:
                for _ in range(steps):
                    await asyncio.sleep(0)
            finally:
                inside[run] -= 1
                shared.release_slot(of(run))

        tasks: list[tuple[asyncio.Future[None], bool]] = []
        for run, steps, given_up in work:
            tasks.append((asyncio.ensure_future(visit(run, steps)), given_up))
            await asyncio.sleep(0)
        for task, given_up in tasks:
            if given_up:
                task.cancel()
        everyone: Awaitable[list[object]] = asyncio.gather(*(task for task, _ in tasks), return_exceptions=True)
        await asyncio.wait_for(everyone, 300)
        assert most <= places
        assert shared.slots_in_use == 0

    asyncio.run(scene())
