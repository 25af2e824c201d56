"""Searches of other libraries beside ours: `python -m tests.peers.retrieval SOURCE`; see ../README.md."""

import argparse
import json
import logging
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.table import Table

from api.cli.console import Console
from api.cli.console_logging import configure_logging
from api.cli.environment import read_settings
from ingest.storage.errors import LeadlineError
from retrieval.build import require_encoder_files
from retrieval.evaluation.runs import RANKING_DEPTH, Evaluation, EvaluationRun, save_evaluation
from retrieval.models.store import ModelStore
from tests.peers import environment
from tests.peers.processes import kill, start
from tests.peers.retrieval import ours
from tests.peers.retrieval.corpora import Asked, open_asked
from tests.peers.retrieval.figures import Found, PeerError, read, shown, summarize
from tests.peers.retrieval.peer import SYSTEMS

_HERE = Path(__file__).parent
# Nothing is asked of a hub, and nobody is told what runs here.
_QUIET = {
    "PYTHONPATH": str(_HERE.parents[2]),
    "HF_HUB_OFFLINE": "1",
    "HAYSTACK_TELEMETRY_ENABLED": "False",
    "LANGSMITH_TRACING": "false",
}


def main() -> None:
    options = _parser().parse_args()
    configure_logging(logging.WARNING)
    try:
        asked = open_asked(options.source, options.documents)
    except LeadlineError as error:
        sys.exit(str(error))
    rows: dict[str, dict[str, Any]] = {}
    runs: dict[str, EvaluationRun] = {}
    versions: list[str] = []
    for system in options.system or (ours.NAME, *SYSTEMS):
        print(f"{system} …", file=sys.stderr, flush=True)
        try:
            found, installed = _leadline(asked) if system == ours.NAME else _peer(system, asked, options)
        except (PeerError, subprocess.CalledProcessError) as error:
            rows[system] = {"error": str(error)}  # one that fails does not keep the others from being measured
            continue
        versions += installed
        for search, each in found.items():
            name = f"{system} {search}"
            runs[name] = asked.judge(each)
            rows[name] = summarize(each, runs[name])
    if options.output:
        save_evaluation(Evaluation(options.source.stem, asked.queries, runs), options.output)
    if options.as_json:
        print(json.dumps({"versions": versions, "searches": rows}))
    else:
        title = f"{options.source.stem}: {len(asked.texts):,} texts, {len(asked.queries):,} questions"
        _print(title, rows, ", ".join(versions))
    sys.exit(any("error" in row for row in rows.values()))


def _leadline(asked: Asked) -> tuple[dict[str, Found], list[str]]:
    return ours.measure(asked, Console(stderr=True)), [f"leadline {version('leadline')}"]


def _peer(system: str, asked: Asked, options: argparse.Namespace) -> tuple[dict[str, Found], list[str]]:
    """Return what the peer found, and its packages. Raises `PeerError`."""
    packages = environment.required(_HERE / f"{system}.txt")
    python = environment.python_of(options.environments / system, packages)
    model, tokenizer = require_encoder_files(ModelStore(read_settings().models))
    request = {
        "system": system,
        "model": str(model),
        "tokenizer": str(tokenizer),
        "texts": asked.texts,
        "queries": asked.queries,
        "top_k": RANKING_DEPTH,
    }
    installed = environment.versions(python, packages[:1])
    return search(python, request, options.seconds), [f"{name} {each}" for name, each in installed.items()]


def search(python: Path, request: Mapping[str, Any], seconds: float) -> dict[str, Found]:
    """Run the peer's process over a request and return what it found. Raises `PeerError`."""
    killed = threading.Event()
    with tempfile.TemporaryFile("w+", encoding="utf-8") as written:
        json.dump(request, written)
        written.seek(0)
        with start(python, _HERE / "peer.py", stdin=written, settings=_QUIET) as peer:

            def stop() -> None:
                killed.set()
                kill(peer)

            late = threading.Timer(seconds, stop)
            late.start()
            try:
                return read(peer.stdout or (), request["queries"])
            except PeerError as error:
                if not killed.is_set():
                    raise
                raise PeerError(f"{error} It was killed after {seconds:g} s: give it more --seconds.") from error
            finally:
                late.cancel()
                kill(peer)


def _print(title: str, rows: Mapping[str, Mapping[str, Any]], caption: str) -> None:
    columns = {name: {"": row["error"]} if "error" in row else shown(row) for name, row in rows.items()}
    names = list(dict.fromkeys(column for row in columns.values() for column in row))
    table = Table("search", *names, title=title, caption=caption)
    for name, row in columns.items():
        table.add_row(name, *(row.get(column, "") for column in names))
    Console().print(table)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.peers.retrieval", description="Measure searches of several systems, one after the other."
    )
    parser.add_argument("source", type=Path, help="judged questions, as `leadline eval retrieval` reads them")
    parser.add_argument("--documents", type=Path, help="the folder of text files that a file of JSON lines is about")
    parser.add_argument(
        "--system", action="append", choices=(ours.NAME, *SYSTEMS), help="may be given several times; all without it"
    )
    parser.add_argument("--seconds", type=float, default=3600.0, help="a peer is killed after so long")
    parser.add_argument(
        "--environments", type=Path, default=environment.DEFAULT / "retrieval", help="the peers' virtual environments"
    )
    parser.add_argument(
        "--output", "-o", type=Path, help="keep the figures of every query, for `leadline eval compare`"
    )
    parser.add_argument("--json", action="store_true", dest="as_json", help="print the figures as JSON")
    return parser


if __name__ == "__main__":
    main()
