"""The plan, the comparison and the report of the trial of a whole cluster; the trial itself takes minutes."""

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import pytest

from tests.faults.whole_cluster.__main__ import Reference, plan_faults, share_out
from tests.faults.whole_cluster.load import Found, Sent, count_statuses, describe_difference, read_hits
from tests.faults.whole_cluster.parts import Failing, Lines
from tests.faults.whole_cluster.report import Window, build_row, list_wrong_results
from tests.faults.whole_cluster.texts import build_queries, build_text, build_word

_HITS: Found = (("a", 0, 10, 0.5), ("b", 3, 9, 0.25))


def _part(name: str, calls: list[str] | None = None, *, has_lines: bool = True, hangs: bool = False) -> Failing:
    done = [] if calls is None else calls

    def stop() -> None:
        done.append("stop")
        if hangs:
            raise subprocess.TimeoutExpired(name, 60)

    @contextmanager
    def note(begin: str, end: str) -> Iterator[None]:
        done.append(begin)
        yield
        done.append(end)

    return Failing(
        name,
        kill=lambda: done.append("kill"),
        stop=stop,
        start=lambda: done.append("start"),
        pause=lambda: note("pause", "resume"),
        cut=(lambda: note("cut", "mend")) if has_lines else None,
    )


def _list_names(faults: Sequence[tuple[Failing, str]]) -> list[str]:
    return [f"{part.name} {kind}" for part, kind in faults]


def test_every_part_fails_in_every_way_that_it_can() -> None:
    faults = plan_faults([_part("a"), _part("b", has_lines=False)], ["kill", "stop", "cut"], quick=False)
    assert _list_names(faults) == ["a kill", "a stop", "a cut", "b kill", "b stop"]


def test_a_quick_trial_has_one_fault_of_each_part_and_goes_through_the_kinds() -> None:
    parts = [_part("a"), _part("b"), _part("c", has_lines=False), _part("d"), _part("e")]
    kinds = ["kill", "restart", "stop", "cut"]
    assert _list_names(plan_faults(parts, kinds, quick=True)) == ["a kill", "b restart", "c stop", "d cut", "e kill"]
    assert _list_names(plan_faults(parts[2:4], ["cut"], quick=True)) == ["d cut"]


@pytest.mark.parametrize(("documents", "windows"), [(10, 3), (2, 5), (7, 7), (5_000, 57)])
def test_documents_are_shared_out_evenly_and_each_once(documents: int, windows: int) -> None:
    shares = list(share_out(documents, windows))
    assert [number for share in shares for number in share] == list(range(documents))
    assert len(shares) == windows
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_a_part_that_does_not_end_in_time_is_killed_and_started() -> None:
    calls: list[str] = []
    with pytest.raises(subprocess.TimeoutExpired):
        _part("a", calls, hangs=True).fail("restart", 0)
    assert calls == ["stop", "kill", "start"]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("kill", ["kill", "start"]),
        ("restart", ["stop", "start"]),
        ("stop", ["pause", "resume"]),
        ("cut", ["cut", "mend"]),
    ],
)
def test_a_failing_part_works_again_afterwards(kind: str, expected: list[str]) -> None:
    calls: list[str] = []
    _part("a", calls).fail(kind, 0)
    assert calls == expected


def test_a_part_without_lines_can_be_stopped_but_not_cut_off() -> None:
    calls: list[str] = []
    part = _part("a", calls, has_lines=False)
    part.fail("stop", 0)
    assert calls == ["pause", "resume"]
    with pytest.raises(ValueError, match="no line leads to a"):
        part.fail("cut", 0)
    with ExitStack() as stack, pytest.raises(ValueError, match="no line leads to beat"), Lines(stack).cut("beat"):
        pass


def test_no_more_searches_are_sent_than_a_third_of_what_the_machine_can_answer() -> None:
    assert Reference("key", {}, 6.0).bearable_rate == pytest.approx(2.0)
    assert Reference("key", {}, 600.0).bearable_rate == pytest.approx(20.0)


def test_hits_are_compared_with_rounded_scores() -> None:
    hit = {"document": "a", "start": 0, "end": 10, "title": "A"}
    found = read_hits({"hits": [hit | {"score": 0.123449}]})
    assert found == read_hits({"hits": [hit | {"score": 0.12341}]})
    assert found != read_hits({"hits": [hit | {"score": 0.1236}]})


def test_the_difference_between_two_results_names_hits_or_scores() -> None:
    assert describe_difference("q", _HITS, _HITS) == ""
    assert describe_difference("q", _HITS, _HITS[:1]) == (
        "'q': 1 hits instead of 2; missing [('b', 3, 9, 0.25)], not expected []"
    )
    moved = (_HITS[0], ("b", 3, 9, 0.2))
    assert describe_difference("q", _HITS, moved) == "'q': the scores [0.5, 0.2] should be [0.5, 0.25]"
    assert "2 hits instead of 2" in describe_difference("q", _HITS, _HITS[::-1])


def test_a_row_counts_requests_to_the_window_in_which_they_ended() -> None:
    sent = [
        Sent("search", at=8.0, seconds=1.0, status="200"),  # ended before
        Sent("search", at=9.0, seconds=2.0, status="ReadError"),  # under way when the fault began
        Sent("search", at=12.0, seconds=0.5, status="200", differs="'q': …"),
        Sent("search", at=16.0, seconds=1.0, status="503"),  # sent when the cluster was whole
        Sent("question", at=11.0, seconds=3.0, status="503"),
        Sent("question", at=11.0, seconds=3.0, status="503"),
        Sent("upload", at=11.0, seconds=3.0, status="202"),
        Sent("search", at=19.0, seconds=2.0, status="503"),  # ended afterwards
    ]
    row = build_row(Window("api", "kill", begun=10.0, whole=15.0, ended=20.0, ready=5), sent)
    assert row == {
        "part": "api",
        "fault": "kill",
        "seconds": 10.0,
        "whole_after_seconds": 5.0,
        "searches": 3,
        "searches_failed": "2 (503: 1, ReadError: 1)",
        "failed_when_whole": 1,
        "differ": 1,
        "slowest_search_s": 2.0,
        "questions": 2,
        "questions_failed": "2 (503: 2)",
        "uploads_failed": "0",
        "ready_per_second": 0.5,
    }
    assert list_wrong_results(sent) == ["search: 'q': …"]


def test_a_window_without_requests_has_a_row() -> None:
    row = build_row(Window("api", "kill", begun=10.0, whole=15.0, ended=20.0, ready=0), [])
    assert (row["searches"], row["searches_failed"], row["slowest_search_s"]) == (0, "0", 0.0)


def test_statuses_are_counted() -> None:
    assert count_statuses([Sent("search", 0, 1, status) for status in ("503", "429", "503")]) == "429: 1, 503: 2"


def test_each_document_has_a_word_of_its_own_and_the_same_text_again() -> None:
    assert build_text(3) == build_text(3)
    assert build_word(3) in build_text(3)
    assert build_word(3) not in build_text(4)
    assert build_queries(5) == build_queries(5)
