"""`leadline up`: run the embedded service on one machine."""

import logging
import os
import shlex
import shutil
import sys
from contextlib import ExitStack
from typing import Annotated

import typer

from api.admission.services import DEFAULT_TENANT, Services
from api.build.embedded import open_embedded_services
from api.cli.client import remove_service_file, write_service_file
from api.cli.console import Console
from api.cli.console_logging import configure_logging
from api.cli.environment import read_settings
from api.cli.fetching import fetch_missing_model_files
from api.cli.serving import exit_process, serve_requests
from api.cli.telemetry import start_tracing
from api.portal.links import build_browser_url, build_sign_in_link, ensure_portal_key

FIRST_KEY_FILE = "first-api-key"


def up(
    host: Annotated[str | None, typer.Option(help="Listen on this address instead of LEADLINE_HOST.")] = None,
    port: Annotated[int | None, typer.Option(help="Listen on this port instead of LEADLINE_PORT.")] = None,
) -> None:
    """Start the service in one process: API, workers, index and language model.

    Ctrl-C stops it gracefully.
    """
    settings = read_settings(host=host, port=port)
    configure_logging(logging.INFO, as_json=settings.log_format == "json")
    start_tracing("up")
    console = Console()
    fetch_missing_model_files(settings)
    with ExitStack() as stack:
        console.print(f"Opening {settings.home} …", highlight=False)
        services = stack.enter_context(open_embedded_services(settings))
        stack.callback(remove_service_file, settings.home)
        serve_requests(services, lambda url: _print_greeting(services, url, console))
        console.print("Stopping. Unfinished documents are processed after the next start.")
    exit_process()


def _print_greeting(services: Services, url: str, console: Console) -> None:
    write_service_file(services.settings.home, url)
    key = "$LEADLINE_API_KEY"
    console.print(
        f"\nLeadline is listening on [bold]{url}[/bold]. API reference: {url}/docs", highlight=False, soft_wrap=True
    )
    if not services.keys.list_keys(DEFAULT_TENANT):
        key = _create_first_key(services, console)
    _print_portal_link(services, url, console)
    console.print("\nTry it:", highlight=False)
    header = f'-H "Authorization: Bearer {key}"'
    leadline = _find_command()
    for line in (
        f"  {leadline} ingest FOLDER",
        f"  {leadline} ask 'a question'",
        f"  curl {header} -F file=@README.md {url}/v1/documents",
        f'  curl {header} --json \'{{"question": "What is Leadline?"}}\' {url}/v1/answers',
    ):
        console.print(line, highlight=False, soft_wrap=True, markup=False)
    console.print(f"\n{_describe_language_model(services)} Ctrl-C stops it.\n", highlight=False)


def _find_command() -> str:
    """Return `leadline`, or the path of the command if the shell would not find it by this name."""
    return "leadline" if shutil.which("leadline") else shlex.quote(sys.argv[0])


def _print_portal_link(services: Services, url: str, console: Console) -> None:
    """Print a one-time sign-in link to the portal, or only its address if the output is not a terminal."""
    address = build_browser_url(services.settings.public_url or url)
    if not console.file.isatty():
        console.print(f"\nThe portal is at {address}. Get a sign-in link with `leadline sign-in`.", highlight=False)
        return
    identities = services.accounts
    ticket = identities.sessions.issue_ticket(DEFAULT_TENANT, ensure_portal_key(identities.keys, DEFAULT_TENANT).id)
    console.print("\nOpen the portal with this one-time link, which expires in an hour:", highlight=False)
    console.print(f"  {build_sign_in_link(address, ticket)}", highlight=False, soft_wrap=True, markup=False)


def _create_first_key(services: Services, console: Console) -> str:
    """Create the first API key, and return its form in commands: the key itself, or `$LEADLINE_API_KEY`.

    On a terminal, the key is printed. Other output may end up in logs that other people can read, so the key is then
    written to a file that only this user can read.
    """
    _, key = services.keys.issue_key(DEFAULT_TENANT, "first key")
    # guard: first-key-not-logged
    if console.file.isatty():
        console.print("\nYour API key, shown only once (create more with `leadline keys create`):", highlight=False)
        console.print(f"  export LEADLINE_API_KEY={key}", highlight=False, soft_wrap=True)
        return key
    path = services.settings.home / FIRST_KEY_FILE
    path.unlink(missing_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:  # noqa: PTH123
        file.write(f"{key}\n")
    console.print("\nThe first API key is in a file that only this user can read. Move it to your secret store:")
    console.print(f"  export LEADLINE_API_KEY=$(cat {shlex.quote(str(path))})", highlight=False, soft_wrap=True)
    return "$LEADLINE_API_KEY"


def _describe_language_model(services: Services) -> str:
    state = services.asking.answering.get_state()
    if state["state"] == "loading":
        return "The language model is loading in the background; GET /health/ready shows when the model is ready."
    return f"Language model: {state['model']}."
