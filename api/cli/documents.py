"""`leadline documents`: list, show and move documents, and change their metadata, title, readers and cards."""

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer
from rich.markup import escape

from api.cli.client import open_client
from api.cli.console import Console
from api.cli.environment import read_settings
from api.cli.filters import FilterOption, MetadataOption, parse_attributes
from api.cli.hints import describe_failure
from api.cli.identifiers import resolve_id
from api.cli.listing import Listing
from api.client import Client

app = typer.Typer(
    help="List, show and move documents, and change their metadata, title, readers and cards.", no_args_is_help=True
)

Identifier = Annotated[str, typer.Argument(help="The document's id, or its beginning, from `leadline documents list`.")]
_LIST_FIELDS = frozenset({"subjects", "periods", "dates", "outline"})
AsJson = Annotated[bool, typer.Option("--json", help="Print the API's JSON.")]


@app.command("list")
def list_documents(
    collection: Annotated[str | None, typer.Option(help="Only documents in this collection.")] = None,
    limit: Annotated[int, typer.Option(help="Maximum number of documents.", min=1, max=500)] = 50,
    filters: FilterOption = None,
    as_json: AsJson = False,
) -> None:
    """List documents, oldest first."""
    wanted = json.dumps(parse_attributes(filters)) if filters else None
    with open_client(read_settings()) as client:
        documents = client.get("/v1/documents", limit=limit, collection=collection, filters=wanted)["documents"]
    if as_json:
        print(json.dumps(documents, ensure_ascii=False))
        return
    table = Listing(
        ("id", "name", "collection", "state", "kind", "periods", "readers"),
        texts=("name", "kind", "periods", "readers"),
        optional=("collection", "readers", "periods", "kind"),
    )
    for each in documents:
        table.add(
            each["id"],
            each["name"],
            each["collection"],
            each["state"],
            _format_field(each, "kind"),
            _format_field(each, "periods"),
            _format_readers(each),
        )
    table.print()


@app.command()
def show(document_id: Identifier, as_json: AsJson = False) -> None:
    """Show a document's state, metadata, readers and card."""
    with open_client(read_settings()) as client:
        _print_document(client.get(f"/v1/documents/{_resolve_document(client, document_id)}"), as_json=as_json)


@app.command()
def change(
    document_id: Identifier,
    metadata: MetadataOption = None,
    unset: Annotated[list[str] | None, typer.Option(help="Remove this metadata attribute; may be repeated.")] = None,
    title: Annotated[
        str | None, typer.Option(help='The title to show; "" restores the title from the content.')
    ] = None,
    reader: Annotated[
        list[str] | None,
        typer.Option(help="Restrict access to this user or group, such as user:ann or group:hr; may be repeated."),
    ] = None,
    everybody: Annotated[bool, typer.Option("--everybody", help="Open the document to the whole tenant.")] = False,
    as_json: AsJson = False,
) -> None:
    """Change a document's metadata, title or readers.

    The change applies to searches and answers immediately.
    """
    if reader and everybody:
        raise typer.BadParameter("Use either --reader or --everybody, not both.")
    body: dict[str, Any] = {"metadata": {**parse_attributes(metadata), **dict.fromkeys(unset or ())}}
    if title is not None:
        body["title"] = title or None
    if reader or everybody:
        body["readers"] = None if everybody else reader
    with open_client(read_settings()) as client:
        _print_document(client.patch(f"/v1/documents/{_resolve_document(client, document_id)}", body), as_json=as_json)


@app.command()
def move(
    collection: Annotated[str, typer.Argument(help="The collection to move the documents to. It must exist.")],
    document_ids: Annotated[list[str] | None, typer.Argument(help="The document ids.")] = None,
    source: Annotated[
        str | None, typer.Option("--from", help="Instead of ids: move all documents of this collection.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Move documents to another collection.

    The new collection's grants apply immediately. If the command is interrupted, run it again to move the rest.
    """
    if bool(document_ids) == bool(source):
        raise typer.BadParameter("Name the documents by their ids, or a collection with --from, but not both.")
    with open_client(read_settings()) as client:
        moved = client.move_documents(collection, {"collection": source} if source else document_ids or ())
    if as_json:
        print(moved.model_dump_json(exclude={"next_cursor"}))
    else:
        console = Console()
        console.print(f"Moved to {escape(collection)}: {moved.done:,}", highlight=False)
        for each in moved.refused:
            reason = str(each.problem["detail"])
            console.print(f"Not moved: {each.id}: {escape(reason)}", highlight=False, soft_wrap=True)
    if moved.refused:
        raise typer.Exit(1)


@app.command()
def card(
    document_id: Identifier,
    values: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="Set a field of the card, such as kind=contract or periods=2023-Q2; may be repeated, also for several"
            " values of a list. A field without a value, such as subjects=, says that the document has none.",
        ),
    ] = None,
    remove: Annotated[
        list[str] | None,
        typer.Option(help="Use the value found in the document for this field again; may be repeated."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Change what tells a document apart: its title, kind, subjects, periods, dates, version, language and outline.

    The change applies to searches, filters and facets immediately, and outlasts new versions of the document.
    """
    change: dict[str, Any] = {**_parse_card_values(values or ()), **dict.fromkeys(remove or ())}
    if not change:
        raise typer.BadParameter("Name a field with --set or --remove, such as --set kind=contract.")
    with open_client(read_settings()) as client:
        document_id = _resolve_document(client, document_id)
        client.change_card(document_id, **change)
        _print_document(client.get(f"/v1/documents/{document_id}"), as_json=as_json)


def _resolve_document(client: Client, prefix: str) -> str:
    return resolve_id(client, prefix, path="/v1/documents", member="documents", noun="document", order="newest")


def _parse_card_values(assignments: Sequence[str]) -> dict[str, Any]:
    """Parse `FIELD=VALUE` assignments. Repeated fields that are lists get all values."""
    found: dict[str, Any] = {}
    for each in assignments:
        name, equals, value = each.partition("=")
        if not name or not equals:
            raise typer.BadParameter(f"{each!r} is not in the format FIELD=VALUE")
        if name in _LIST_FIELDS:
            found[name] = [*found.get(name, ()), *([value] if value else ())]
        else:
            found[name] = value
    return found


def _print_document(document: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(document, ensure_ascii=False))
        return
    console = Console()
    labels = {"name": "name", "title": "title", "collection": "collection", "state": "state"}
    for label, member in labels.items():
        console.print(f"{label}: {escape(str(document[member]))}", highlight=False)
    if document["failure"]:
        console.print(f"failure: {escape(describe_failure(document['failure']))}", highlight=False, soft_wrap=True)
    metadata = json.dumps(document["metadata"], ensure_ascii=False)
    console.print(f"metadata: {escape(metadata)}", highlight=False)
    console.print(f"readers: {escape(_format_readers(document))}", highlight=False)
    known = document["card"]["origins"] if document["card"] else {}
    for name in (each for each in known if each != "title" and _format_field(document, each)):
        console.print(f"{name}: {escape(_format_field(document, name))} [dim]({known[name]})[/dim]", highlight=False)
    if document["omissions"]:
        console.print(f"left out: {escape(format_omissions(document['omissions']))}", highlight=False)


def format_omissions(omissions: Sequence[Mapping[str, Any]]) -> str:
    """Describe the parts of a file that its text omits.

    For example: `3 images (pages 2, 7); 1 page without text (page 4)`.
    """
    return "; ".join(each["words"] for each in omissions)


def _format_field(document: dict[str, Any], name: str) -> str:
    value = (document["card"] or {"fields": {}})["fields"].get(name) or ""
    return value if isinstance(value, str) else ", ".join(value)


def _format_readers(document: dict[str, Any]) -> str:
    readers = document["readers"]
    return "everyone" if readers is None else ", ".join(readers) or "no one"
