from api.cli.plots import change_histogram, interval_plot
from retrieval.evaluation.runs import Estimate


def test_intervals_share_one_scale() -> None:
    low, high = interval_plot({"bm25": Estimate(0.5, 0.4, 0.6), "hybrid": Estimate(0.7, 0.6, 0.8)}).splitlines()

    assert low.startswith("  bm25 0.400 ├")
    assert high.startswith("hybrid 0.600 ")
    assert high.endswith("┤ 0.800")
    assert high.index("├") in range(low.index("┤") - 1, low.index("┤") + 2)


def test_an_interval_without_width_is_drawn() -> None:
    assert "●" in interval_plot({"bm25": Estimate(0.5, 0.5, 0.5)})


def test_changes_are_counted_by_tenths_and_no_change_is_left_out() -> None:
    lines = change_histogram([0.0, 0.05, 0.05, -1.0, 1.0]).splitlines()

    assert (len(lines), lines[0][:15], lines[0][-2:]) == (20, "-1.0 to -0.9  █", " 1")
    assert [line for line in lines if line.endswith(" 2")] == [f"+0.0 to +0.1  {'█' * 40} 2"]
    assert lines[-1].startswith("+0.9 to +1.0")


def test_no_change_is_said() -> None:
    assert change_histogram([0.0, 0.0]) == "No query changed."
