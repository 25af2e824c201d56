from collections import Counter

from tests.benchmark.tasks.draws import Draws


def test_equal_seeds_give_equal_draws_and_other_names_others() -> None:
    one, same, other = (Draws("a", 1), Draws("a", 1), Draws("b", 1))
    first = [one.below(1000) for _ in range(20)]
    assert first == [same.below(1000) for _ in range(20)]
    assert first != [other.below(1000) for _ in range(20)]


def test_draws_are_those_that_were_always_drawn() -> None:
    draws = Draws("benchmark", 7)
    assert [draws.below(100) for _ in range(6)] == [23, 71, 41, 16, 31, 75]
    assert draws.sample(range(10), 4) == [2, 7, 4, 0]


def test_draws_cover_their_range_evenly() -> None:
    draws = Draws(0)
    counts = Counter(draws.between(1, 6) for _ in range(6000))
    assert sorted(counts) == [1, 2, 3, 4, 5, 6]
    assert min(counts.values()) > 850


def test_a_sample_holds_each_choice_once_and_leaves_the_choices_alone() -> None:
    choices = list(range(50))
    sample = Draws(1).sample(choices, 50)
    assert sorted(sample) == choices == list(range(50))
    assert sample != choices
    assert len(Draws(1).sample(choices[:3], 10)) == 3
