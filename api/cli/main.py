"""`leadline`: run the service, upload documents, ask questions and administer an installation."""

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

# In the order of `leadline --help`, which shows these texts without importing the commands. Each text is the first
# paragraph of the command's own help.
COMMANDS = {
    "up": Target(
        "api.cli.up:up",
        "Start the service in one process: API, workers, index and language model.",
    ),
    "sign-in": Target("api.cli.sign_in:sign_in", "Print a one-time link that signs a person in to the portal."),
    "api": Target(
        "api.cli.cluster:api",
        "Start an API process of a cluster.",
    ),
    "worker": Target(
        "api.cli.cluster:worker",
        "Start a Celery worker of a cluster.",
    ),
    "beat": Target(
        "api.cli.cluster:beat",
        "Start the scheduler of a cluster, which triggers the recovery of lost jobs.",
    ),
    "migrate": Target(
        "api.cli.cluster:migrate",
        "Migrate the catalog to this release's schema.",
    ),
    "ingest": Target(
        "api.cli.ingest:ingest",
        "Upload files and folders, and wait until they are ready.",
    ),
    "ask": Target("api.cli.ask:ask", "Ask a question and see the source of each sentence in the answer."),
    "chat": Target("api.cli.chat:chat", "Hold a conversation in the terminal."),
    "conversations": Target("api.cli.conversations:app", "List, show and delete saved conversations."),
    "search": Target("api.cli.search:search", "Search for passages, without writing an answer."),
    "doctor": Target(
        "api.cli.doctor:doctor",
        "Check everything the service needs, and report problems and how to fix them.",
    ),
    "plan": Target(
        "api.cli.plan:app", "Estimate the machines, GPUs and time that documents, questions and models need."
    ),
    "eval": Target("api.cli.evaluate:app", "Measure search quality on judged questions."),
    "tenants": Target("api.cli.tenants:app", "Create, list, rename, suspend, export and delete tenants."),
    "users": Target("api.cli.users:app", "Create, list and delete users, and assign them to groups."),
    "keys": Target("api.cli.keys:app", "Create, list, rotate and revoke API keys."),
    "collections": Target("api.cli.collections:app", "List collections and manage who can use them."),
    "audit": Target("api.cli.audit:app", "List, verify and export the audit log of who did what, and when."),
    "quotas": Target("api.cli.quotas:app", "Show and set quotas of tenants and keys, and show usage."),
    "queue": Target("api.cli.queue:app", "Show queued jobs, and pause or resume a kind of work."),
    "runs": Target(
        "api.cli.runs:app",
        "List, show, watch, continue, finish, cancel and delete background runs.",
    ),
    "documents": Target(
        "api.cli.documents:app", "List and show documents, and change their metadata, title and readers."
    ),
    "batch": Target("api.cli.batch:app", "Show, list and cancel batches of uploads."),
    "replies": Target("api.cli.replies:app", "Show and clear the cache of language model replies."),
    "index": Target(
        "api.cli.index:app",
        "Manage the vector index: migrate to another encoder or layout and back, verify, repair and rebuild it.",
    ),
    "slack": Target("api.cli.slack:app", "Set up the Slack app, check its tokens, and manage its workspaces."),
    "blobs": Target(
        "api.cli.blobs:app", "Show where files are stored, generate encryption keys, and re-encrypt files."
    ),
    "installation": Target(
        "api.cli.installation:app",
        "Show which catalog, files and index belong together, and re-link them after a move.",
    ),
    "backup": Target(
        "api.cli.backup:app",
        "Back up the catalog, files and keys while the service runs, or verify a backup.",
    ),
    "restore": Target(
        "api.cli.backup:restore",
        "Restore a backup into an empty data folder and database, and rebuild the index.",
    ),
    "verify": Target(
        "api.cli.backup:verify_installation",
        "Compare every file of the installation with its digest.",
    ),
    "models": Target("api.cli.models:models", "List, fetch and verify model files."),
}

app = typer.Typer(
    name="leadline",
    cls=build_group(COMMANDS),
    help="Ask questions about your documents and see the source of each sentence in the answer.\n\n"
    "Settings are environment variables that begin with LEADLINE_. `leadline doctor` checks them.",
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
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log progress to standard error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Configure logging. Settings are read from environment variables that begin with `LEADLINE_`."""
    configure_logging(logging.INFO if verbose else logging.WARNING)


def main() -> None:
    """Run the command line. Prints a `LeadlineError` as a sentence and a hint instead of a traceback."""
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
