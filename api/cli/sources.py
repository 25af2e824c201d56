"""`leadline sources`: add, list, check, synchronize, pause and remove sources that stay in sync."""

import json
from enum import StrEnum
from typing import Annotated

import typer
from rich.markup import escape

from api.cli.client import open_client
from api.cli.console import Console
from api.cli.environment import read_settings
from api.cli.filters import parse_attributes
from api.cli.listing import Listing
from api.cli.source_view import (
    describe_item,
    describe_schedule,
    describe_state,
    find_problem,
    find_source,
    finish_sync,
    follow_sync,
    format_instant,
    format_last_sync,
    parse_interval,
    print_sync,
    read_secrets,
    require_usable,
)
from api.client import ServiceError
from api.sources.schemas import SyncOut
from ingest.storage.counts import format_count

app = typer.Typer(
    help="Add, list, check, synchronize, pause and remove sources whose documents stay in sync.", no_args_is_help=True
)

Identifier = Annotated[str, typer.Argument(help="The source's id, its beginning, or the source's name.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the API's JSON.")]
Options = Annotated[
    list[str] | None,
    typer.Option("--option", "-o", help="An option, such as path=/srv/papers; may be repeated. See `sources kinds`."),
]
Secrets = Annotated[
    list[str] | None,
    typer.Option(
        "--secret",
        help="The name of an option that is asked for, or read from a line of standard input; may be repeated.",
    ),
]
Every = Annotated[
    str, typer.Option(help="Time between syncs, such as 15m or 1d; `never` to synchronize on request only.")
]


class Documents(StrEnum):
    KEEP = "keep"
    REMOVE = "remove"


@app.command()
def kinds(as_json: AsJson = False) -> None:
    """List the kinds of sources, with their options."""
    with open_client(read_settings()) as client:
        found = client.source_kinds()
    if as_json:
        print(found.model_dump_json())
        return
    table = Listing(("kind", "option", "required", "meaning"), texts=("meaning",))
    for kind in found.kinds:
        required = kind.options.get("required", ())
        for name, option in kind.options.get("properties", {}).items():
            table.add(kind.name, name, "yes" if name in required else "", option.get("description", ""))
    table.print()


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="The name that people see.")],
    kind: Annotated[str, typer.Argument(help="The kind of source, from `leadline sources kinds`.")],
    option: Options = None,
    secret: Secrets = None,
    collection: Annotated[str, typer.Option(help="The collection of its documents.")] = "default",
    every: Every = "1h",
    check_first: Annotated[
        bool, typer.Option("--check/--no-check", help="Whether to check the source before it is added.")
    ] = True,
    wait: Annotated[bool, typer.Option(help="Show the progress of the first sync until it ends.")] = True,
    as_json: AsJson = False,
) -> None:
    """Check a source, add it, and synchronize it for the first time.

    Example: leadline sources add Papers folder -o path=/srv/papers --every 15m
    """
    options, seconds = {**parse_attributes(option), **read_secrets(secret)}, parse_interval(every)
    with open_client(read_settings()) as client:
        if check_first:
            require_usable(client.check_source(kind, options))
        source = client.create_source(name, kind, options, collection=collection, interval_seconds=seconds)
        if not as_json:
            Console().print(f"Added source {source.id}.", highlight=False)
        if as_json:
            print(source.model_dump_json())
        elif wait and source.last_sync is not None:
            finish_sync(source, follow_sync(client, source, source.last_sync))


@app.command("list")
def list_sources(as_json: AsJson = False) -> None:
    """List all sources, with the state of their last sync."""
    with open_client(read_settings()) as client:
        found = client.sources()
    if as_json:
        print(found.model_dump_json())
        return
    table = Listing(
        ("id", "name", "kind", "state", "items", "refused", "failed", "last sync", "next sync", "collection"),
        texts=("name",),
        optional=("refused", "failed", "next sync", "last sync", "collection"),
    )
    for each in found.sources:
        table.add(
            each.id,
            each.name,
            each.kind,
            describe_state(each),
            f"{each.items:,}",
            f"{each.refused_items:,}",
            f"{each.failed_documents:,}",
            format_last_sync(each),
            format_instant(each.next_sync_at),
            each.collection,
        )
    table.print()


@app.command()
def show(source: Identifier, as_json: AsJson = False) -> None:
    """Show a source, its options without credentials, and its last sync."""
    with open_client(read_settings()) as client:
        found = find_source(client, source)
    if as_json:
        print(found.model_dump_json())
        return
    console = Console()

    def print_line(text: str) -> None:
        console.print(text, highlight=False, markup=False, soft_wrap=True)

    print_line(f"{found.id} {found.name}: {found.kind}, into {found.collection}, {describe_state(found)}")
    for name, value in found.options.items():
        print_line(f"  {name} = {value if isinstance(value, str) else json.dumps(value)}")
    for name in found.credentials:
        print_line(f"  {name} is set")
    print_line(f"{found.items:,} items, {found.refused_items:,} refused. {describe_schedule(found)}")
    if found.failed_documents:
        print_line(f"See why documents failed with `leadline sources items {found.id} --failed`.")
    if found.last_sync:
        print_sync(found.last_sync)
        problem = find_problem(found.id, found.last_sync)
        if problem is not None:
            print_line(f"{problem.detail} {problem.hint}")


@app.command()
def check(source: Identifier, as_json: AsJson = False) -> None:
    """Open a source and list some of its items, without storing anything."""
    with open_client(read_settings()) as client:
        found = client.check_saved_source(find_source(client, source).id)
    if not as_json:
        require_usable(found)
        return
    print(found.model_dump_json())
    if not found.is_usable:
        raise typer.Exit(1)


@app.command("sync")
def synchronize(
    source: Identifier,
    wait: Annotated[bool, typer.Option(help="Show progress until the sync ends.")] = True,
    as_json: AsJson = False,
) -> None:
    """Synchronize a source now, and show the progress.

    Exits with status 1 if the sync fails, or waits for an approval to remove many documents.
    """
    with open_client(read_settings()) as client:
        found = find_source(client, source)
        sync = client.sync_source(found.id)
        if wait:
            sync = follow_sync(client, found, sync)
    if as_json:
        print(sync.model_dump_json())
    elif wait:
        finish_sync(found, sync)
    else:
        print_sync(sync)


@app.command()
def approve(source: Identifier) -> None:
    """Let the last sync remove a large share of the documents, and show the progress."""
    with open_client(read_settings()) as client:
        found = find_source(client, source)
        if found.last_sync is None or found.last_sync.pending_removals is None:
            raise ServiceError(
                "No sync of this source waits for an approval.", hint="List its syncs with `leadline sources history`."
            )
        removals = found.last_sync.pending_removals
        approved = client.approve_sync(found.id, found.last_sync.id, removals=removals)
        finish_sync(found, follow_sync(client, found, approved))


@app.command()
def pause(source: Identifier) -> None:
    """Pause a source: it is no longer synchronized by its schedule."""
    _set_paused(source, is_paused=True)


@app.command()
def resume(source: Identifier) -> None:
    """Resume a paused source."""
    _set_paused(source, is_paused=False)


@app.command()
def remove(
    source: Identifier,
    documents: Annotated[Documents, typer.Option(help="Whether to keep its documents, or to remove them.")],
) -> None:
    """Remove a source. Documents that are kept no longer change."""
    with open_client(read_settings()) as client:
        found = find_source(client, source)
        client.delete_source(found.id, documents=documents.value)
    kept = "Its documents are kept." if documents is Documents.KEEP else "Its documents are being removed."
    Console().print(f"Removed source {escape(found.name)}. {kept}", highlight=False)


@app.command()
def history(
    source: Identifier,
    limit: Annotated[int, typer.Option(help="Maximum number of syncs.", min=1, max=100)] = 20,
    as_json: AsJson = False,
) -> None:
    """List the syncs of a source, newest first, with what each changed."""
    with open_client(read_settings()) as client:
        identifier = find_source(client, source).id
        found = client.get(f"/v1/sources/{identifier}/syncs", limit=limit)["syncs"]
    if as_json:
        print(json.dumps(found))
        return
    columns = ("listed", "added", "changed", "removed", "refused")
    table = Listing(("id", "started", "state", *columns, "reason"), texts=("reason",), optional=("reason", "listed"))
    for each in found:
        counts = (f"{each['counts'][name]:,}" for name in columns)
        problem, count = find_problem(identifier, SyncOut.model_validate(each)), each["approved_removals"]
        approved = f"The removal of {format_count(count, 'document')} was approved." if count else ""
        reason = f"{problem.detail} {problem.hint}" if problem else approved
        table.add(each["id"], each["created_at"][:16].replace("T", " "), each["state"], *counts, reason)
    table.print()


@app.command()
def items(
    source: Identifier,
    refused: Annotated[bool, typer.Option("--refused", help="Only items without a document, with the reason.")] = False,
    gone: Annotated[
        bool, typer.Option("--gone", help="Only items that are no longer in the source; `approve` removes them.")
    ] = False,
    failed: Annotated[
        bool, typer.Option("--failed", help="Only items whose document could not be processed, with the reason.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List the items of a source with their documents, or with the reason why they were refused or failed.

    `--json` prints one object per line.
    """
    with open_client(read_settings()) as client:
        identifier = find_source(client, source).id
        for each in client.source_items(identifier, refused=refused, gone=gone, failed=failed):
            if as_json:
                print(each.model_dump_json())
            else:
                Console().print(describe_item(each), highlight=False, markup=False, soft_wrap=True)


def _set_paused(source: str, *, is_paused: bool) -> None:
    with open_client(read_settings()) as client:
        changed = client.change_source(find_source(client, source).id, paused=is_paused)
    Console().print(f"{escape(changed.name)}: {describe_schedule(changed)}", highlight=False)
