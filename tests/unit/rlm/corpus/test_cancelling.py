from collections.abc import Iterator

import pytest

from rlm.errors import RunCancelledError, iter_unless_cancelled, not_cancelled, require_not_cancelled


def test_wanted_work_goes_on() -> None:
    require_not_cancelled(not_cancelled)
    assert list(iter_unless_cancelled(range(3), not_cancelled)) == [0, 1, 2]


def test_work_ends_where_nobody_wants_it_any_more() -> None:
    made: list[int] = []

    def items() -> Iterator[int]:
        for number in range(10):
            made.append(number)
            yield number

    with pytest.raises(RunCancelledError):
        list(iter_unless_cancelled(items(), lambda: len(made) > 3, interval_seconds=0.0))
    assert made == [0, 1, 2, 3]


def test_what_may_be_slow_to_tell_is_not_asked_at_every_step() -> None:
    asked: list[bool] = []

    def cancelled() -> bool:
        asked.append(True)
        return False

    list(iter_unless_cancelled(range(1_000), cancelled, interval_seconds=3_600.0))
    assert asked == [True]
