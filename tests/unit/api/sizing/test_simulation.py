"""The simulation against queues whose waits have a formula."""

import pytest

from api.sizing.simulation import Simulation, Station, compute_wait_probability


@pytest.mark.parametrize(("places", "load"), [(1, 0.5), (1, 0.8), (3, 2.4), (16, 12.8)])
def test_waits_are_those_of_the_formula_for_m_m_c(places: int, load: float) -> None:
    seconds = 2.0
    rate = load / seconds
    report = Simulation(
        [Station("only", places, seconds)], questions_per_second=rate, duration_seconds=200_000 / rate, seed=1
    ).run()
    (station,) = report.stations
    expected = compute_wait_probability(places, load) * seconds / (places - load)
    assert station.wait_seconds == pytest.approx(expected, rel=0.08)
    assert station.busy == pytest.approx(load / places, rel=0.03)
    assert station.waiting == pytest.approx(rate * expected, rel=0.1)
    assert station.load == pytest.approx(load / places)


def test_erlang_c_of_one_place_is_its_load_and_of_several_as_in_tables() -> None:
    assert compute_wait_probability(1, 0.7) == pytest.approx(0.7)
    assert compute_wait_probability(2, 1.0) == pytest.approx(1 / 3)


def test_work_of_fixed_length_waits_half_as_long() -> None:
    """Pollaczek and Khinchine: without variance of work, the wait in M/D/1 is half of that in M/M/1."""
    report = Simulation(
        [Station("only", 1, 1.0, fixed=True)], questions_per_second=0.8, duration_seconds=200_000, seed=2
    ).run()
    assert report.stations[0].wait_seconds == pytest.approx(0.8 / (2 * (1 - 0.8)), rel=0.08)


def test_the_station_nearest_to_its_limit_is_the_bottleneck() -> None:
    stations = [Station("quick", 4, 0.1), Station("slow", 2, 1.0, visits=2), Station("wide", 50, 5.0)]
    report = Simulation(stations, questions_per_second=0.8, duration_seconds=20_000).run()
    assert report.bottleneck == "slow"
    assert [station.load for station in report.stations] == pytest.approx([0.02, 0.8, 0.08])
    assert report.seconds[0.5] > 7


def test_a_full_queue_refuses_and_no_question_is_lost_or_counted_twice() -> None:
    report = Simulation([Station("only", 1, 1.0, queue=2)], questions_per_second=5.0, duration_seconds=2_000).run()
    assert report.refused == report.stations[0].refused > 0
    assert abs(report.arrived - report.answered - report.refused) <= 3
    # Of M/M/1/3 at a load of 5: (1 - rho) rho^3 / (1 - rho^4) are refused.
    assert report.refused / report.arrived == pytest.approx(500 / 624, rel=0.03)


def test_failures_take_places_away_and_their_work_begins_again() -> None:
    well = Simulation([Station("only", 4, 1.0)], questions_per_second=2.5, duration_seconds=50_000).run()
    often = Station("only", 4, 1.0, failing_seconds=200, repair_seconds=50)
    failing = Simulation([often], questions_per_second=2.5, duration_seconds=50_000).run()
    assert failing.stations[0].wait_seconds > 2 * well.stations[0].wait_seconds
    assert failing.answered == pytest.approx(failing.arrived, rel=0.01)


def test_a_batch_that_slows_down_takes_longer_for_each_but_does_more() -> None:
    one = Station("model", 1, 1.0)
    batch = Station("model", 8, 1.0, slowdown=lambda busy: 1 + 0.1 * (busy - 1))
    assert batch.max_rate == pytest.approx(8 / 1.7)
    alone, shared = (
        Simulation([each], questions_per_second=0.9, duration_seconds=20_000).run().seconds[0.95]
        for each in (one, batch)
    )
    assert shared < alone / 3


def test_the_same_seed_is_the_same_run() -> None:
    runs = [
        Simulation([Station("only", 2, 1.0)], questions_per_second=1.5, duration_seconds=1000, seed=7).run()
        for _ in range(2)
    ]
    assert runs[0] == runs[1]
