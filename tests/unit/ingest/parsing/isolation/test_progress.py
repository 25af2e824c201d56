"""How far a parser is, told through a file that nobody trusts."""

import os
from pathlib import Path

import pytest

from ingest.parsing.isolation.progress import (
    PROGRESS_FILE,
    ProgressFile,
    read_progress,
    report_progress,
    set_progress_file,
)


def test_what_is_told_is_read_and_only_a_few_times_in_a_second(tmp_path: Path) -> None:
    set_progress_file(ProgressFile(tmp_path))
    try:
        report_progress(3, 10)
        report_progress(4, 10)
    finally:
        set_progress_file(None)
    assert read_progress(tmp_path) == (3, 10)
    report_progress(9)
    assert read_progress(tmp_path) == (3, 10)


@pytest.mark.parametrize("content", [b"", b"many", b"-1 5", b"1 -5", b"9" * 50, b"1 2 3", bytes(100)])
def test_what_is_no_figure_is_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / PROGRESS_FILE).write_bytes(content)
    assert read_progress(tmp_path) is None


def test_a_link_and_a_pipe_are_not_followed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("1 2")
    (tmp_path / PROGRESS_FILE).symlink_to(elsewhere)
    assert read_progress(tmp_path) is None
    (tmp_path / PROGRESS_FILE).unlink()
    os.mkfifo(tmp_path / PROGRESS_FILE)
    assert read_progress(tmp_path) is None
