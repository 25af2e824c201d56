"""`leadline batch`: show, list and cancel batches of uploads."""

import json
from typing import Annotated, Any

import typer
from rich.markup import escape

from api.cli.client import open_client
from api.cli.console import Console
from api.cli.environment import read_settings
from api.cli.hints import describe_failure
from api.cli.identifiers import resolve_id
from api.cli.ingest import format_resume_hint, show_batch_progress
from api.cli.listing import Listing
from api.cli.progress import format_duration
from api.cli.stages import show_stages
from api.client import Client

app = typer.Typer(help="Show, list and cancel batches of uploads.", no_args_is_help=True)

Identifier = Annotated[
    str,
    typer.Argument(help="The batch's id, or its beginning, as printed by `leadline ingest` and `leadline batch list`."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the API's JSON.")]


@app.command()
def show(
    batch_id: Identifier,
    follow: Annotated[bool, typer.Option(help="Show progress until the batch ends.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show the progress of a batch."""
    console = Console(stderr=True)
    with open_client(read_settings()) as client:
        batch_id = _resolve_batch(client, batch_id)
        batch = client.get(f"/v1/batches/{batch_id}")
        if follow:
            with show_stages(console) as watch:
                for batch in client.follow(f"/v1/batches/{batch_id}/events"):
                    show_batch_progress(batch, watch)
    _print_batch(batch, as_json)


@app.command("list")
def list_batches(
    limit: Annotated[int, typer.Option(help="Maximum number of batches.", min=1, max=100)] = 20, as_json: AsJson = False
) -> None:
    """List batches, newest first."""
    with open_client(read_settings()) as client:
        batches = client.get("/v1/batches", limit=limit)["batches"]
    if as_json:
        print(json.dumps(batches))
        return
    table = Listing(
        ("id", "name", "created", "state", "files", "done", "failed", "refused"),
        texts=("name",),
        optional=("failed", "created", "done", "refused"),
    )
    for batch in batches:
        counts, progress = batch["counts"], batch["progress"]
        figures = (progress["files"], progress["files_done"], counts["documents"].get("failed", 0), counts["refused"])
        made_at = batch["created_at"][:16].replace("T", " ")
        table.add(batch["id"], batch["name"], made_at, batch["state"], *(f"{figure:,}" for figure in figures))
    table.print()


@app.command()
def cancel(batch_id: Identifier, as_json: AsJson = False) -> None:
    """Cancel a batch. Files that are ready are kept."""
    with open_client(read_settings()) as client:
        _print_batch(client.post(f"/v1/batches/{_resolve_batch(client, batch_id)}/cancel", {}), as_json)


@app.command()
def failures(batch_id: Identifier, as_json: AsJson = False) -> None:
    """List the files of a batch that were refused or failed, each with the reason and the next step.

    `--json` prints one object per line.
    """
    console = Console()
    with open_client(read_settings()) as client:
        batch_id = _resolve_batch(client, batch_id)
        for found in client.listed(f"/v1/batches/{batch_id}/failures", "failures"):
            if as_json:
                print(json.dumps(found))
                continue
            text = escape(describe_failure(found["failure"]))
            console.print(f"[red]{escape(found['name'])}[/red]: {text}", highlight=False)


def _resolve_batch(client: Client, prefix: str) -> str:
    return resolve_id(client, prefix, path="/v1/batches", member="batches", noun="batch")


def _print_batch(batch: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(batch))
        return
    counts, progress, console = batch["counts"], batch["progress"], Console()
    console.print(f"{batch['id']} {batch['name']}: {batch['state']}", highlight=False, markup=False)
    console.print(
        f"{progress['files_done']:,} of {progress['files']:,} files done, {counts['duplicates']:,} duplicates, "
        f"{counts['refused']:,} refused; {progress['chunks']:,} chunks, {progress['tokens']:,} tokens.",
        highlight=False,
    )
    console.print(", ".join(f"{count:,} {state}" for state, count in counts["documents"].items()), highlight=False)
    if progress["seconds_left"]:
        console.print(f"About {format_duration(progress['seconds_left'])} remaining.", highlight=False)
    if progress["paused"]:
        console.print(f"The batch is {format_resume_hint(progress['paused'])}.", highlight=False, markup=False)
    if counts["refused"] or counts["documents"].get("failed"):
        console.print(f"See the reasons with `leadline batch failures {batch['id']}`.", highlight=False, markup=False)
