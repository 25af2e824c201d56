"""Places for requests: a tenant never takes them all, waiting ones go in turn, and nobody waits for ever."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from api.admission.turns import Slot, TenantSlots
from api.http.problems import TooManyRequestsError


class Clock:
    """A clock that only its test moves."""

    now = 1_000.0

    def __call__(self) -> float:
        return self.now


def turns(
    places: int = 4,
    *,
    waiting: int = 100,
    wait_seconds: float = 60.0,
    share: int | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> TenantSlots:
    return TenantSlots(
        places,
        build_error=TooManyRequestsError,
        max_waiting=waiting,
        max_wait_seconds=wait_seconds,
        max_slots_per_tenant=share,
        clock=clock,
    )


def run(story: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        await asyncio.wait_for(story(), 300)

    asyncio.run(bounded())


async def settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def test_a_tenant_alone_leaves_a_quarter_for_others() -> None:
    async def story() -> None:
        ours = turns()
        for _ in range(3):
            await ours.acquire("busy")
        fourth = asyncio.ensure_future(ours.acquire("busy"))
        await settled()
        assert not fourth.done()
        await ours.acquire("other")
        fourth.cancel()

    run(story)


def test_freed_places_go_to_waiting_tenants_in_turn_until_each_has_its_part() -> None:
    async def story() -> None:
        ours, order = turns(), []

        async def take(tenant: str) -> Slot:
            place = await ours.acquire(tenant)
            order.append(tenant)
            return place

        held = [await ours.acquire("busy") for _ in range(3)]
        waiting = [asyncio.ensure_future(take("busy")) for _ in range(20)]
        await settled()
        late = [asyncio.ensure_future(take("late")) for _ in range(2)]
        await settled()
        assert order == ["late"]  # the last quarter
        for place in held:
            place.release()
        await settled()
        assert order == ["late", "late", "busy", "busy"] or order == ["late", "busy", "late", "busy"]
        for each in (*waiting, *late):
            each.cancel()

    run(story)


def test_who_waits_too_long_is_refused_with_the_seconds_after_which_to_come_back() -> None:
    async def story() -> None:
        ours = turns(1, wait_seconds=0.01)
        place = await ours.acquire("a")
        with pytest.raises(TooManyRequestsError) as refused:
            await ours.acquire("a")
        assert refused.value.retry_after_seconds > 0
        place.release()
        await ours.acquire("a")  # what was refused holds nothing

    run(story)


async def hold(slots: TenantSlots, tenant: str, clock: Clock, seconds: float) -> None:
    place = await slots.acquire(tenant)
    clock.now += seconds
    place.release()


def test_who_would_wait_too_long_is_refused_at_once() -> None:
    async def story() -> None:
        clock = Clock()
        ours = turns(4, wait_seconds=1.0, clock=clock)
        await hold(ours, "a", clock, 0.9)
        for _ in range(3):
            await ours.acquire("a")
        waiting = [asyncio.ensure_future(ours.acquire("a")) for _ in range(3)]  # the last one for .9 seconds
        await settled()
        assert not any(each.done() for each in waiting)
        hopeless = asyncio.ensure_future(ours.acquire("a"))  # it would wait for 1.2 seconds
        await settled()
        assert isinstance(hopeless.exception(), TooManyRequestsError)
        for each in waiting:
            each.cancel()

    run(story)


def test_nobody_is_refused_for_the_slowness_of_another_tenant_or_of_long_ago() -> None:
    async def story() -> None:
        clock = Clock()
        ours = turns(2, wait_seconds=1.0, clock=clock)
        await hold(ours, "slow", clock, 30.0)
        await ours.acquire("quick")
        waits = asyncio.ensure_future(ours.acquire("quick"))
        for _ in range(50):
            await hold(ours, "slow", clock, 0.1)
        await ours.acquire("slow")
        later = asyncio.ensure_future(ours.acquire("slow"))
        await settled()
        assert not waits.done()
        assert not later.done()
        waits.cancel()
        later.cancel()

    run(story)


def test_a_tenant_of_slow_requests_still_gets_every_slot_that_is_free() -> None:
    async def story() -> None:
        clock = Clock()
        ours = turns(4, wait_seconds=0.5, clock=clock)
        await hold(ours, "a", clock, 30.0)
        for _ in range(3):
            await ours.acquire("a")

    run(story)


def test_no_more_than_so_many_of_a_tenant_wait() -> None:
    async def story() -> None:
        ours = turns(1, waiting=1)
        await ours.acquire("a")
        waits = asyncio.ensure_future(ours.acquire("a"))
        await settled()
        with pytest.raises(TooManyRequestsError):
            await ours.acquire("a")
        waits.cancel()

    run(story)


def test_a_place_given_up_while_waiting_goes_to_the_next() -> None:
    async def story() -> None:
        ours = turns(1)
        place = await ours.acquire("a")
        gone, stays = asyncio.ensure_future(ours.acquire("a")), asyncio.ensure_future(ours.acquire("a"))
        await settled()
        place.release()
        place.release()  # again does nothing
        gone.cancel()  # its turn had come already
        await settled()
        assert stays.done()
        assert isinstance(await stays, Slot)

    run(story)


def test_a_place_is_traded_for_one_elsewhere_which_its_end_gives_back() -> None:
    async def story() -> None:
        work, streams = turns(1), turns(1, waiting=0)
        place = await work.acquire("a")
        await place.move_to(streams)
        await work.acquire("a")
        with pytest.raises(TooManyRequestsError):
            await streams.acquire("a")
        place.release()
        await streams.acquire("a")

    run(story)
