from importlib.metadata import version

import pytest
from typer.testing import CliRunner

from api.cli.main import COMMANDS, app


@pytest.mark.parametrize("name", COMMANDS)
def test_a_listing_says_of_a_command_what_it_says_of_itself(name: str) -> None:
    command = COMMANDS[name].load(name)
    assert command.name == name
    assert command.help
    assert " ".join(command.help.partition("\n\n")[0].split()) == COMMANDS[name].help


def test_the_release_is_told() -> None:
    done = CliRunner().invoke(app, ["--version"])
    assert (done.exit_code, done.stdout) == (0, f"leadline {version('leadline')}\n")


def test_paragraphs_of_help_have_no_line_breaks_of_the_source() -> None:
    for name in ("ask", "index"):
        command = COMMANDS[name].load(name)
        for each in (command, *getattr(command, "commands", {}).values()):
            assert all("\n" not in paragraph for paragraph in each.help.split("\n\n"))


def test_commands_are_listed_in_panels() -> None:
    listed = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "120"}).stdout
    panels = dict.fromkeys(target.panel for target in COMMANDS.values())
    assert [line.strip("╭─╮ ") for line in listed.splitlines() if line.startswith("╭")] == ["Options", *panels]
