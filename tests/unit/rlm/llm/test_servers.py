"""How a server is chosen among those of a model, and how long one that fails gets nothing."""

from collections import Counter

import pytest

from rlm.llm.servers import PooledServer, ServerAttempt, ServerPool
from tests.support.scheduling import Time


@pytest.fixture
def pool(clock: Time) -> ServerPool:
    return ServerPool("m", 3, clock=clock)


def take(pool: ServerPool, affinity: str = "", tried: tuple[PooledServer, ...] = ()) -> ServerAttempt:
    attempt = pool.start_attempt(affinity, tried)
    assert attempt is not None
    return attempt


def asked(pool: ServerPool, affinity: str = "") -> int:
    """The server that one request went to, after it ended well."""
    attempt = take(pool, affinity)
    attempt.record_answer()
    attempt.end_attempt("ok")
    return attempt.server.number


def test_a_conversation_stays_with_one_server_and_conversations_are_spread(pool: ServerPool) -> None:
    stays = {affinity: {asked(pool, affinity) for _ in range(5)} for affinity in map(str, range(300))}
    assert all(len(servers) == 1 for servers in stays.values())
    spread = Counter(number for servers in stays.values() for number in servers)
    assert min(spread.values()) > 60


def test_a_server_that_is_away_moves_only_its_own_conversations(pool: ServerPool) -> None:
    before = {affinity: asked(pool, affinity) for affinity in map(str, range(60))}
    pool.record_failure(pool.servers[0])
    after = {affinity: asked(pool, affinity) for affinity in before}
    assert 1 not in after.values()
    assert all(after[affinity] == number for affinity, number in before.items() if number != 1)


def test_a_conversation_with_many_calls_at_once_is_spread(pool: ServerPool) -> None:
    for _ in range(12):
        take(pool, "one")
    assert all(server.in_flight <= 5 for server in pool.servers)


def test_without_a_conversation_the_least_busy_server_is_asked(pool: ServerPool) -> None:
    assert Counter(take(pool).server.number for _ in range(9)) == {1: 3, 2: 3, 3: 3}


def test_a_server_that_fails_rests_for_longer_each_time_and_then_gets_one_request_alone(
    pool: ServerPool, clock: Time
) -> None:
    server = pool.servers[0]
    rests = []
    for _ in range(7):
        pool.record_failure(server)
        pool.record_failure(server)  # together with the first
        rests.append(pool.compute_resting_seconds(server))
        clock.now += rests[-1]
    assert rests == [1, 2, 4, 8, 16, 30, 30]
    first = {take(pool).server.number for _ in range(9)}
    assert first == {1, 2, 3}
    assert server.in_flight == 1
    pool.record_answer(server)
    assert 1 in {take(pool).server.number for _ in range(9)}


def test_a_server_rests_for_as_long_as_it_asks(pool: ServerPool, clock: Time) -> None:
    pool.record_failure(pool.servers[1], retry_after_seconds=7)
    assert {asked(pool) for _ in range(9)} == {1, 3}
    clock.now += 7
    assert {asked(pool) for _ in range(9)} == {1, 2, 3}


def test_when_all_rest_the_one_that_is_due_first_is_asked_and_no_second_one(pool: ServerPool) -> None:
    for server, seconds in zip(pool.servers, (9, 5, 7), strict=True):
        pool.record_failure(server, retry_after_seconds=seconds)
    first = take(pool, "any")
    assert first.server.number == 2
    assert pool.start_attempt("any", [first.server]) is None
