"""The usual duration of answers."""

from api.answers.usual_times import UsualTimes, compute_medians


def test_the_median_is_that_of_the_latest_model_and_needs_three_answers() -> None:
    times = [("direct", "new", 30.0), ("direct", "old", 1.0), ("direct", "new", 10.0), ("direct", "new", 20.0)]
    assert compute_medians([*times, ("table", "new", 5.0), ("table", "new", 6.0)]) == {"direct": 20.0}


def test_medians_are_loaded_once_a_minute_as_soon_as_there_are_some() -> None:
    now = 0.0
    found: list[tuple[str, str | None, float]] = []
    times = UsualTimes(lambda: found, clock=lambda: now)
    assert times.compute_medians() == {}
    found = [("direct", None, 4.0)] * 3
    assert times.compute_medians() == {"direct": 4.0}
    found = [("direct", None, 8.0)] * 3
    assert times.compute_medians() == {"direct": 4.0}
    now = 60.0
    assert times.compute_medians() == {"direct": 8.0}
