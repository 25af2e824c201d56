"""`leadline audit`: list, verify and export the audit log."""

import json
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from api.cli.cluster import open_configured_catalog
from api.cli.console import Console
from api.cli.listing import Listing
from ingest.storage.audit.records import Anchor, AuditEntry
from ingest.storage.audit.store import AuditFilter
from ingest.storage.errors import LeadlineError

app = typer.Typer(help="List, verify and export the audit log of who did what, and when.", no_args_is_help=True)

Tenant = Annotated[str | None, typer.Option(help="Only entries about this tenant.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object per line, like `export`.")]


class AuditBrokenError(LeadlineError):
    """The hash chain of the audit log is broken because entries were changed, removed or inserted."""

    code = "audit_broken"
    default_hint = (
        "Compare the log with an earlier export, and find out who had write access to the catalog's database."
    )


@app.command("list")
def list_entries(
    tenant: Tenant = None,
    action: Annotated[
        str | None, typer.Option(help="Only entries with this action, such as `document.deleted`.")
    ] = None,
    object_: Annotated[
        str | None, typer.Option("--object", help="Only entries about this object, as `kind:id`.")
    ] = None,
    limit: Annotated[int, typer.Option(help="Maximum number of entries.", min=1)] = 50,
    as_json: AsJson = False,
) -> None:
    """List the newest entries."""
    audit_filter = AuditFilter(tenant, whole=tenant is None, action=action, object=object_)
    with open_configured_catalog() as opened:
        entries = opened.audit.list_latest(audit_filter, limit=limit)
    if as_json:
        for entry in entries:
            print(json.dumps(entry.to_json()))
        return
    table = Listing(
        ("number", "at", "tenant", "who", "action", "object", "result"),
        texts=("who",),
        optional=("result", "tenant"),
    )
    for entry in entries:
        at = f"{datetime.fromtimestamp(entry.at, UTC):%Y-%m-%d %H:%M:%S}Z"
        texts = (entry.tenant_id or "", _format_actor(entry), entry.action, entry.object, entry.result)
        table.add(str(entry.sequence), at, *texts)
    table.print()


@app.command()
def verify(
    anchor: Annotated[
        str | None,
        typer.Option(help="The head printed by an earlier `export` or `verify`; detects entries removed from the end."),
    ] = None,
) -> None:
    """Verify the hash chain of the whole log.

    Exits with status 1 if entries were changed, removed or inserted.
    """
    try:
        expected = anchor and Anchor.parse(anchor)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--anchor") from error
    with open_configured_catalog() as opened:
        found = opened.audit.verify(expected or None)
    if found.faults:
        for fault in found.faults:
            print(f"{fault.sequence}: {fault.detail}")
        raise AuditBrokenError(f"The hash chain of the audit log breaks at entry {found.faults[0].sequence}.")
    print(f"The hash chain of all {found.entries:,} entries is intact. Head: {found.head}")


@app.command()
def export(
    file: Annotated[Path, typer.Argument(help="The file to write, one JSON object per line; `-` for standard output.")],
    tenant: Tenant = None,
    after: Annotated[int, typer.Option(help="Only entries with a higher number.", min=0)] = 0,
) -> None:
    """Export the log to a file, oldest entry first, and print its head.

    Keep the head where no one can change it: `leadline audit verify --anchor` checks the log against it.
    """
    audit_filter = AuditFilter(tenant, whole=tenant is None)
    written = 0
    with open_configured_catalog() as opened:
        head = opened.audit.load_head()
        with nullcontext() if str(file) == "-" else file.open("w") as out:
            for entry in opened.audit.iter_entries(audit_filter, after=after, last_sequence=head.sequence):
                print(json.dumps(entry.to_json()), file=out)
                written += 1
    Console(stderr=True, soft_wrap=True).print(f"{written:,} entries. Head: {head}", highlight=False)


def _format_actor(entry: AuditEntry) -> str:
    parts = (entry.actor.kind.value, entry.actor.key_id, entry.actor.user)
    return " ".join(part for part in parts if part)
