"""`leadline queue`: shows waiting jobs, and holds a kind of work back during repairs."""

import json
import time
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from api.cli.cluster import open_configured_catalog
from ingest.storage.queue.records import JobKind

app = typer.Typer(help="Show what waits; pause and resume a kind of work.", no_args_is_help=True)

Kind = Annotated[JobKind, typer.Argument(help="Which kind of work.")]


@app.command()
def show(as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False) -> None:
    """Show jobs of each kind that are queued or running, the queued ones by tenant, and the paused kinds."""
    with open_configured_catalog() as opened:
        unfinished, paused = opened.jobs.count_unfinished(), opened.jobs.load_paused_kinds()
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
    """Let no worker begin a job of this kind; those under way go on, and uploads are still accepted."""
    with open_configured_catalog() as opened:
        opened.jobs.pause(kind)
    Console().print(f"Paused. What runs goes on; `leadline queue resume {kind}` lets the rest begin.", highlight=False)


@app.command()
def resume(kind: Kind) -> None:
    """Let workers begin jobs of this kind again; they notice within seconds."""
    with open_configured_catalog() as opened:
        opened.jobs.resume(kind)
    Console().print("Resumed.", highlight=False)
