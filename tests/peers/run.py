"""Ours and peers over one task's folder, side by side: `python -m tests.peers.run FOLDER`; see README.md."""

import argparse
import json
import logging
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from api.cli.console_logging import configure_logging
from rlm.llm.budgets import Limits
from rlm.requests import StrategyName
from tests.benchmark.results import Outcome, Row, print_rows, print_sums, summarize
from tests.benchmark.service import serving
from tests.benchmark.tasks.folder import Question, TaskFolder
from tests.peers.environment import DEFAULT, python_of, versions
from tests.peers.meter import Meter, metered
from tests.peers.peer import SYSTEMS
from tests.peers.processes import kill, start
from tests.support.oracle import MODEL, oracle_server

OURS = "leadline"
# A peer gets its own deadline first; it is killed when it does not keep it.
_GRACE_SECONDS = 15.0


def main() -> None:
    options = _parser().parse_args()
    configure_logging(logging.WARNING)
    folder = TaskFolder(options.folder)
    questions = folder.questions()[: options.count]
    sums: dict[str, dict[str, Any]] = {}
    for system in options.system or [OURS, *SYSTEMS]:
        rows = _ours(folder, questions, options) if system == OURS else _peer(system, folder, questions, options)
        if not options.json:
            print_rows(rows)
        sums[system] = summarize(rows)
    about = {**folder.about(), "versions": versions(python_of(options.environment))}
    print(json.dumps({**about, "systems": sums} if options.json else about))
    if not options.json:
        print_sums(sums)


def _ours(folder: TaskFolder, questions: list[Question], options: argparse.Namespace) -> list[Row]:
    """The recursive strategy of a whole service; the seconds are those of answering alone."""
    begun = time.monotonic()
    limits = Limits(calls=options.max_calls)
    with serving(folder, oracle=options.url is None, wait="searchable", watch=_ignore) as service:
        _tell(f"{OURS}: ingested in {time.monotonic() - begun:.1f} s")
        rows = []
        for question in questions:
            outcome = service.ask(
                question, StrategyName.RECURSIVE, limits=limits, seconds=options.seconds, watch=_ignore
            )
            rows.append(_told(OURS, Row(question, outcome)))
        return rows


def _peer(system: str, folder: TaskFolder, questions: list[Question], options: argparse.Namespace) -> list[Row]:
    python = python_of(options.environment)
    rows = []
    with ExitStack() as stack:
        url = options.url or stack.enter_context(oracle_server(folder)).url
        meter = stack.enter_context(metered(url, options.max_calls))
        for question in questions:
            asked = {
                "system": system,
                "url": meter.url,
                "model": options.model,
                "max_tokens": options.max_tokens,
                "seconds": options.seconds,
                "documents": str(folder.documents.resolve()),
                "question": question.text,
            }
            rows.append(_told(system, Row(question, answer(python, asked, meter))))
    return rows


def answer(python: Path, asked: dict[str, Any], meter: Meter) -> Outcome:
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
        answer=said.get("answer", ""),
        calls=spent.calls,
        prompt_tokens=spent.prompt_tokens,
        completion_tokens=spent.completion_tokens,
        seconds=float(said.get("seconds", time.monotonic() - begun)),
        error=said.get("error", ""),
    )


def _last_line(written: str) -> dict[str, str]:
    lines = written.strip().splitlines()
    try:
        said: dict[str, str] = json.loads(lines[-1])
    except (IndexError, ValueError):
        return {"error": "The peer's process ended without an answer."}
    return said


def _told(system: str, row: Row) -> Row:
    said = row.outcome
    _tell(f"{system}: {row.question.id} {row.score:.2f}, {said.calls} calls, {said.seconds:.1f} s {said.error}")
    return row


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _ignore(step: str) -> None:
    """Nobody watches."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.peers.run", description=__doc__)
    parser.add_argument("folder", type=Path, help="written by `python -m tests.benchmark generate`")
    parser.add_argument("--system", action="append", choices=[OURS, *SYSTEMS], help="only this one; may be repeated")
    parser.add_argument("--url", help="an OpenAI-compatible server, up to /v1, for the peers; an oracle without one")
    parser.add_argument("--model", default=MODEL, help="the model's name there")
    parser.add_argument("--count", type=int, help="only so many questions")
    parser.add_argument("--max-calls", type=int, default=1_000, help="requests to the model for a question")
    parser.add_argument("--max-tokens", type=int, default=16_000, help="the longest reply of the model")
    parser.add_argument("--seconds", type=float, default=600.0, help="for a question")
    parser.add_argument("--environment", type=Path, default=DEFAULT, help="the peers' virtual environment")
    parser.add_argument("--json", action="store_true", help="one JSON object of all sums")
    return parser


if __name__ == "__main__":
    main()
