"""`leadline ingest`: upload files and folders, and wait until they are searchable or ready."""

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from api.cli.client import open_client
from api.cli.console import Console
from api.cli.documents import format_omissions
from api.cli.environment import read_settings
from api.cli.filters import MetadataOption, parse_attributes
from api.cli.hints import describe_failure
from api.cli.progress import format_duration
from api.cli.stages import Watch, show_stages
from api.client import Client, ServiceError
from api.client.operations import Priority
from api.documents.schemas import UploadedOut
from ingest.storage.errors import LeadlineError

_UPLOADS_AT_ONCE = 4
_NAME_CHARS = 200
_BEFORE_SEARCHABLE = ("accepted", "parsing", "chunking", "indexing")
_BEFORE_READY = (*_BEFORE_SEARCHABLE, "searchable", "embedding")


@dataclass
class IngestReport:
    """The result of an upload.

    Times are in seconds since the start of the upload, and None if the command did not wait. `left_out` lists files
    whose text is incomplete, such as files with images. It is empty if the command did not wait.
    """

    files: int
    batch: str = ""
    uploaded: int = 0
    duplicates: int = 0
    rejected: list[dict[str, str]] = field(default_factory=list)
    failed: list[dict[str, Any]] = field(default_factory=list)
    left_out: list[dict[str, Any]] = field(default_factory=list)
    searchable_seconds: float | None = None
    ready_seconds: float | None = None
    chunks: int = 0
    tokens: int = 0


@dataclass(frozen=True)
class UploadOptions:
    """The metadata, readers and priority of uploaded files.

    Without `readers`, the whole tenant can read the files. Without a `priority`, a single file gets the priority
    `interactive`, and several files get `bulk`.
    """

    metadata: Mapping[str, Any] = field(default_factory=dict)
    readers: tuple[str, ...] = ()
    priority: Priority | None = None


def ingest(
    paths: Annotated[list[Path], typer.Argument(help="Files and folders; folders are uploaded recursively.")],
    collection: Annotated[str, typer.Option(help="The collection to upload to.")] = "default",
    metadata: MetadataOption = None,
    reader: Annotated[
        list[str] | None,
        typer.Option(help="Restrict access to these, such as user:ann or group:hr; may be repeated."),
    ] = None,
    priority: Annotated[
        Priority | None,
        typer.Option(
            help="`bulk` yields to your other uploads. By default one file is `interactive` and several are `bulk`."
        ),
    ] = None,
    wait: Annotated[
        str, typer.Option(help="Wait until documents are `searchable` or `ready`, or not at all (`no`).")
    ] = "ready",
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    watch_changes: Annotated[
        bool, typer.Option("--watch", help="Keep the documents in step with one folder, until Ctrl-C.")
    ] = False,
    remove_deleted: Annotated[
        bool,
        typer.Option("--remove-deleted", help="With --watch, delete documents of deleted files without a question."),
    ] = False,
) -> None:
    """Upload files and folders, and wait until they are ready.

    The files form one batch. A document is searchable once keyword search (BM25) finds it, and ready once vector search
    finds it too. Exits with status 1 if a file is refused or fails.

    With `--watch`, a folder is uploaded and then watched: new files are added, changed files replace their documents,
    and the documents of deleted files are deleted after a question. Removing many files at once always needs an answer.
    """
    about = UploadOptions(parse_attributes(metadata), tuple(reader or ()), priority)
    if watch_changes:
        _watch(
            paths, collection, UploadOptions(parse_attributes(metadata), tuple(reader or ()), priority), remove_deleted
        )
        return
    if wait not in ("searchable", "ready", "no"):
        raise typer.BadParameter("Choose searchable, ready or no.", param_hint="--wait")
    files = list(iter_files(paths))
    if not files:
        raise ServiceError("No files to upload.", hint="Pass files, or a folder that contains files.")
    console = Console(stderr=True)
    name = ", ".join(str(path) for path in paths)
    with open_client(read_settings(), creates=True) as client, show_stages(console) as watch:
        report = upload_batch(
            client, files, collection=collection, target_state=wait, name=name, on_progress=watch, options=about
        )
    if as_json:
        print(json.dumps(asdict(report)))
    else:
        _print_report(Console(), report)
    if report.rejected or report.failed:
        raise typer.Exit(1)


def _watch(paths: Sequence[Path], collection: str, options: UploadOptions, remove_deleted: bool) -> None:
    # Imported here because the watching module imports this one.
    from api.cli.watching import watch_folder

    if len(paths) != 1 or not paths[0].is_dir():
        raise typer.BadParameter("Pass one existing folder.", param_hint="--watch")
    with open_client(read_settings(), creates=True) as client:
        watch_folder(client, paths[0], collection=collection, options=options, remove_deleted=remove_deleted)


def upload_batch(
    client: Client,
    files: Sequence[tuple[str, Path]],
    *,
    collection: str,
    target_state: str,
    name: str = "",
    on_progress: Watch = lambda *_: None,
    options: UploadOptions = UploadOptions(),
) -> IngestReport:
    """Upload `(name, path)` pairs as one batch, and wait until the documents reach the state `target_state`.

    Raises `Interrupted` if Ctrl-C is pressed.
    """
    started_at = time.monotonic()
    batch = client.post("/v1/batches", {"name": name[:_NAME_CHARS]})["id"]
    report = IngestReport(files=len(files), batch=batch)
    try:
        _upload_all_files(client, files, collection, report, on_progress, options)
        batch_now = client.post(f"/v1/batches/{batch}/close", {})
        if target_state != "no":
            batch_now = _wait_for_batch(client, report, target_state, started_at, on_progress)
    except KeyboardInterrupt:
        raise UploadInterruptedError(batch) from None
    report.chunks, report.tokens = batch_now["progress"]["chunks"], batch_now["progress"]["tokens"]
    report.failed = [
        {"name": failure["name"], **failure["failure"]}
        for failure in client.listed(f"/v1/batches/{batch}/failures", "failures")
        if not failure["refused"]
    ]
    if target_state != "no":
        report.left_out = [
            {"name": document["name"], "omissions": document["omissions"]}
            for document in client.listed("/v1/documents", "documents", batch=batch, with_omissions=True)
        ]
    return report


class UploadInterruptedError(LeadlineError):
    """Ctrl-C was pressed during an upload or while waiting for its documents."""

    code = "interrupted"

    def __init__(self, batch_id: str) -> None:
        super().__init__(
            "Interrupted. The service continues to process the uploaded files while it is running.",
            hint=f"Check progress with `leadline batch show {batch_id}`, or stop with "
            f"`leadline batch cancel {batch_id}`.",
        )


def _upload_all_files(
    client: Client,
    files: Sequence[tuple[str, Path]],
    collection: str,
    report: IngestReport,
    on_progress: Watch,
    options: UploadOptions,
) -> None:
    priority = options.priority or ("bulk" if len(files) > 1 else "interactive")

    def upload_file(entry: tuple[str, Path]) -> UploadedOut | dict[str, str]:
        name, path = entry
        try:
            return client.upload(
                path,
                name=name,
                collection=collection,
                priority=priority,
                batch=report.batch,
                metadata=options.metadata,
                readers=options.readers,
            )
        except ServiceError as error:
            return {"name": name, "detail": error.detail, "hint": error.hint}

    with ThreadPoolExecutor(_UPLOADS_AT_ONCE) as pool:
        for done, result in enumerate(pool.map(upload_file, files), start=1):
            if isinstance(result, dict):
                report.rejected.append(result)
            elif result.duplicate:
                report.duplicates += 1
            else:
                report.uploaded += 1
            on_progress("uploading", done, len(files), "")


def _wait_for_batch(
    client: Client, report: IngestReport, target_state: str, started_at: float, on_progress: Watch
) -> dict[str, Any]:
    """Wait until the batch reaches the state `target_state` or ends, and return the batch."""
    batch: dict[str, Any] = {}
    for batch in client.follow(f"/v1/batches/{report.batch}/events"):
        seconds = round(time.monotonic() - started_at, 2)
        show_batch_progress(batch, on_progress)
        if report.searchable_seconds is None and not _count_files_in_states(batch, _BEFORE_SEARCHABLE):
            report.searchable_seconds = seconds
            if target_state == "searchable":
                break
        if not _count_files_in_states(batch, _BEFORE_READY):
            report.ready_seconds = seconds
    return batch


def show_batch_progress(batch: dict[str, Any], on_progress: Watch) -> None:
    """Report each stage of a batch, as returned by the API, to `on_progress`."""
    progress, accepted = batch["progress"], sum(batch["counts"]["documents"].values())
    searchable, paused = accepted - _count_files_in_states(batch, _BEFORE_SEARCHABLE), progress["paused"]
    on_progress("searchable", searchable, accepted, format_resume_hint(paused) if searchable < accepted else "")
    if progress["chunks"]:
        left = progress["seconds_left"]
        remark = format_resume_hint(paused) or ("" if left is None else f"about {format_duration(left)} remaining")
        on_progress("ready", progress["chunks_embedded"], progress["chunks"], remark)


def format_resume_hint(paused_kinds: Sequence[str]) -> str:
    """Format advice on resuming paused kinds of work, or return an empty string if nothing is paused."""
    commands = " and ".join(f"`leadline queue resume {kind}`" for kind in paused_kinds)
    return f"paused; resume with {commands}" if commands else ""


def _count_files_in_states(batch: dict[str, Any], states: Sequence[str]) -> int:
    return sum(batch["counts"]["documents"].get(state, 0) for state in states)


def iter_files(paths: Sequence[Path]) -> Iterator[tuple[str, Path]]:
    """Yield `(name, path)` for each regular file, in a fixed order. Hidden files and folders are skipped.

    Raises `ServiceError` if a path does not exist.
    """
    for path in paths:
        if not path.exists():
            raise ServiceError(f"{path} does not exist.", hint="Check the path.")
        if path.is_file():
            yield _decode_name(path.name), path
            continue
        for below in sorted(path.rglob("*")):
            relative = below.relative_to(path)
            if below.is_file() and not any(part.startswith(".") for part in relative.parts):
                yield _decode_name(relative.name), below


def _decode_name(name: str) -> str:
    """Decode a file name as UTF-8, replacing invalid bytes with replacement characters."""
    return os.fsencode(name).decode("utf-8", "replace")


def _print_report(console: Console, report: IngestReport) -> None:
    console.print(
        f"{report.uploaded} uploaded, {report.duplicates} duplicates, {len(report.rejected)} refused, "
        f"{len(report.failed)} failed; {report.chunks:,} chunks, {report.tokens:,} tokens.",
        highlight=False,
    )
    if report.searchable_seconds is not None:
        console.print(f"Searchable after {report.searchable_seconds:.1f} s.", highlight=False)
    if report.ready_seconds is not None:
        console.print(f"Ready after {report.ready_seconds:.1f} s.", highlight=False)
    for document in report.left_out:
        text = escape(f"The text of {document['name']} lacks {format_omissions(document['omissions'])}.")
        console.print(text, highlight=False, soft_wrap=True)
    for entry in (*report.rejected, *report.failed):
        console.print(f"[red]{escape(entry['name'])}[/red]: {escape(describe_failure(entry))}", highlight=False)
