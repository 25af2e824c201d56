"""Shows sources and syncs on a terminal, and follows a sync to its end."""

import sys
import time
from collections.abc import Sequence
from datetime import datetime

import typer
from rich.markup import escape

from api.cli.console import Console
from api.cli.environment import SettingsError
from api.cli.identifiers import choose_id
from api.cli.identity_options import parse_duration
from api.cli.progress import format_duration
from api.client import Client, ServiceError
from api.sources.schemas import SourceCheckOut, SourceOut, SyncCountsOut, SyncedItemOut, SyncOut
from ingest.storage.counts import format_count

UNFINISHED = ("queued", "running")
_POLL_SECONDS = 0.5
_COUNTS = ("added", "changed", "removed", "refused")


def find_source(client: Client, text: str) -> SourceOut:
    """Return the source with this name, or the only one whose id begins with the text.

    Raises `NotFoundError` if there is none, and `RefusedError` if there are several.
    """
    found = {each.id: each for each in client.sources().sources}
    named = [each for each in found.values() if each.name == text]
    return named[0] if len(named) == 1 else found[choose_id(text, found, noun="source")]


def parse_interval(text: str) -> int:
    """Parse the time between two syncs, in seconds; 0 for `never`. Raises `SettingsError` if it is invalid."""
    try:
        return 0 if text == "never" else int(parse_duration(text).total_seconds())
    except SettingsError as error:
        raise SettingsError(error.detail, hint="Use a format such as 15m, 12h or 1d, or never.") from error


def read_secrets(names: Sequence[str] | None) -> dict[str, str]:
    """Ask for each credential without showing it, or read a line of standard input if that is no terminal."""
    is_terminal = sys.stdin.isatty()
    return {
        name: typer.prompt(name, hide_input=True) if is_terminal else sys.stdin.readline().rstrip("\n")
        for name in names or ()
    }


def follow_sync(client: Client, source: SourceOut, sync: SyncOut) -> SyncOut:
    """Show what a sync has done so far until it ends, and return it."""
    console = Console(stderr=True)
    with console.status("Synchronizing…") as status:
        while sync.state in UNFINISHED:
            time.sleep(_POLL_SECONDS)
            sync = next((each for each in client.syncs(source.id) if each.id == sync.id), sync)
            status.update(f"Synchronizing: {sync.counts.listed:,} items listed, {format_counts(sync.counts)}")
    return sync


def finish_sync(source: SourceOut, sync: SyncOut) -> None:
    """Print the result of a sync. Raises `ServiceError` with the next step if it did not complete."""
    print_sync(sync)
    problem = find_problem(source.id, sync)
    if problem is not None:
        raise problem
    if sync.counts.refused:
        text = f"See the reasons with `leadline sources items {source.id} --refused`."
        Console().print(text, highlight=False, markup=False)


def find_problem(source_id: str, sync: SyncOut) -> ServiceError | None:
    """Return why a sync did not complete, with the next step, or None if it did."""
    if sync.pending_removals is not None:
        return ServiceError(
            f"This sync would remove {sync.pending_removals:,} documents, a large share of all. None was removed.",
            hint=f"If the items are really gone, run `leadline sources approve {source_id}`.",
        )
    if sync.failure is not None:
        hint = sync.failure.hint.replace("Nothing was removed.", "").strip()
        return ServiceError(sync.failure.detail, hint=f"{hint} No document was removed.".strip())
    return None


def print_sync(sync: SyncOut) -> None:
    """Print the state of a sync and what it changed."""
    took = "" if not (sync.started_at and sync.ended_at) else f" in {format_duration(_measure(sync))}"
    text = (
        f"Sync {sync.state.replace('_', ' ')}{took}: {sync.counts.listed:,} items listed, {format_counts(sync.counts)}."
    )
    Console().print(text, highlight=False, markup=False, soft_wrap=True)


def require_usable(check: SourceCheckOut) -> None:
    """Print what a check found. Raises `ServiceError` if the source cannot be synchronized."""
    console = Console()
    for item in check.items:
        console.print(f"found {escape(item.path or item.name)}", highlight=False, soft_wrap=True)
    if check.has_more:
        console.print("and more", highlight=False)
    if check.failure is not None:
        raise ServiceError(check.failure.detail, hint=check.failure.hint)
    if not check.items:
        console.print("The source can be read, and is empty.", highlight=False)


def format_counts(counts: SyncCountsOut) -> str:
    """Format what a sync changed, such as "3 added, 1 removed"."""
    found = [f"{getattr(counts, name):,} {name}" for name in _COUNTS if getattr(counts, name)]
    return ", ".join(found) or "no changes"


def describe_state(source: SourceOut) -> str:
    """Return the state of a source in a few words, with the number of its failed documents."""
    state = "not synchronized yet" if source.last_sync is None else source.last_sync.state.replace("_", " ")
    state = "paused" if source.paused and state not in UNFINISHED else state
    failed = source.failed_documents
    return f"{state}, {format_count(failed, 'document')} failed" if failed else state


def describe_item(item: SyncedItemOut) -> str:
    """Return an item with its document, or with the reason why it was refused or its document failed."""
    name, found = item.path or item.name, item.failure or item.document_failure
    if found is None:
        return f"{name}: {item.document}"
    of_document = "" if item.failure else f" (document {item.document})"
    return f"{name}{of_document}: {found.detail} {found.hint}".strip()


def describe_schedule(source: SourceOut) -> str:
    """Return when the source is synchronized next, as a sentence."""
    if source.paused:
        return "It is paused."
    if source.next_sync_at is None:
        return "It is synchronized on request only."
    every = format_duration(source.interval_seconds)
    return f"It is synchronized every {every}, next at {format_instant(source.next_sync_at)}."


def format_last_sync(source: SourceOut) -> str:
    """Return when the last sync ended or was requested, or an empty string."""
    sync = source.last_sync
    return "" if sync is None else format_instant(sync.ended_at or sync.created_at)


def format_instant(instant: datetime | None) -> str:
    """Format a time in UTC to the minute, or return an empty string for None."""
    return "" if instant is None else f"{instant:%Y-%m-%d %H:%M}Z"


def _measure(sync: SyncOut) -> float:
    assert sync.started_at
    assert sync.ended_at
    return (sync.ended_at - sync.started_at).total_seconds()
