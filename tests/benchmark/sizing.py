"""The calculator's figures against what the embedded service takes: `python -m tests.benchmark.sizing compare`."""

import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from api.build.embedded import open_embedded_services
from api.cli.environment import read_settings
from api.cli.fetching import fetch_missing_model_files
from api.cli.ingest import iter_files, upload_batch
from api.cli.private_service import open_services_client
from api.settings.settings import Settings
from api.sizing.constants import load_constants
from api.sizing.documents import CorpusSize, EmbeddedResources, estimate_embedded_resources
from retrieval.index.edge.resident_memory import get_resident_size
from tests.benchmark.figures import AsJson, print_rows

app = typer.Typer(help="Compare what a plan says with what is measured.", no_args_is_help=True)

_DOCS = Path(__file__).parents[2] / "docs"
_FOLDER_FILES = 1_000
Words = Annotated[int, typer.Option(help="Words of a document, on average.", min=10)]


@app.command()
def measure(
    documents: Annotated[int, typer.Option(help="How many documents.", min=1)],
    words: Words = 80,
    seed: Annotated[int, typer.Option(help="Chooses words and lengths.")] = 0,
) -> None:
    """Ingest so many documents into an empty embedded service, and print what it took as one JSON object.

    Run each size in a process of its own: memory counts from the process's start.
    """
    settings = read_settings(llm="none", reranker="none")
    fetch_missing_model_files(settings)
    with tempfile.TemporaryDirectory(prefix="leadline-sizing-") as folder:
        files, home = Path(folder) / "files", Path(folder) / "home"
        uploaded = write_documents(files, documents, words, seed)
        cpu, begun = _cpu_seconds(), time.monotonic()
        own = Settings(**{**settings.model_dump(), "home": home})
        with open_embedded_services(own) as services, open_services_client(services) as client:
            empty = get_resident_size()
            report = upload_batch(client, list(iter_files([files])), collection="default", target_state="ready")
            taken, resident = time.monotonic() - begun, get_resident_size()
        figures = {
            "documents": report.files - len(report.rejected) - len(report.failed),
            "uploaded_bytes": uploaded,
            "tokens": report.tokens,
            "chunks": report.chunks,
            "seconds": round(taken, 1),
            # The parser's process has ended with the service, so that its time counts.
            "processor_seconds": round(_cpu_seconds() - cpu, 1),
            "empty_bytes": empty,
            "memory_bytes": resident,
            "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            **{f"{name}_bytes": size for name, size in disk_bytes(home).items()},
        }
    print(json.dumps(figures))


@app.command()
def compare(
    documents: Annotated[
        list[int] | None, typer.Option(help="A number of documents; may be given again. [default: 200, 2000, 20000]")
    ] = None,
    words: Words = 80,
    as_json: AsJson = False,
) -> None:
    """Measure several sizes, each in a process of its own, beside what `leadline plan` says of them."""
    rows = []
    for count in documents or (200, 2_000, 20_000):
        command = [
            sys.executable,
            "-m",
            "tests.benchmark.sizing",
            "measure",
            f"--documents={count}",
            f"--words={words}",
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ)
        rows.append(compared(json.loads(done.stdout.splitlines()[-1])))
        print_rows(rows[-1:], as_json)


def compared(figures: Mapping[str, Any]) -> dict[str, Any]:
    """Put a measurement beside the plan for as many documents, tokens and bytes."""
    corpus = CorpusSize(
        documents=figures["documents"],
        tokens=figures["tokens"],
        uploaded_bytes=figures["uploaded_bytes"],
        chunks=figures["chunks"],
    )
    planned: EmbeddedResources = estimate_embedded_resources(corpus, load_constants())
    row: dict[str, Any] = {"documents": corpus.documents, "tokens": corpus.tokens, "chunks": corpus.chunks}
    row["seconds"] = figures["seconds"]
    disk = sum(figures[f"{name}_bytes"] for name in ("catalog", "blobs", "index", "other"))
    for name, plan, measured in (
        ("processor_seconds", planned.processor_seconds, figures["processor_seconds"]),
        ("memory_mb", planned.memory_bytes / 1e6, figures["memory_bytes"] / 1e6),
        ("disk_mb", planned.disk_bytes / 1e6, disk / 1e6),
    ):
        row |= {name: round(measured, 1), f"{name}_planned": round(plan, 1), f"{name}_ratio": round(plan / measured, 2)}
    return row


def write_documents(folder: Path, documents: int, words: int, seed: int) -> int:
    """Write Markdown files of words as frequent as in the project's documentation; return their bytes."""
    vocabulary = " ".join(path.read_text("utf-8") for path in sorted(_DOCS.glob("*.md"))).replace("`", " ").split()
    choose = random.Random(seed)
    total = 0
    for number in range(documents):
        length = max(5, int(choose.lognormvariate(0, 0.5) * words / 1.133))  # the mean of that distribution
        body = " ".join(choose.choices(vocabulary, k=length))
        path = folder / str(number // _FOLDER_FILES) / f"document-{number}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        total += path.write_bytes(f"# Document {number}\n\n{body}\n".encode())
    return total


def _cpu_seconds() -> float:
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(used.ru_utime + used.ru_stime for used in map(resource.getrusage, kinds))


def disk_bytes(home: Path) -> dict[str, int]:
    """Return the bytes that files occupy; those with holes count as the disk does."""
    sizes = dict.fromkeys(("catalog", "blobs", "index", "other"), 0)
    for path in home.rglob("*"):
        if path.is_file():
            top = path.relative_to(home).parts[0]
            part = "catalog" if top.startswith("catalog") else top if top in sizes else "other"
            sizes[part] += path.stat().st_blocks * 512
    return sizes


if __name__ == "__main__":
    app()
