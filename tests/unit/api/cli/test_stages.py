"""The lines that stand for progress bars where there is no terminal."""

import io

import pytest

from api.cli.console import Console
from api.cli.ingest import show_batch_progress
from api.cli.stages import LINE_EVERY_SECONDS, StageLines, show_stages


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def printed() -> list[str]:
    return []


@pytest.fixture
def lines(clock: Clock, printed: list[str]) -> StageLines:
    return StageLines(printed.append, clock=clock)


def let_pass(lines: StageLines, clock: Clock, seconds: int) -> None:
    for _ in range(2 * seconds):
        clock.now += 0.5
        lines.print_if_due()


def batch(seconds_left: float | None = None, *, chunks: int = 0, embedded: int = 0, **states: int) -> dict[str, object]:
    """A batch as the API describes it, with so many documents in each state."""
    progress: dict[str, object] = {
        "chunks": chunks,
        "chunks_embedded": embedded,
        "seconds_left": seconds_left,
        "paused": [],
    }
    return {"progress": progress, "counts": {"documents": states}}


def test_a_line_is_printed_every_ten_seconds_even_if_nothing_changes(
    lines: StageLines, clock: Clock, printed: list[str]
) -> None:
    show_batch_progress(batch(accepted=2, parsing=1, ready=2), lines.record_stage)
    let_pass(lines, clock, 9)
    assert printed == []
    let_pass(lines, clock, 26)
    assert printed == [f"after {seconds} s: searchable: 2 of 5 documents done, 3 waiting" for seconds in (10, 20, 30)]


def test_many_reports_make_no_more_lines(lines: StageLines, clock: Clock, printed: list[str]) -> None:
    for done in range(1_000):
        lines.record_stage("uploading", done, 1_000, "")
        let_pass(lines, clock, 1)
    assert len(printed) == 1_000 / LINE_EVERY_SECONDS
    assert printed[0] == "after 10 s: uploading: 9 of 1,000 files done, 991 waiting"


def test_the_line_is_about_the_first_stage_that_is_not_complete(
    lines: StageLines, clock: Clock, printed: list[str]
) -> None:
    let_pass(lines, clock, 10)
    lines.record_stage("uploading", 2, 2, "")
    show_batch_progress(batch(parsing=1, embedding=1, chunks=40), lines.record_stage)
    let_pass(lines, clock, 10)
    show_batch_progress(batch(100.0, embedding=2, chunks=900, embedded=300), lines.record_stage)
    let_pass(lines, clock, 10)
    show_batch_progress(batch(ready=2, chunks=900, embedded=900), lines.record_stage)
    let_pass(lines, clock, 10)
    assert printed == [
        "after 10 s: uploading",
        "after 20 s: searchable: 1 of 2 documents done, 1 waiting",
        "after 30 s: ready: 300 of 900 chunks done, 600 waiting; about 2 min remaining",
        "after 40 s: ready: 900 of 900 chunks done, 0 waiting",
    ]


def test_without_a_terminal_a_short_ingest_prints_no_line() -> None:
    output = io.StringIO()
    with show_stages(Console(file=output, force_terminal=False)) as watch:
        watch("uploading", 1, 1, "")
    assert output.getvalue() == ""


def test_on_a_terminal_each_stage_has_a_bar() -> None:
    output = io.StringIO()
    with show_stages(Console(file=output, force_terminal=True, width=100)) as watch:
        watch("uploading", 1, 1, "")
        watch("searchable", 0, 1, "about 2 min left")
    assert "uploading" in output.getvalue()
    assert "about 2 min left" in output.getvalue()
