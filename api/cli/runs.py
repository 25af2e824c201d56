"""`leadline runs`: list, follow and control background runs."""

import json
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.text import Text
from rich.tree import Tree

from api.answers.steps import describe_step, name_cell, name_purpose
from api.cli.answer_view import print_answer, shorten_text
from api.cli.client import open_client
from api.cli.console import Console, remove_control_chars
from api.cli.environment import read_settings
from api.cli.identifiers import resolve_id
from api.cli.listing import Listing
from api.client import Client
from api.languages.catalogue import Texts
from ingest.storage.answers.run_records import RunState
from ingest.storage.counts import format_count

app = typer.Typer(
    help="List, show, watch, continue, finish, cancel and delete background runs.",
    no_args_is_help=True,
)

Identifier = Annotated[str, typer.Argument(help="The run's id, or its beginning, from `leadline runs list`.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

_QUESTION_CHARS = 60
_TEXTS = Texts("en")


@app.command("list")
def list_runs(
    state: Annotated[list[RunState] | None, typer.Option(help="Only runs in this state; may be repeated.")] = None,
    limit: Annotated[int, typer.Option(help="Maximum number of runs.", min=1, max=500)] = 20,
    as_json: AsJson = False,
) -> None:
    """List runs, newest first."""
    with open_client(read_settings()) as client:
        found = client.get("/v1/runs", limit=limit, state=[each.value for each in state or ()])["runs"]
    if as_json:
        print(json.dumps(found, ensure_ascii=False))
        return
    table = Listing(
        ("run", "state", "question", "calls", "tokens read", "seconds"),
        texts=("question",),
        optional=("seconds", "calls", "tokens read"),
    )
    for run in found:
        usage = run["usage"]
        question = run["question"]
        excerpt = question[:_QUESTION_CHARS] + ("…" if len(question) > _QUESTION_CHARS else "")
        read, seconds = f"{usage['prompt_tokens']:,}", f"{run['seconds']:.1f}"
        table.add(run["id"], run["state"], excerpt, f"{usage['calls']:,}", read, seconds)
    table.print()


@app.command()
def show(
    run: Identifier,
    code: Annotated[bool, typer.Option("--code", help="Print the code of each step in full, and its result.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show a run's steps, one per line, and its answer if it has one.

    `--json` prints every event.
    """
    with open_client(read_settings()) as client:
        run = _resolve_run(client, run)
        found = client.get(f"/v1/runs/{run}")
        events = list(_iter_events(client, run))
    if as_json:
        print(json.dumps({**found, "log": events}, ensure_ascii=False))
        return
    console = Console()
    console.print(build_step_tree(found, events, with_code=code))
    _print_run_outcome(console, found)


@app.command()
def watch(run: Identifier) -> None:
    """Follow a run from start to end.

    Ctrl-C stops watching; the run continues.
    """
    console = Console()
    with open_client(read_settings()) as client:
        run = _resolve_run(client, run)
        for event in client.follow(f"/v1/runs/{run}/events"):
            if event["kind"] == "end":
                _print_run_outcome(console, event["run"])
                continue
            if line := _format_step_line([event]):
                console.print(f"[dim]{event['at'][11:19]}[/dim]  {line}", highlight=False)
            if event["kind"] == "paused":
                _print_run_outcome(console, client.get(f"/v1/runs/{run}"))


@app.command("continue")
def continue_run(
    run: Identifier,
    calls: Annotated[int | None, typer.Option(help="Additional language model calls.", min=1)] = None,
    prompt_tokens: Annotated[int | None, typer.Option(help="Additional tokens for the model to read.", min=1)] = None,
    completion_tokens: Annotated[
        int | None, typer.Option(help="Additional tokens for the model to write.", min=1)
    ] = None,
    tokens: Annotated[int | None, typer.Option(help="Additional tokens, read and written in total.", min=1)] = None,
    dollars: Annotated[float | None, typer.Option(help="Additional US dollars.")] = None,
    seconds: Annotated[float | None, typer.Option(help="Additional seconds.")] = None,
) -> None:
    """Increase the budget of a paused run, which then continues where it stopped.

    Increase at least one of the run's limits; `leadline runs show` tells which one it has reached. No model call is
    repeated. The run pauses again when the larger budget is used up.
    """
    added = {
        "calls": calls,
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "tokens": tokens,
        "dollars": dollars,
        "seconds": seconds,
    }
    with open_client(read_settings()) as client:
        run = _resolve_run(client, run)
        found = client.post(
            f"/v1/runs/{run}/continue", {name: more for name, more in added.items() if more is not None}
        )
    _print_run_state(found)


@app.command()
def finish(run: Identifier) -> None:
    """Let a paused run answer from its findings so far, within its remaining budget."""
    with open_client(read_settings()) as client:
        found = client.post(f"/v1/runs/{_resolve_run(client, run)}/finish", {})
    _print_run_state(found)


def _print_run_state(run: dict[str, Any]) -> None:
    console = Console()
    console.print(f"The run is {run['state']}.", highlight=False)
    console.print(f"Follow it with `leadline runs watch {run['id']}`.", style="dim", highlight=False, soft_wrap=True)


@app.command()
def cancel(run: Identifier) -> None:
    """Cancel a run.

    A run that has ended is not changed.
    """
    with open_client(read_settings()) as client:
        found = client.post(f"/v1/runs/{_resolve_run(client, run)}/cancel", {})
    Console().print(f"The run is {found['state']}.", highlight=False)


@app.command()
def delete(run: Identifier) -> None:
    """Delete a run that has ended, with its answer and log."""
    with open_client(read_settings()) as client:
        client.delete(f"/v1/runs/{_resolve_run(client, run)}")
    Console().print("Deleted the run.", highlight=False)


def _resolve_run(client: Client, prefix: str) -> str:
    return resolve_id(client, prefix, path="/v1/runs", member="runs", noun="run")


def build_step_tree(run: dict[str, Any], events: Iterable[dict[str, Any]], *, with_code: bool = False) -> Tree:
    """Build a tree of a run's steps, in order. Consecutive sub-calls with the same purpose share a line.

    With `with_code`, the whole code of each step and its result are below its line.
    """
    root = Tree(f"[bold]{escape(run['question'])}[/bold]  ({run['state']}, attempt {run['attempt']})", highlight=False)
    for _, group in groupby(events, key=_get_group_key):
        steps = list(group)
        if line := _format_step_line(steps):
            step, body = root.add(line), steps[-1]["body"]
            for name in ("code", "sql", "output", "error") if with_code and steps[-1]["kind"] != "call" else ():
                if body.get(name):
                    step.add(Text(remove_control_chars(body[name].rstrip()), style="" if name != "output" else "dim"))
    return root


def _get_group_key(event: dict[str, Any]) -> object:
    """Return the grouping key of an event. Consecutive events with equal keys share a line."""
    kind = event["kind"]
    if kind == "call":
        return kind, event["body"].get("purpose")
    return kind if kind == "working" else event["sequence"]


def _format_step_line(events: list[dict[str, Any]]) -> str:
    """Return the line of these events, or an empty string if they say nothing that other steps do not."""
    kind, body = events[-1]["kind"], events[-1]["body"]
    if body.get("withheld"):
        return f"{kind}: hidden because it may use a document that you cannot access"
    match kind:
        case "call":
            return _format_sub_calls(events)
        case "cell":
            return _format_program_step(body)
        case "lost":
            return escape(f"{name_purpose(body['purpose'], _TEXTS)}: a model call failed ({body['code']})")
        case "end":
            return escape(": ".join(filter(None, (body["state"], body.get("detail")))))
    return escape(describe_step(kind, body, _TEXTS))


def _format_program_step(body: dict[str, Any]) -> str:
    """Return the title of a step, its number of model calls, its duration, and the last line of its error, if any."""
    calls = format_count(body["sub_calls"], "model call") if body.get("sub_calls") else ""
    measures = ", ".join(filter(None, (calls, f"{body.get('seconds', 0.0):.1f} s")))
    line = f"{escape(name_cell(body, _TEXTS))} [dim]({measures})[/dim]"
    error = shorten_text((body["error"] or "").strip().rpartition("\n")[2])
    return f"{line} [red]{escape(error)}[/red]" if error else line


def _format_sub_calls(events: list[dict[str, Any]]) -> str:
    bodies = [event["body"] for event in events]
    read = sum(body["usage"]["prompt_tokens"] for body in bodies if not body.get("cached"))
    cached = sum(bool(body.get("cached")) for body in bodies)
    failed = sum("code" in body for body in bodies)
    purpose, calls = name_purpose(bodies[0]["purpose"], _TEXTS), format_count(len(bodies), "model call")
    text = f"{purpose}: {calls}, {format_count(read, 'token')} read"
    text += f", {cached:,} from the cache" if cached else ""
    return escape(text) + (f", [red]{failed:,} failed[/red]" if failed else "")


def _iter_events(client: Client, run_id: str) -> Iterator[dict[str, Any]]:
    """Yield all events that a run has logged so far."""
    cursor: str | None = None
    while True:
        page = client.get(
            f"/v1/runs/{run_id}/events", headers={"Accept": "application/json"}, limit=1000, cursor=cursor
        )
        yield from page["events"]
        cursor = page["next_cursor"]
        if cursor is None or not page["events"]:
            return


def _print_run_outcome(console: Console, run: dict[str, Any]) -> None:
    usage = run["usage"]
    console.print(
        f"[bold]{run['state']}[/bold] · {format_count(usage['calls'], 'call')} · "
        f"{format_count(usage['prompt_tokens'], 'token')} read · "
        f"{run['seconds']:.1f} s",
        highlight=False,
    )
    if run["state"] == RunState.PAUSED:
        met = (run["progress"] or {}).get("paused", "Its budget is used up.")
        console.print(
            f"{met} Raise its limits ({', '.join(run['budget'])}) with `leadline runs continue {run['id']}`, or let it "
            f"answer from its findings so far with `leadline runs finish {run['id']}`.",
            style="yellow",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
    if run["failure"]:
        failure = run["failure"]
        console.print(f"[red]{escape(failure['detail'])}[/red] {escape(failure['hint'])}", highlight=False)
    if run["answer"]:
        print_answer(console, run["answer"])
