import threading
from collections.abc import Sequence

import pytest

from ingest.storage.answers.run_records import RunLogEntry
from ingest.storage.errors import LeaseLostError
from rlm.runs.attempt import LogWriter
from tests.fakes.memory_log import MemoryLog


def entry(number: int) -> RunLogEntry:
    return RunLogEntry(str(number), "call", {})


def test_what_was_handed_over_is_committed_in_order_when_it_is_waited_for() -> None:
    log = MemoryLog()
    writer = LogWriter(log.append_entries)
    for number in range(50):
        writer.add_entries(entry(number))
    writer.flush()
    assert [each.key for each in log.entries] == [str(number) for number in range(50)]
    writer.close()


def test_what_gathers_during_a_commit_goes_into_the_next_together() -> None:
    log, begun, go_on = MemoryLog(), threading.Event(), threading.Event()

    def append(entries: Sequence[RunLogEntry]) -> None:
        begun.set()
        go_on.wait()
        log.append_entries(entries)

    writer = LogWriter(append)
    writer.add_entries(entry(0))
    begun.wait()
    for number in range(1, 100):
        writer.add_entries(entry(number))
    go_on.set()
    writer.flush()
    assert [len(commit) for commit in log.commits] == [1, 99]
    writer.close()


def test_a_commit_that_fails_is_raised_to_whoever_waits_and_nothing_is_written_after_it() -> None:
    log = MemoryLog()
    log.failure = LeaseLostError("lost")
    writer = LogWriter(log.append_entries)
    writer.add_entries(entry(0))
    with pytest.raises(LeaseLostError):
        writer.flush()
    log.failure = None
    with pytest.raises(LeaseLostError):
        writer.add_entries(entry(1))
    writer.close()
    assert log.entries == []


def test_closing_writes_what_still_waits() -> None:
    log = MemoryLog()
    writer = LogWriter(log.append_entries)
    writer.add_entries(entry(0), entry(1))
    writer.close()
    assert [each.key for each in log.entries] == ["0", "1"]
