"""The estimate of how long a generation takes to catch up, with a clock of the test."""

import pytest

from ingest.storage.generations.records import BuildProgress
from workers.generations.pace import CatchUpPace


class Build:
    """A generation that is built at the pace that a test says, observed twice a second."""

    def __init__(self, missing: int, *, limit_seconds: float = 60.0) -> None:
        self.now, self.chunks, self.done = 0.0, 1_000 + missing, 1_000
        self.pace = CatchUpPace(limit_seconds, clock=lambda: self.now)
        self.observe()

    def observe(self, *, uncommitted: int = 0) -> None:
        self.pace.record(BuildProgress(self.chunks, self.done, self.chunks, self.done, 0), uncommitted)

    def run(self, seconds: float, *, per_second: int, arriving: int = 0) -> bool:
        """Go on for so long, and return whether the pace was ever too slow."""
        was_too_slow = False
        for half in range(round(2 * seconds)):
            self.now += 0.5
            if half % 2:
                self.done, self.chunks = min(self.chunks, self.done + per_second), self.chunks + arriving
            self.observe()
            was_too_slow |= self.pace.is_too_slow
        return was_too_slow


def test_what_is_missing_is_estimated_at_the_pace_of_the_last_seconds() -> None:
    build = Build(3_000)
    assert not build.run(3, per_second=100)
    assert build.pace.remaining_seconds is None
    assert not build.run(10, per_second=100)
    assert build.pace.remaining_seconds == pytest.approx(17, abs=2)
    build.run(8, per_second=10)
    assert build.pace.remaining_seconds == pytest.approx(162, abs=20)
    assert build.pace.is_too_slow
    assert "they take 3 minutes; a switch may take 60 seconds" in build.pace.describe()


def test_time_in_which_nothing_is_added_yet_is_no_part_of_the_pace() -> None:
    build = Build(1_000)
    assert not build.run(30, per_second=0)
    assert not build.run(6, per_second=100)
    assert build.pace.remaining_seconds == pytest.approx(4, abs=1)


def test_chunks_of_a_long_document_count_before_they_are_committed() -> None:
    build = Build(1_000)
    for number in range(1, 13):
        build.now += 0.5
        build.observe(uncommitted=50 * number)
    assert build.pace.remaining_seconds == pytest.approx(4, abs=0.5)


def test_a_small_share_that_takes_long_is_too_slow_and_a_large_one_that_does_not_is_fine() -> None:
    small, large = Build(30), Build(100_000)
    assert small.run(8, per_second=0) is False
    small.chunks += 9_000
    assert small.run(8, per_second=10) is True
    assert large.run(8, per_second=5_000) is False


def test_an_index_that_grows_more_slowly_than_it_catches_up_is_fine() -> None:
    build = Build(2_000)
    assert build.run(40, per_second=100, arriving=50) is False
    assert build.pace.remaining_seconds == pytest.approx(0, abs=1)


def test_an_index_that_grows_as_fast_as_it_catches_up_is_given_up_after_the_limit() -> None:
    build = Build(500)
    assert build.run(59, per_second=100, arriving=100) is False
    assert build.run(5, per_second=100, arriving=100) is True
    assert "As many arrived within 60 seconds" in build.pace.describe()


def test_a_build_that_stands_still_is_given_up_after_the_limit() -> None:
    build = Build(500, limit_seconds=7_200)
    assert build.run(7_199, per_second=0) is False
    assert build.run(2, per_second=0) is True
    assert "None could be added within 2 hours" in build.pace.describe()
