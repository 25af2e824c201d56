"""Output of commands: whole in a pipe, and without characters that control the terminal."""

import ast
import io
from pathlib import Path

import pytest
from rich.table import Table
from rich.text import Text

import api.cli
from api.cli.console import Console
from api.cli.listing import Listing

NAME = "notes\x1b[2J\x1b]0;owned\x07\x9b31m \u202etxt.exe"
SAFE_NAME = "notes[2J]0;owned31m txt.exe"


def build_console(*, is_terminal: bool = False) -> tuple[Console, io.StringIO]:
    file = io.StringIO()
    width = {"width": 100, "color_system": None} if is_terminal else {}
    return Console(file=file, force_terminal=is_terminal, **width), file


def test_a_table_is_not_cut_in_a_pipe() -> None:
    console, file = build_console()
    measures = [f"a measure with the number {number:02}" for number in range(12)]
    table = Table("search", *measures)
    table.add_row("hybrid", *measures)
    console.print(table)
    assert all(file.getvalue().count(measure) == 2 for measure in measures)
    assert "…" not in file.getvalue()


@pytest.mark.parametrize("is_terminal", [False, True])
def test_a_name_cannot_control_the_terminal(is_terminal: bool, capsys: pytest.CaptureFixture[str]) -> None:
    console, file = build_console(is_terminal=is_terminal)
    table = Table("document")
    table.add_row(NAME)
    for each in (table, f"Uploaded {NAME}", Text(NAME)):
        console.print(each, markup=False, highlight=False)
    listing = Listing(("id", "name"), texts=("name",))
    listing.add("1", NAME)
    listing.print(console)
    printed = file.getvalue() + capsys.readouterr().out
    assert printed.count(SAFE_NAME) == 4
    assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(printed)


def test_a_name_with_line_breaks_stays_in_its_row(capsys: pytest.CaptureFixture[str]) -> None:
    listing = Listing(("id", "name"))
    listing.add("1", "first\n2  second")
    listing.print(build_console()[0])
    assert capsys.readouterr().out.splitlines()[1:] == ["1   first 2  second"]


@pytest.mark.parametrize("path", sorted(Path(api.cli.__file__).parent.glob("*.py")), ids=lambda path: path.name)
def test_no_command_creates_another_console(path: Path) -> None:
    tree = ast.parse(path.read_text())
    imported = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "rich.console"
        for alias in node.names
    }
    created = {
        node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert not imported & created & {"Console"}
