"""Runs each program in its own environment and says what worked: `python -m tests.peers.clients`; see README.md."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.peers.environment import DEFAULT, python_of
from tests.support.harbour import Harbour, Model, harbour

PROGRAMS = {
    "llama_index": ("llama-index-llms-openai-like==0.8.1",),
    "pydantic_ai": ("pydantic-ai-slim[openai]==2.68.0",),
    "llm": ("llm==0.36",),
    "langchain": ("langchain-openai==1.7.4", "langchain==1.5.2"),
    "instructor": ("instructor==1.17.0",),
    "openai_agents": ("openai-agents==0.24.0",),
    "semantic_kernel": ("semantic-kernel==1.45.0",),
}
_FOLDER = Path(__file__).parent
_PASSED_ON = ("PATH", "LANG", "LC_ALL", "TMPDIR")
_SECONDS = 240


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", action="append", choices=list(PROGRAMS))
    parser.add_argument("--environments", type=Path, default=DEFAULT / "clients")
    options = parser.parse_args()
    worked = True
    with tempfile.TemporaryDirectory() as home, harbour(Path(home), Model()) as service:
        for name in options.program or PROGRAMS:
            worked &= _run(name, python_of(options.environments / name, PROGRAMS[name]), service)
    sys.exit(0 if worked else 1)


def _run(name: str, python: Path, service: Harbour) -> bool:
    """Run a program and print a line for each thing that it did."""
    done = _process([str(python), str(_FOLDER / f"{name}_client.py")], service)
    print(f"\n{name} ({', '.join(PROGRAMS[name])})")
    cases = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"case"')]
    for case in cases:
        print(f"  {'works' if case['works'] else 'fails'}  {case['case']}: {case['said']}")
    if done.returncode or not cases:
        print(f"  it ended with {done.returncode}: {done.stderr[-2_000:]}")
    return not done.returncode and bool(cases) and all(case["works"] for case in cases)


def _process(command: Sequence[str], service: Harbour) -> "subprocess.CompletedProcess[str]":
    """Run it with nothing but the address and the key, as a user of it would set them."""
    with tempfile.TemporaryDirectory() as home:
        given = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        settings = {"HOME": home, "OPENAI_BASE_URL": f"{service.url}/v1", "OPENAI_API_KEY": service.key}
        return subprocess.run(
            command, capture_output=True, text=True, timeout=_SECONDS, env={**given, **settings}, check=False
        )


if __name__ == "__main__":
    main()
