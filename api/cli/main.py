"""`leadline`: the root command and the list of its subcommands."""

import logging
import sys
from importlib.metadata import version as release_of
from typing import Annotated

import typer
from rich.text import Text

from api.cli.console import Console
from api.cli.console_logging import configure_logging
from api.cli.deferred import CommandTarget, build_command_group
from api.cli.hints import get_command_line_hint
from api.cli.installation_notice import describe_installation
from ingest.storage.audit.records import actor_context, build_command_line_actor
from ingest.storage.errors import LeadlineError
from ingest.storage.permissions import make_new_files_private

# Names of the panels of `leadline --help`.
_SERVICE = "Service"
_DOCUMENTS = "Documents and questions"
_ADMINISTRATION = "Administration"
_STORAGE = "Index and storage"
_CLUSTER = "Cluster"

# Commands with their help texts, in the order of `leadline --help`, which shows these texts without importing the
# commands. Each text repeats the first paragraph of the command's own help.
COMMANDS = {
    "up": CommandTarget(
        "api.cli.up:up", "Start the service in one process: API, workers, index and language model.", _SERVICE
    ),
    "sign-in": CommandTarget(
        "api.cli.sign_in:sign_in", "Print a one-time link that signs a person in to the portal.", _SERVICE
    ),
    "doctor": CommandTarget(
        "api.cli.doctor:doctor",
        "Check everything the service needs, and report problems and how to fix them.",
        _SERVICE,
    ),
    "plan": CommandTarget(
        "api.cli.plan:app", "Estimate the machines, GPUs and time that documents, questions and models need.", _SERVICE
    ),
    "models": CommandTarget("api.cli.models:models", "List, fetch and verify model files.", _SERVICE),
    "ingest": CommandTarget(
        "api.cli.ingest:ingest", "Upload files and folders, and wait until they are ready.", _DOCUMENTS
    ),
    "ask": CommandTarget(
        "api.cli.ask:ask", "Ask a question and see the source of each sentence in the answer.", _DOCUMENTS
    ),
    "estimate": CommandTarget(
        "api.cli.estimate:estimate", "Estimate what a question reads and may spend, without asking it.", _DOCUMENTS
    ),
    "chat": CommandTarget("api.cli.chat:chat", "Have a conversation in the terminal.", _DOCUMENTS),
    "conversations": CommandTarget(
        "api.cli.conversations:app", "List, search, rename, export and delete saved conversations.", _DOCUMENTS
    ),
    "search": CommandTarget("api.cli.search:search", "Search for passages without writing an answer.", _DOCUMENTS),
    "runs": CommandTarget(
        "api.cli.runs:app", "List, show, watch, continue, finish, cancel and delete background runs.", _DOCUMENTS
    ),
    "documents": CommandTarget(
        "api.cli.documents:app",
        "List, show and move documents, and change their metadata, title, readers and cards.",
        _DOCUMENTS,
    ),
    "batch": CommandTarget("api.cli.batch:app", "Show, list and cancel batches of uploads.", _DOCUMENTS),
    "eval": CommandTarget("api.cli.evaluate:app", "Measure search quality on judged questions.", _DOCUMENTS),
    "tenants": CommandTarget(
        "api.cli.tenants:app", "Create, list, rename, suspend, export and delete tenants.", _ADMINISTRATION
    ),
    "users": CommandTarget(
        "api.cli.users:app", "Create, list and delete users, and assign them to groups.", _ADMINISTRATION
    ),
    "identity": CommandTarget(
        "api.cli.identity:app", "Compare the identity provider with the settings, and explain a token.", _ADMINISTRATION
    ),
    "keys": CommandTarget("api.cli.keys:app", "Create, list, rotate and revoke API keys.", _ADMINISTRATION),
    "collections": CommandTarget(
        "api.cli.collections:app", "List and rename collections, and manage who can use them.", _ADMINISTRATION
    ),
    "sources": CommandTarget(
        "api.cli.sources:app",
        "Add, list, check, synchronize, pause and remove sources whose documents stay in sync.",
        _ADMINISTRATION,
    ),
    "audit": CommandTarget(
        "api.cli.audit:app", "List, verify and export the audit log of who did what, and when.", _ADMINISTRATION
    ),
    "quotas": CommandTarget(
        "api.cli.quotas:app", "Show and set quotas of tenants and keys, and show usage.", _ADMINISTRATION
    ),
    "queue": CommandTarget(
        "api.cli.queue:app", "Show queued jobs, and pause or resume a kind of work.", _ADMINISTRATION
    ),
    "replies": CommandTarget(
        "api.cli.replies:app", "Show and clear the cache of language model replies.", _ADMINISTRATION
    ),
    "slack": CommandTarget(
        "api.cli.slack:app", "Set up the Slack app, check its tokens, and manage its workspaces.", _ADMINISTRATION
    ),
    "index": CommandTarget(
        "api.cli.index:app",
        "Manage the vector index: migrate it to another encoder or layout and back, verify, repair and rebuild it.",
        _STORAGE,
    ),
    "blobs": CommandTarget(
        "api.cli.blobs:app", "Show where files are stored, generate encryption keys, and re-encrypt files.", _STORAGE
    ),
    "installation": CommandTarget(
        "api.cli.installation:app",
        "Show which catalog, files and index belong together, and re-link them after a move.",
        _STORAGE,
    ),
    "backup": CommandTarget(
        "api.cli.backup:app",
        "Back up the catalog, files and keys while the service runs, or verify a backup.",
        _STORAGE,
    ),
    "restore": CommandTarget(
        "api.cli.backup:restore",
        "Restore a backup into an empty data folder and database, and rebuild the index.",
        _STORAGE,
    ),
    "verify": CommandTarget(
        "api.cli.backup:verify_installation", "Compare every file of the installation with its digest.", _STORAGE
    ),
    "api": CommandTarget("api.cli.cluster:api", "Start an API process of a cluster.", _CLUSTER),
    "worker": CommandTarget("api.cli.cluster:worker", "Start a Celery worker of a cluster.", _CLUSTER),
    "beat": CommandTarget(
        "api.cli.cluster:beat", "Start the scheduler of a cluster, which triggers the recovery of lost jobs.", _CLUSTER
    ),
    "migrate": CommandTarget("api.cli.cluster:migrate", "Migrate the catalog to this release's schema.", _CLUSTER),
}

app = typer.Typer(
    name="leadline",
    cls=build_command_group(COMMANDS),
    help="Ask questions about your documents and see the source of each sentence in the answer.\n\n"
    "Settings are environment variables that begin with LEADLINE_. `leadline doctor` checks them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _print_version(is_requested: bool) -> None:
    if is_requested:
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
    """Run the command line. For a `LeadlineError`, print the detail and hint instead of a traceback."""
    # guard: private-files
    make_new_files_private()
    try:
        with actor_context(build_command_line_actor()):
            app()
    except LeadlineError as error:
        console = Console(stderr=True)
        console.print(Text.assemble(("Error: ", "red"), error.detail), soft_wrap=True)
        for line in filter(None, (get_command_line_hint(error), describe_installation())):
            console.print(Text(line), soft_wrap=True)
        sys.exit(1)
