"""Tables of the command line: ids are never cut."""

import io
import uuid

import pytest

from api.cli.console import Console
from api.cli.listing import Listing

IDS = [str(uuid.uuid4()) for _ in range(3)]


def build_listing() -> Listing:
    table = Listing(
        ("run", "state", "question", "calls", "seconds"), texts=("question",), optional=("calls", "seconds")
    )
    for each in IDS:
        table.add(
            each, "succeeded", "How many orders from Spain were late in the second quarter? [bold]", "1,000", "12.5"
        )
    return table


@pytest.mark.parametrize("width", [20, 40, 60, 80, 120, 200])
def test_ids_are_whole_on_a_terminal_of_any_width(width: int, capsys: pytest.CaptureFixture[str]) -> None:
    file = io.StringIO()
    build_listing().print(Console(file=file, force_terminal=True, width=width, color_system=None))
    assert all(each in file.getvalue() for each in IDS)
    left_out = {name for name in ("calls", "seconds") if name not in file.getvalue()}
    said = capsys.readouterr().err
    assert all(name in said for name in left_out)
    assert bool(said) == bool(left_out)
    if width >= 80:
        assert max(map(len, file.getvalue().splitlines())) <= width


def test_the_most_useful_columns_are_kept_the_longest() -> None:
    file = io.StringIO()
    build_listing().print(Console(file=file, force_terminal=True, width=78, color_system=None))
    assert "calls" in file.getvalue()
    assert "seconds" not in file.getvalue()


def test_a_file_or_pipe_gets_one_line_per_row_with_every_column(capsys: pytest.CaptureFixture[str]) -> None:
    build_listing().print(Console(file=io.StringIO(), width=80))
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split() == ["RUN", "STATE", "QUESTION", "CALLS", "SECONDS"]
    assert [line.split()[0] for line in lines] == IDS
    assert all(line.endswith("quarter? [bold]  1,000  12.5") for line in lines)
