"""`leadline ingest`: upload files and folders, and watch them become searchable and ready."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from api.cli.client import Client, ServiceError, connect
from api.cli.up import read_settings
from ingest.documents import VersionState

_UPLOADS_AT_ONCE = 4
_POLL_SECONDS = 0.25
_BEFORE_SEARCHABLE = ("accepted", "parsing", "chunking", "indexing")
_BEFORE_READY = (*_BEFORE_SEARCHABLE, "searchable", "embedding")

Watch = Callable[[str, int, int], None]


@dataclass
class Report:
    """What an ingest did. Seconds count from the first upload; None where it was not waited for."""

    files: int
    uploaded: int = 0
    duplicates: int = 0
    rejected: list[dict[str, str]] = field(default_factory=list)
    failed: list[dict[str, str]] = field(default_factory=list)
    searchable_seconds: float | None = None
    ready_seconds: float | None = None
    chunks: int = 0
    tokens: int = 0


def ingest(
    paths: Annotated[list[Path], typer.Argument(help="Files and folders; folders are read with all below them.")],
    collection: Annotated[str, typer.Option(help="The collection to put them in.")] = "default",
    wait: Annotated[
        str, typer.Option(help="Wait until documents are `searchable`, `ready`, or do not: `no`.")
    ] = "ready",
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Upload documents, and wait until they are searchable (BM25) and ready (vectors too)."""
    if wait not in ("searchable", "ready", "no"):
        raise typer.BadParameter("say searchable, ready or no", param_hint="--wait")
    files = list(find_files(paths))
    if not files:
        raise ServiceError("There is no file to upload.", hint="Name files, or a folder that has some.")
    console = Console(stderr=True)
    with connect(read_settings()) as client, _Bars(console) as watch:
        report = run(client, files, collection=collection, wait=wait, watch=watch)
    if as_json:
        print(json.dumps(asdict(report)))
    else:
        _tell(Console(), report)
    if report.rejected or report.failed:
        raise typer.Exit(1)


def run(
    client: Client, files: Sequence[tuple[str, Path]], *, collection: str, wait: str, watch: Watch = lambda *_: None
) -> Report:
    """Upload `(name, path)` pairs, a few at once, and wait as asked."""
    report = Report(files=len(files))
    begun = time.monotonic()
    priority = "bulk" if len(files) > 1 else "interactive"

    def send(entry: tuple[str, Path]) -> dict[str, Any]:
        name, path = entry
        try:
            result: dict[str, Any] = client.upload(path, name=name, collection=collection, priority=priority)
        except ServiceError as error:
            return {"rejected": {"name": name, "detail": error.detail, "hint": error.hint}}
        return result

    with ThreadPoolExecutor(_UPLOADS_AT_ONCE) as pool:
        for done, result in enumerate(pool.map(send, files), start=1):
            if "rejected" in result:
                report.rejected.append(result["rejected"])
            elif result["duplicate"]:
                report.duplicates += 1
            else:
                report.uploaded += 1
            watch("uploading", done, len(files))
    if wait != "no":
        report.searchable_seconds = _until(client, _BEFORE_SEARCHABLE, begun, "searchable", watch, collection)
    if wait == "ready":
        report.ready_seconds = _until(client, _BEFORE_READY, begun, "ready", watch, collection)
    status = client.get("/v1/status", collection=collection)
    report.chunks, report.tokens = status["chunks"], status["tokens"]
    report.failed = [
        {"name": document["name"], **document["failure"]}
        for document in list_documents(client, collection, VersionState.FAILED)
        if document["name"] in {name for name, _ in files}
    ]
    return report


def find_files(paths: Sequence[Path]) -> Iterator[tuple[str, Path]]:
    """`(display name, path)` of every regular file, in a fixed order; hidden files and folders are passed over."""
    for path in paths:
        if not path.exists():
            raise ServiceError(f"There is no {path}.", hint="Check the name.")
        if path.is_file():
            yield path.name, path
            continue
        for below in sorted(path.rglob("*")):
            relative = below.relative_to(path)
            if below.is_file() and not any(part.startswith(".") for part in relative.parts):
                yield relative.name, below


def list_documents(client: Client, collection: str, state: VersionState) -> Iterator[dict[str, Any]]:
    """Every document in a state, page by page."""
    cursor: str | None = None
    while True:
        page = client.get("/v1/documents", collection=collection, state=state.value, limit=500, cursor=cursor)
        yield from page["documents"]
        cursor = page["next_cursor"]
        if cursor is None:
            return


def _until(client: Client, unfinished: Sequence[str], begun: float, stage: str, watch: Watch, collection: str) -> float:
    while True:
        status = client.get("/v1/status", collection=collection)
        counts = status["documents"]
        total, left = sum(counts.values()), sum(counts.get(state, 0) for state in unfinished)
        if stage == "ready" and status["chunks"]:
            watch(stage, status["chunks_embedded"], status["chunks"])
        else:
            watch(stage, total - left, total)
        if not left:
            return round(time.monotonic() - begun, 2)
        time.sleep(_POLL_SECONDS)


class _Bars:
    """A progress bar for each stage, appearing when it begins."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("{task.description:>10}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=console,
        )
        self._tasks: dict[str, Any] = {}

    def __enter__(self) -> Watch:
        self._progress.start()
        return self._watch

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def _watch(self, stage: str, done: int, total: int) -> None:
        if stage not in self._tasks:
            self._tasks[stage] = self._progress.add_task(stage)
        self._progress.update(self._tasks[stage], completed=done, total=total)


def _tell(console: Console, report: Report) -> None:
    console.print(
        f"{report.uploaded} uploaded, {report.duplicates} already there, {len(report.rejected)} refused, "
        f"{len(report.failed)} failed; {report.chunks:,} chunks, {report.tokens:,} tokens.",
        highlight=False,
    )
    if report.searchable_seconds is not None:
        console.print(f"Searchable after {report.searchable_seconds:.1f} s.", highlight=False)
    if report.ready_seconds is not None:
        console.print(f"Ready after {report.ready_seconds:.1f} s.", highlight=False)
    for entry in (*report.rejected, *report.failed):
        console.print(f"[red]{entry['name']}[/red]: {entry['detail']} {entry['hint']}", highlight=False)
