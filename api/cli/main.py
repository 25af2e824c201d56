"""`leadline`: starts the service, uploads documents, asks, and measures."""

import logging
import sys
from importlib.metadata import version as release_of
from typing import Annotated

import typer
from rich.console import Console

from api.cli.console_logging import configure_logging
from api.cli.deferred import Target, build_group
from ingest.storage.audit.records import actor_context, build_command_line_actor
from ingest.storage.errors import LeadlineError
from ingest.storage.permissions import make_new_files_private

# In the order of `leadline --help`, which imports none of them.
COMMANDS = {
    "up": Target(
        "api.cli.up:up",
        "Start the service: API, workers, index and language model in one process. Ctrl-C drains and stops it.",
    ),
    "sign-in": Target(
        "api.cli.sign_in:sign_in", "Print a link to the portal that signs in whoever opens it first, within an hour."
    ),
    "api": Target(
        "api.cli.cluster:api",
        "Start one API process of a cluster. Needs LEADLINE_DATABASE_URL, _REDIS_URL, _QDRANT_URL and _HOME.",
    ),
    "worker": Target(
        "api.cli.cluster:worker",
        "Start one Celery worker of a cluster; any number of them may run, each on one queue or all.",
    ),
    "beat": Target(
        "api.cli.cluster:beat",
        "Start the clock that triggers the search for lost and forgotten jobs. One is enough; two do no harm.",
    ),
    "migrate": Target(
        "api.cli.cluster:migrate",
        "Bring the catalog's schema to this release, and end. Needs LEADLINE_DATABASE_URL, or else LEADLINE_HOME.",
    ),
    "ingest": Target(
        "api.cli.ingest:ingest",
        "Upload documents as one batch, and wait until they are searchable (BM25) and ready (vectors too).",
    ),
    "ask": Target("api.cli.ask:ask", "Ask a question, and see where each sentence of the answer comes from."),
    "chat": Target("api.cli.chat:chat", "Ask one question after another: a conversation, which is kept."),
    "conversations": Target("api.cli.conversations:app", "List, show and delete kept conversations."),
    "search": Target("api.cli.search:search", "Find passages; without --rewrite no language model is asked."),
    "doctor": Target(
        "api.cli.doctor:doctor",
        "Check everything the service needs and say how to fix what is missing; ends with 1 if anything is.",
    ),
    "plan": Target("api.cli.plan:app", "Say what documents, questions and models take, before a machine is rented."),
    "eval": Target("api.cli.evaluate:app", "Measure how good searches are, on judged questions."),
    "tenants": Target("api.cli.tenants:app", "Make, list, rename, suspend, export and delete tenants."),
    "users": Target("api.cli.users:app", "Make, list and delete users, and put them into groups."),
    "keys": Target("api.cli.keys:app", "Make, list, rotate and revoke API keys."),
    "collections": Target("api.cli.collections:app", "List collections, and say who may use them."),
    "audit": Target("api.cli.audit:app", "List, verify and export the log of who did what, and when."),
    "quotas": Target("api.cli.quotas:app", "Show and set quotas of tenants and keys; show what was used."),
    "queue": Target("api.cli.queue:app", "Show what waits; pause and resume a kind of work."),
    "runs": Target(
        "api.cli.runs:app",
        "List, show, watch, continue, finish, cancel and delete answers that are made in the background.",
    ),
    "documents": Target("api.cli.documents:app", "List and show documents; change their metadata, title and readers."),
    "batch": Target("api.cli.batch:app", "Show, list and cancel batches of uploads."),
    "replies": Target("api.cli.replies:app", "Show how much of language models' replies is kept, and forget them."),
    "index": Target(
        "api.cli.index:app",
        "Move the vector index to another encoder or collection and back, compare it with the catalog, make it again.",
    ),
    "slack": Target("api.cli.slack:app", "Set the Slack app up, try its tokens, and list its workspaces."),
    "blobs": Target("api.cli.blobs:app", "Show where files are kept, make keys that seal them, and seal them anew."),
    "installation": Target(
        "api.cli.installation:app",
        "Show which catalog, files and index belong together, and tie them after a deliberate move.",
    ),
    "backup": Target(
        "api.cli.backup:app",
        "Copy catalog, files and keys to a folder while the service runs: `leadline backup FOLDER`; or verify a copy.",
    ),
    "restore": Target(
        "api.cli.backup:restore",
        "Put a backup back into an empty home and database, and make the index again; no service may run.",
    ),
    "verify": Target(
        "api.cli.backup:verify_installation",
        "Compare every file of the installation with its digest; ends with 1 if one is wrong. The service may run.",
    ),
    "models": Target("api.cli.models:models", "The model files: list, fetch and verify them."),
}

app = typer.Typer(
    name="leadline",
    cls=build_group(COMMANDS),
    help="Ask a body of documents, and see where each sentence of the answer comes from and how it was checked.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _print_version(is_asked: bool) -> None:
    if is_asked:
        typer.echo(f"leadline {release_of('leadline')}")
        raise typer.Exit


@app.callback()
def configure(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log what happens, to standard error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the release, and end.")
    ] = False,
) -> None:
    """Leadline. Settings are environment variables that begin with LEADLINE_; `leadline doctor` shows them."""
    configure_logging(logging.INFO if verbose else logging.WARNING)


def main() -> None:
    """Run the command line: an error of ours becomes a sentence and the next step, not a traceback."""
    # guard: private-files
    make_new_files_private()
    try:
        with actor_context(build_command_line_actor()):
            app()
    except LeadlineError as error:
        Console(stderr=True).print(f"[red]Error:[/red] {error.detail}", highlight=False)
        if error.hint:
            Console(stderr=True).print(f"{error.hint}", highlight=False)
        sys.exit(1)
