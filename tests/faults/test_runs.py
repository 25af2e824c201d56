"""Runs under kills and cancellations, small enough for every run of the suite; `run_kills` does it at size."""

from pathlib import Path

from tests.faults.run_kills import cancelled, killed


def test_a_killed_run_ends_with_the_same_answer_and_repeats_no_finished_sub_call(tmp_path: Path) -> None:
    found = killed(1, folder=tmp_path)
    assert found["kills"] == 1
    assert (found["finished_sub_calls_repeated"], found["same_answer"], found["usage_counted_once"]) == (0, True, True)
    assert found["calls_of_an_undisturbed_run"] > 100


def test_a_cancelled_run_closes_its_requests_and_sends_no_more(tmp_path: Path) -> None:
    assert cancelled(3, folder=tmp_path)["cancelled"] == 3
