"""`leadline conversations`: list, search, show, rename, export and delete saved conversations."""

import json
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.markup import escape

from api.cli.answer_view import print_answer, shorten_text
from api.cli.client import open_client
from api.cli.console import Console, remove_control_chars
from api.cli.environment import read_settings
from api.cli.identifiers import resolve_id
from api.cli.listing import Listing
from api.client import Client

app = typer.Typer(help="List, search, rename, export and delete saved conversations.", no_args_is_help=True)

Identifier = Annotated[
    str, typer.Argument(help="The conversation's id, or its beginning, from `leadline conversations list`.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

_TITLE_CHARS = 80


@app.command("list")
def list_conversations(
    limit: Annotated[int, typer.Option(help="Maximum number of conversations.", min=1, max=500)] = 20,
    as_json: AsJson = False,
) -> None:
    """List conversations, newest first.

    Continue one with `leadline chat --conversation ID`.
    """
    with open_client(read_settings()) as client:
        found = client.get("/v1/conversations", limit=limit)["conversations"]
    _print_conversations(found, as_json=as_json)


@app.command()
def search(
    words: Annotated[str, typer.Argument(help="Words that the conversation must contain.")],
    limit: Annotated[int, typer.Option(help="Maximum number of conversations.", min=1, max=500)] = 20,
    as_json: AsJson = False,
) -> None:
    """Find conversations by words in their titles, questions and answers."""
    with open_client(read_settings()) as client:
        found = list(islice(client.conversations(search=words), limit))
    _print_conversations([each.model_dump(mode="json") for each in found], as_json=as_json)


@app.command()
def rename(
    conversation: Identifier, title: Annotated[str, typer.Argument(help="The new title, of at most 200 characters.")]
) -> None:
    """Rename a conversation."""
    with open_client(read_settings()) as client:
        renamed = client.rename_conversation(_resolve_conversation(client, conversation), title)
    Console().print(f"Renamed the conversation to “{escape(renamed.title)}”.", highlight=False, soft_wrap=True)


@app.command()
def export(
    conversation: Identifier,
    form: Annotated[Literal["markdown", "json"], typer.Option(help="Markdown for people, or JSON for programs.")] = (
        "markdown"
    ),
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write to this file.")] = None,
) -> None:
    """Export a conversation with its sources and the checks of its statements."""
    with open_client(read_settings()) as client:
        content = client.export_conversation(_resolve_conversation(client, conversation), form=form)
    if output is None:
        print(remove_control_chars(content) if form == "markdown" else content, end="")
    else:
        output.write_text(content, encoding="utf-8")


@app.command()
def show(conversation: Identifier, as_json: AsJson = False) -> None:
    """Show every question of a conversation with its answer and sources."""
    with open_client(read_settings()) as client:
        found = _fetch_conversation(client, _resolve_conversation(client, conversation))
    if as_json:
        print(json.dumps(found, ensure_ascii=False))
        return
    console = Console()
    notes: list[str] = []
    for turn in found["turns"]:
        console.print(f"\n[bold]> {escape(turn['question'])}[/bold]", highlight=False, soft_wrap=True)
        print_answer(console, turn["answer"], printed_notes=notes)
        notes += turn["answer"]["notes"]


@app.command()
def delete(conversation: Identifier) -> None:
    """Delete a conversation and all its answers."""
    with open_client(read_settings()) as client:
        client.delete(f"/v1/conversations/{_resolve_conversation(client, conversation)}")
    Console().print("Deleted the conversation.", highlight=False)


def _print_conversations(found: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(found, ensure_ascii=False))
        return
    if not found:
        Console().print("No conversations found.")
        return
    table = Listing(
        ("conversation", "title", "answered", "last used"), texts=("title",), optional=("last used", "answered")
    )
    for each in found:
        title = shorten_text(each["title"], _TITLE_CHARS)
        if each.get("excerpt"):
            title += f": {shorten_text(each['excerpt'])}"
        table.add(each["id"], title, f"{each['answered']:,}", each["updated_at"][:16].replace("T", " "))
    table.print()


def _resolve_conversation(client: Client, prefix: str) -> str:
    return resolve_id(client, prefix, path="/v1/conversations", member="conversations", noun="conversation")


def _fetch_conversation(client: Client, conversation: str) -> dict[str, Any]:
    """Fetch a conversation with all its turns."""
    path = f"/v1/conversations/{conversation}"
    found: dict[str, Any] = client.get(path)
    while found["next_cursor"] is not None:
        page = client.get(path, cursor=found["next_cursor"])
        found["turns"] += page["turns"]
        found["next_cursor"] = page["next_cursor"]
    return found
