"""A peer over a benchmark folder: `python -m tests.peers.run FOLDER --system rlms …`; see README.md."""

import argparse
import json
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.benchmark.tasks.corpus import BenchmarkFolder
from tests.benchmark.tasks.results import Outcome, judge, summarize
from tests.peers.environment import DEFAULT, python_of, versions
from tests.peers.meter import Meter, metered
from tests.peers.peer import SYSTEMS
from tests.peers.processes import kill, start

# A peer gets its own deadline first; it is killed when it does not keep it.
_GRACE_SECONDS = 15.0


def main() -> None:
    options = _parser().parse_args()
    folder = BenchmarkFolder(options.folder)
    python = python_of(options.environment)
    questions = folder.questions()[: options.count]
    rows = []
    with metered(options.url, options.max_calls) as meter, options.out.open("w", encoding="utf-8") as out:
        for number, question in enumerate(questions, start=1):
            asked = {
                "system": options.system,
                "url": meter.url,
                "model": options.model,
                "max_tokens": options.max_tokens,
                "seconds": options.seconds,
                "documents": str(folder.documents.resolve()),
                "question": question.text,
            }
            outcome = answer(python, asked, question.id, meter)
            out.write(json.dumps(asdict(outcome), ensure_ascii=False) + "\n")
            out.flush()
            rows.append(judge(question, outcome))
            print(
                f"{number} of {len(questions)} {question.kind}: {rows[-1].score:.2f}, {outcome.calls} calls, "
                f"{outcome.seconds:.0f} s {outcome.error}",
                file=sys.stderr,
                flush=True,
            )
    about = {**folder.about(), "system": options.system, "model": options.model, "versions": versions(python)}
    print(json.dumps({**about, **summarize(rows)}))


def answer(python: Path, asked: dict[str, Any], identifier: str, meter: Meter) -> Outcome:
    """What the peer said, or that it failed; with what the meter counted."""
    meter.reset()
    begun = time.monotonic()
    said: dict[str, str]
    peer = start(python, Path(__file__).with_name("peer.py"), stdin=subprocess.PIPE)
    try:
        written, _ = peer.communicate(json.dumps(asked), timeout=asked["seconds"] + _GRACE_SECONDS)
        said = _last_line(written)
    except subprocess.TimeoutExpired:
        said = {"error": f"There was no answer after {asked['seconds']:g} s."}
    finally:
        kill(peer)
    spent = meter.spent
    return Outcome(
        identifier,
        answer=said.get("answer", ""),
        calls=spent.calls,
        prompt_tokens=spent.prompt_tokens,
        completion_tokens=spent.completion_tokens,
        seconds=round(time.monotonic() - begun, 2),
        error=said.get("error", ""),
    )


def _last_line(written: str) -> dict[str, str]:
    lines = written.strip().splitlines()
    try:
        said: dict[str, str] = json.loads(lines[-1])
    except (IndexError, ValueError):
        return {"error": "The peer's process ended without an answer."}
    return said


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.peers.run", description="Measure a peer.")
    parser.add_argument("folder", type=Path, help="written by `leadline bench rlm-generate`")
    parser.add_argument("--system", choices=sorted(SYSTEMS), required=True)
    parser.add_argument("--url", required=True, help="an OpenAI-compatible server, up to /v1")
    parser.add_argument("--model", required=True, help="the model's name there")
    parser.add_argument("--out", type=Path, required=True, help="where to write the outcomes, for rlm-score")
    parser.add_argument("--count", type=int, help="only so many questions")
    parser.add_argument("--max-calls", type=int, default=100, help="requests to the model for a question")
    parser.add_argument("--max-tokens", type=int, default=1024, help="the longest reply of the model")
    parser.add_argument("--seconds", type=float, default=600.0, help="for a question")
    parser.add_argument("--environment", type=Path, default=DEFAULT, help="the peers' virtual environment")
    return parser


if __name__ == "__main__":
    main()
