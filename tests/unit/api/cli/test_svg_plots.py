"""Plots as SVG: well-formed, true to the figures, and of nothing that is elsewhere."""

import re
from xml.etree import ElementTree

import pytest

from api.cli.svg_plots import change_chart, interval_chart
from retrieval.evaluation.runs import Difference, Estimate

SUMMARIES = {
    "bm25": {"ndcg@10": Estimate(0.4, 0.3, 0.5), "mrr@10": Estimate(0.2, 0.2, 0.2)},
    "a <b> & c": {"ndcg@10": Estimate(0.6, 0.5, 0.7), "mrr@10": Estimate(0.2, 0.2, 0.2)},
}


def difference(changes: dict[str, float]) -> Difference:
    mean = sum(changes.values()) / len(changes)
    return Difference(0.5, 0.5 + mean, Estimate(mean, mean - 0.1, mean + 0.1), changes)


def circles(svg: str) -> list[tuple[float, float]]:
    found = ElementTree.fromstring(svg).findall("{*}circle")
    return [(float(circle.attrib["cx"]), float(circle.attrib["cy"])) for circle in found]


def test_a_point_of_each_search_and_measure_stands_where_its_mean_is() -> None:
    first, second, *_ = circles(interval_chart("abstracts", SUMMARIES))
    assert len(circles(interval_chart("abstracts", SUMMARIES))) == 4
    lines = ElementTree.fromstring(interval_chart("abstracts", SUMMARIES)).findall("{*}line[@class='interval']")
    for (across, _), line in zip((first, second), lines, strict=False):
        assert across == pytest.approx((float(line.attrib["x1"]) + float(line.attrib["x2"])) / 2, abs=0.1)
    assert second[0] > first[0]


def test_bars_are_in_the_order_of_change_and_as_long_as_it() -> None:
    svg = change_chart("A and B", "ndcg@10", difference({"q1": 0.5, "q2": -0.25, "q3": 0.0}), {"q1": "who & <why>"})
    bars = ElementTree.fromstring(svg).findall("{*}rect")
    assert [bar[0].text for bar in bars] == ["-0.2500  q2: ", "+0.0000  q3: ", "+0.5000  q1: who & <why>"]
    assert [float(bar.attrib["height"]) for bar in bars] == [80.0, 0.0, 160.0]
    assert "1 better, 1 worse, 1 the same" in svg


@pytest.mark.parametrize("svg", [interval_chart("x", SUMMARIES), change_chart("x", "m", difference({"q": 0.0}), {})])
def test_nothing_of_it_is_anywhere_else_and_nothing_runs(svg: str) -> None:
    assert re.findall(r"https?://[^\"' ]+", svg) == ["http://www.w3.org/2000/svg"]
    assert not re.search(r"<script|<image|url\(|@import|\bon\w+=|href", svg)
    assert ElementTree.fromstring(svg).attrib["role"] == "img"
