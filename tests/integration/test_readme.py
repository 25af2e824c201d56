"""The commands of README.md and the Python of docs/operators.md run as they are shown, but for the server's address."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from api.settings.settings import Settings
from tests.support.careful_reader import CarefulReader
from tests.support.cluster import wait_until
from tests.support.example_service import FACTS, PLANS
from tests.support.scripted_openai import scripted_openai
from tests.support.service import running

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
OPERATORS = (ROOT / "docs" / "operators.md").read_text()
LUGGAGE = "".join(f"{number}. My bag {'never came' if number % 3 else 'has a broken wheel'}.\n" for number in range(12))
_RECORD = re.compile(r"^(\d+)\. (.*)$", re.MULTILINE)
_LEADLINE = [sys.executable, "-c", "from api.cli.main import main; main()"]
_SHOWN_ADDRESS = "http://127.0.0.1:8000"
# What a command of README.md prints, by its first words; in this order.
PRINTED = {
    "leadline ingest": "3 uploaded",
    "leadline ask": "within 30 days of receiving it",
    "leadline chat": "They were lost on the Harrow",
    "leadline backup": "Backed up 3 documents",
    "leadline doctor": "data folder",
    "curl": '"state":',
    "curl ": "within 30 days of receiving it",
    "leadline ask ": "16 orders from Spain were late",
}


def shell_lines(text: str) -> list[str]:
    """Return the commands of the blocks for a shell, without comments; one that goes on in the next line is one."""
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [re.sub(r" +# .*", "", line) for line in lines]


@pytest.fixture
def environment(tmp_path: Path, encoder_files: Path) -> Iterator[dict[str, str]]:
    """The environment of somebody who has named a larger model and started the service."""
    names = {name: value for name, value in os.environ.items() if not name.startswith("LEADLINE_")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{names['PATH']}"
    with scripted_openai(CarefulReader(FACTS, PLANS), window_tokens=32_000) as model:
        yield {
            **names,
            **{"HOME": str(tmp_path), "PATH": path, "COLUMNS": "200"},
            **{"LEADLINE_MODELS": str(encoder_files), "LEADLINE_MIN_FREE_BYTES": "0"},
            "LEADLINE_LLM": f"{model.url} careful-reader",
        }


@pytest.fixture
def address(environment: dict[str, str], tmp_path: Path) -> Iterator[str]:
    """Where a service listens that was started as `make run` does; its key is in the environment from then on."""
    with (tmp_path / "up.log").open("w") as log:
        process = subprocess.Popen(
            [*_LEADLINE, "up", "--port", "0"], env=environment, stdout=subprocess.PIPE, stderr=log, text=True
        )
    assert process.stdout
    printed = ""
    for line in process.stdout:
        printed += line
        if "Ctrl-C" in line:
            break
    found, file = re.search(r"http://127\.0\.0\.1:\d+", printed), re.search(r"cat (\S+/first-api-key)", printed)
    assert found, printed
    assert file, printed
    environment["LEADLINE_API_KEY"] = Path(file[1]).read_text().strip()
    yield found[0]
    process.terminate()
    process.communicate(timeout=120)


def test_each_command_does_what_the_readme_says(address: str, environment: dict[str, str]) -> None:
    (late,) = re.findall(r"^Then `(leadline ask [^`]*)`", README, re.MULTILINE)
    commands = [line for line in shell_lines(README) if line.startswith(("leadline ", "curl "))]
    assert len(commands) + 1 == len(PRINTED)
    for command, expected in zip([*commands, late], PRINTED.values(), strict=True):
        done = subprocess.run(
            ["bash", "-c", command.replace(_SHOWN_ADDRESS, address)],
            cwd=ROOT,
            env=environment,
            input="Which reef were the boats lost on?\n",
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        assert expected in done.stdout, f"{command}\n{done.stdout}"


def test_each_larger_model_that_the_readme_names_is_a_setting_that_can_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    exported = [line for line in shell_lines(README) if line.startswith("export LEADLINE_LLM")]
    assert len(exported) == 3
    for line in exported:
        shown = subprocess.run(
            ["bash", "-c", f"{line}; echo $LEADLINE_LLM"], capture_output=True, text=True, check=True
        )
        monkeypatch.setenv("LEADLINE_LLM", shown.stdout.strip())
        assert Settings().llm.startswith("http")


def label(body: dict[str, Any]) -> str:
    prompt = body["messages"][-1]["content"]
    records = prompt[prompt.index("BEGIN records") : prompt.index("END records")]
    return json.dumps({number: "damaged" if "broken" in text else "lost" for number, text in _RECORD.findall(records)})


def test_operators_are_called_as_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with running(tmp_path / ".local/share/leadline") as (_, client):
        client.http.post("/v1/documents", params={"name": "luggage.txt"}, content=LUGGAGE.encode())
        wait_until(lambda: client.get("/v1/status")["documents"].get("ready") == 1, what="it is ready")
    (shown,) = re.findall(r"```python\n(.*?)```", OPERATORS, re.DOTALL)
    monkeypatch.setenv("HOME", str(tmp_path))
    with scripted_openai(label) as server:
        exec(shown.replace("http://gpu:8000/v1", server.url), {})
    assert "{'lost': 8, 'damaged': 4}" in capsys.readouterr().out
