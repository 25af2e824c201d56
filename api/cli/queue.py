"""`leadline queue`: show queued jobs, and pause a kind of work during maintenance."""

import json
import time
from typing import Annotated

import typer
from rich.table import Table

from api.cli.cluster import open_configured_catalog
from api.cli.console import Console
from ingest.storage.queue.records import JobKind

app = typer.Typer(help="Show queued jobs, and pause or resume a kind of work.", no_args_is_help=True)

Kind = Annotated[JobKind, typer.Argument(help="The kind of work.")]


@app.command()
def show(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Show queued and running jobs by kind, queued jobs by tenant, and the paused kinds."""
    with open_configured_catalog() as opened:
        unfinished, paused = opened.jobs.count_unfinished_jobs(), opened.jobs.load_paused_kinds()
        queued = {kind: opened.jobs.count_waiting_by_tenant(kind) for kind in JobKind}
    rows = [
        {
            "kind": kind.value,
            "unfinished": unfinished.get(kind, 0),
            "queued_by_tenant": queued[kind],
            "paused_since": paused.get(kind),
        }
        for kind in JobKind
    ]
    if as_json:
        print(json.dumps(rows))
        return
    table = Table("kind", "queued or running", "queued, by tenant", "state")
    for kind, row in zip(JobKind, rows, strict=True):
        tenants = ", ".join(f"{tenant} {count}" for tenant, count in queued[kind].items())
        state = f"paused for {(time.time() - paused[kind]) / 60:.0f} min" if kind in paused else "open"
        table.add_row(kind.value, str(row["unfinished"]), tenants or "–", state)
    Console().print(table)


@app.command()
def pause(kind: Kind) -> None:
    """Stop workers from starting jobs of this kind.

    Running jobs continue, and uploads are still accepted.
    """
    with open_configured_catalog() as opened:
        opened.jobs.pause_kind(kind)
    Console().print(
        f"Paused. Running jobs continue. Resume the queued jobs with `leadline queue resume {kind}`.", highlight=False
    )


@app.command()
def resume(kind: Kind) -> None:
    """Let workers start jobs of this kind again, within seconds."""
    with open_configured_catalog() as opened:
        opened.jobs.resume_kind(kind)
    Console().print("Resumed.", highlight=False)
