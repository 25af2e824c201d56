"""Locks by key: one holder for each key, and nothing that remains."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from ingest.storage.keyed_locks import KeyedLocks


def test_a_key_has_one_holder_at_a_time_and_other_keys_do_not_wait() -> None:
    locks, inside, most = KeyedLocks(), 0, 0
    both = threading.Barrier(2)

    def hold(_: int) -> None:
        nonlocal inside, most
        with locks.hold("a"):
            inside += 1
            most = max(most, inside)
            os.sched_yield()
            inside -= 1

    def meet(key: str) -> None:
        with locks.hold(key):
            both.wait(60)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(hold, range(400)))
        list(pool.map(meet, ["b", "c"]))
    assert most == 1
    assert len(locks) == 0


def test_an_error_inside_releases_the_key() -> None:
    locks = KeyedLocks()
    with pytest.raises(KeyError), locks.hold("a"):
        raise KeyError
    assert len(locks) == 0
    with locks.hold("a"):
        assert len(locks) == 1
