"""The console script in processes with and without the service's packages."""

import subprocess
import sys
from importlib.metadata import version


def run(*words: str, missing: str = "") -> "subprocess.CompletedProcess[str]":
    """Run the command line where a module cannot be imported."""
    hidden = f"sys.modules[{missing!r}] = None\n" if missing else ""
    code = f"import sys\n{hidden}from api.cli.start import main\nmain()"
    return subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)


def test_without_the_service_the_command_says_in_one_sentence_what_to_install() -> None:
    done = run("up", missing="typer")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "The `leadline` command requires the package `typer`, which is not installed. "
        "Run `pip install './leadline[service]'`.\n"
    )


def test_with_the_service_the_command_runs() -> None:
    done = run("--version")
    assert (done.returncode, done.stdout) == (0, f"leadline {version('leadline')}\n")
