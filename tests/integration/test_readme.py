"""The Python that docs/operators.md shows runs as it stands there, but for the server's address."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.support.cluster import wait_until
from tests.support.scripted_openai import scripted_openai
from tests.support.service import running

OPERATORS = (Path(__file__).parents[2] / "docs" / "operators.md").read_text()
LUGGAGE = "".join(f"{number}. My bag {'never came' if number % 3 else 'has a broken wheel'}.\n" for number in range(12))
_RECORD = re.compile(r"^(\d+)\. (.*)$", re.MULTILINE)


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
