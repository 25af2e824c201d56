"""A short form of `python -m tests.faults.hostile_trees`."""

from tests.faults.hostile_trees import play_trees


def test_no_tree_of_hostile_runs_gets_more_than_it_was_given() -> None:
    outcome = play_trees(25, seed=7)
    assert outcome.over.total() == 0, outcome.worst
    assert outcome.unsettled == 0
    assert outcome.requests > 200
    assert outcome.refused > 1_000
