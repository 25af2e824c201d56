"""The figures of a load: what counts as a fault, and what is timed."""

from tests.benchmark.load import Outcomes


def test_only_successes_and_refusals_that_say_when_to_come_back_are_no_faults() -> None:
    outcomes = Outcomes()
    outcomes.add("search", 200, 10.0, says_when=False)
    outcomes.add("search", 200, 30.0, says_when=False)
    outcomes.add("answer", 429, 1.0, says_when=True)
    outcomes.add("search", 503, 1.0, says_when=True)
    assert outcomes.faults == 0
    for status, says_when in ((429, False), (503, False), (500, True), (507, True)):
        outcomes.add("search", status, 1.0, says_when=says_when)
    outcomes.statuses["ReadTimeout"] += 1
    assert outcomes.faults == 5
    figures = outcomes.figures()
    assert (figures["requests"], figures["search_p50_ms"]) == (9, 20.0)
    assert "answer_p50_ms" not in figures
    assert "429 without Retry-After: 1" in figures["statuses"]
