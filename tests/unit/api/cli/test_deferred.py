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
