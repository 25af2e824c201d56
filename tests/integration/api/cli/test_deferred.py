"""What commands import, each in a process of its own."""

import subprocess
import sys

import pytest

HEAVY = ("api.build.embedded", "fastapi", "jsonschema", "langchain_core", "openvino", "sqlalchemy")


def loaded_by(*words: str, among: tuple[str, ...] = HEAVY) -> list[str]:
    """Which of the heavy packages a command imports."""
    ending = "\nfinally:\n print(*(m for m in sys.modules), file=sys.stderr)"
    code = f"import sys\nfrom api.cli.main import app\ntry:\n app({list(words)})" + ending
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "Usage:" in done.stdout
    return [name for name in among if name in done.stderr.split()]


@pytest.mark.parametrize("words", [["--help"], ["ask", "--help"], ["ingest", "--help"], ["batch", "list", "--help"]])
def test_help_and_what_a_running_service_answers_need_no_service_of_their_own(words: list[str]) -> None:
    assert loaded_by(*words) == []


def test_a_command_that_looks_at_the_index_imports_neither_the_service_nor_its_workers_nor_a_chat_client() -> None:
    unneeded = ("fastapi", "api.admission.services", "workers.cluster", "workers.job_runner", "langchain_core")
    for words in (["index", "show", "--help"], ["index", "switch", "--help"], ["doctor", "--help"]):
        assert loaded_by(*words, among=unneeded) == []


def test_a_command_that_needs_the_service_imports_it_when_it_is_called() -> None:
    assert "api.build.embedded" in loaded_by("up", "--help")


def test_the_service_starts_without_what_checks_replies_against_schemas() -> None:
    loaded = loaded_by("up", "--help")
    assert ("fastapi" in loaded, "jsonschema" in loaded) == (True, False)


def test_every_command_can_be_called_where_only_the_embedded_service_is_installed() -> None:
    """`make run` installs the extras `embedded` and `ocr` alone."""
    extras = ("celery", "kombu", "psycopg", "qdrant_client", "redis", "obstore", "slack_bolt", "jwt", "torch")
    code = f"""
import sys
sys.modules.update(dict.fromkeys({extras}))
from api.cli.main import COMMANDS
for name, target in COMMANDS.items():
    target.load(name)
print(len(COMMANDS))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 25
