"""Requests by the minute, counted by several processes together in a real Valkey, and by each alone without it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from api.admission.request_rates import RequestRateLimiter
from ingest.storage.quotas.records import Account
from tests.support.catalogs import at_once
from tests.support.valkey import Valkey, running_valkey

ANN = Account("ann", "k")


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[Valkey]:
    with running_valkey(tmp_path) as server:
        yield server


def counting(valkey: Valkey) -> RequestRateLimiter:
    """One that waits for the server as long as a busy machine may need."""
    return RequestRateLimiter(valkey.url, timeout_seconds=120.0)


def taken(rates: RequestRateLimiter, account: Account = ANN, of: str = "key", limit: int = 5) -> bool:
    return rates.count_request(account, of, limit)[0]


def test_processes_count_together_and_no_burst_gets_through(valkey: Valkey) -> None:
    processes = [counting(valkey) for _ in range(2)]
    ends = at_once(*[lambda number=number: taken(processes[number % 2]) for number in range(40)])
    assert ends.count(True) == 5
    assert not taken(processes[0])
    assert taken(processes[0], Account("ann", "another"))
    assert taken(processes[0], Account("bob", "k"))
    assert taken(processes[0], of="tenant")


def test_each_process_counts_alone_while_the_valkey_is_away_and_together_when_it_is_back(valkey: Valkey) -> None:
    one, two = counting(valkey), counting(valkey)
    valkey.kill()
    assert [taken(one, limit=1), taken(one, limit=1), taken(two, limit=1)] == [True, False, True]
    valkey.restart()
    assert [taken(one, limit=1), taken(two, limit=1)] == [True, False]


def test_what_is_left_and_when_it_is_renewed_is_told() -> None:
    rates = RequestRateLimiter()
    _, standing = rates.count_request(ANN, "tenant", 3)
    assert (standing.of, standing.limit, standing.remaining) == ("tenant", 3, 2)
    assert standing.renews_at is not None
    assert not RequestRateLimiter().count_request(ANN, "key", 0)[0]
