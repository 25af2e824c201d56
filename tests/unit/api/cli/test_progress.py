"""What a fetch prints on a terminal and in a log."""

from io import StringIO

from api.cli.console import Console
from api.cli.progress import show_download_progress
from tests.support.model_files import model_file_of

FILE = model_file_of(bytes(1000))


def test_a_log_gets_a_line_for_every_tenth() -> None:
    output = StringIO()
    with show_download_progress(Console(file=output, width=200)) as progress:
        for done_bytes in range(0, 1001, 50):
            progress.report_progress(FILE, done_bytes, 1000, "hub")

    lines = output.getvalue().splitlines()
    assert len(lines) == 11
    assert lines[0] == "small.bin from hub: 0 % of 1.0 kB"
    assert lines[-1] == "small.bin from hub: 100 % of 1.0 kB"


def test_a_notice_keeps_its_brackets_and_its_line() -> None:
    output = StringIO()
    text = "small.bin: hub: [Errno -2] Name or service not known, and so on to the end of a rather long line."
    with show_download_progress(Console(file=output, width=40)) as progress:
        progress.report_notice(text)

    assert output.getvalue() == f"{text}\n"


def test_a_terminal_shows_the_file_its_source_and_its_size() -> None:
    output = StringIO()
    with show_download_progress(Console(file=output, force_terminal=True, width=120)) as progress:
        progress.report_progress(FILE, 100, 1000, "hub")
        progress.report_progress(FILE, 0, 1000, "packages")
        progress.report_progress(FILE, 1000, 1000, "packages")
        progress.report_notice("hub: [gone]")

    shown = output.getvalue()
    assert "small.bin (packages)" in shown
    assert "1.0/1.0 kB" in shown
    assert "hub: [gone]" in shown
