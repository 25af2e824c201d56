"""`python -m tests.benchmark run`: a whole service, and an oracle behind a real server."""

import json
from typing import Any

import pytest

from tests.benchmark.__main__ import main

pytestmark = pytest.mark.slow


def run(capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, list[dict[str, Any]], dict[str, Any]]:
    code = main(["run", *options, "--oracle", "--wait", "searchable", "--max-calls", "1000", "--json"])
    *rows, sums = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    return code, rows, sums


@pytest.mark.parametrize("task", ["needles", "multihop", "aggregation", "pairs"])
def test_a_root_that_makes_no_mistake_is_exact(capsys: pytest.CaptureFixture[str], task: str) -> None:
    code, rows, sums = run(capsys, task, "--size", "16k", "--count", "4", "--strategy", "recursive")
    assert (code, sums["exact"]) == (0, 4), rows
    assert sums["coverage"] > 0.9
    if task in ("needles", "multihop"):
        assert sums["evidence_cited"] == sums["citation_precision"] == 1.0
        assert sums["score_unanswerable"] == 1.0


def test_direct_answers_tell_how_much_of_the_evidence_a_search_brings(capsys: pytest.CaptureFixture[str]) -> None:
    _, rows, sums = run(capsys, "needles", "--size", "16k", "--count", "5", "--strategy", "direct")
    assert sums["errors"] == 0, rows
    found = [row for row in rows if row["gold"] and row["score"] == 1.0]
    assert found
    assert all(row["evidence_cited"] == 1.0 for row in found)


def test_what_cannot_be_done_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "haystack"]) == 2
    assert "no task 'haystack'" in capsys.readouterr().err
