"""`leadline slack`: set up the Slack app, check its tokens, and manage its workspaces."""

import asyncio
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from api.cli.cluster import open_configured_catalog
from api.cli.console import Console
from api.cli.environment import SettingsError, read_settings
from api.cli.identity_options import IN_DEFAULT, Tenant, load_tenant_id
from api.cli.listing import Listing
from api.settings.settings import Settings
from ingest.storage.errors import NameInvalidError
from ingest.storage.slack.records import Workspace

if TYPE_CHECKING:
    from api.slack.installing import TokenCipher

app = typer.Typer(help="Set up the Slack app, check its tokens, and manage its workspaces.", no_args_is_help=True)


@app.command()
def manifest(
    socket_mode: Annotated[
        bool,
        typer.Option("--socket-mode", help="Receive events over Socket Mode, for a service that Slack cannot reach."),
    ] = False,
) -> None:
    """Print the app's manifest as JSON, for "Create New App" > "From a manifest" at api.slack.com/apps."""
    from api.slack.manifest import build_manifest

    settings = read_settings()
    if settings.public_url is None and not socket_mode:
        raise SettingsError(
            "The manifest requires an address for Slack's events.",
            hint="Set LEADLINE_PUBLIC_URL to the service's https address, or use --socket-mode.",
        )
    typer.echo(json.dumps(build_manifest(settings.public_url, socket_mode=socket_mode), indent=2))


@app.command()
def check() -> None:
    """Check the tokens and scopes, and report what is missing.

    Exits with status 1 if the bot cannot run.
    """
    from api.slack.checking import check_setup

    settings = read_settings()
    findings = asyncio.run(check_setup(settings, _load_tokens(settings)))
    table = Table("check", "result", "next step")
    for each in findings:
        style = "red" if each.is_wrong else "yellow" if each.next_step else ""
        table.add_row(escape(each.what), escape(each.found), escape(each.next_step), style=style)
    Console().print(table)
    raise typer.Exit(int(any(each.is_wrong for each in findings)))


@app.command()
def link(tenant: Tenant = IN_DEFAULT) -> None:
    """Print a link that installs the app in a workspace for a tenant.

    The link expires in an hour. The person who opens the link must be allowed to manage the workspace.
    """
    from api.slack.installing import build_install_link

    settings = read_settings()
    if settings.slack_client_id is None or settings.public_url is None:
        raise SettingsError(
            "An install link requires the app's OAuth client and the service's address.",
            hint="Set LEADLINE_SLACK_CLIENT_ID, LEADLINE_SLACK_CLIENT_SECRET, LEADLINE_SLACK_TOKEN_KEYS and "
            "LEADLINE_PUBLIC_URL.",
        )
    seal = _build_token_cipher(settings)
    with open_configured_catalog() as opened:
        typer.echo(build_install_link(settings, seal, load_tenant_id(opened, tenant)))


@app.command()
def key() -> None:
    """Generate a key for LEADLINE_SLACK_TOKEN_KEYS.

    Put it before the existing keys, then run `leadline slack reseal`.
    """
    from ingest.storage.blobs.keyring import generate_key

    typer.echo(generate_key())


@app.command()
def reseal() -> None:
    """Re-encrypt the tokens of all workspaces with the first key.

    Afterwards the other keys can be removed.
    """
    seal = _build_token_cipher(read_settings())
    with open_configured_catalog() as opened:
        store = opened.slack
        sealed = [each for each in store.list_workspaces() if each.token]
        for each in sealed:
            store.reseal_token(each, seal.reencrypt_text(each.token))
    typer.echo(f"Re-encrypted {len(sealed)} tokens with the first key.")


@app.command()
def workspaces() -> None:
    """List the workspaces in which the app is installed, with their tenants."""
    with open_configured_catalog() as opened:
        found = opened.slack.list_workspaces()
    table = Listing(("id", "name", "tenant", "token"), texts=("name",), optional=("token",))
    for each in found:
        table.add(each.team_id, each.name, each.tenant_id, "encrypted" if each.token else "from the settings")
    table.print()


@app.command()
def remove(team_id: Annotated[str, typer.Argument(help="The workspace id, from `leadline slack workspaces`.")]) -> None:
    """Remove a workspace with its channels, threads and questions.

    Answers remain in their conversations.
    """
    with open_configured_catalog() as opened:
        if not opened.slack.remove_workspace(team_id):
            raise NameInvalidError(
                f"Workspace {team_id!r} not found.", hint="List the workspaces with `leadline slack workspaces`."
            )
    typer.echo(f"Removed workspace {team_id}. Also uninstall the app in Slack.")


@app.command()
def usage(
    tenant: Tenant = IN_DEFAULT,
    channel: Annotated[str | None, typer.Option("--channel", help="Only usage of the channel with this id.")] = None,
    since: Annotated[str, typer.Option(help="The first day, such as 2026-11-01.")] = "",
    until: Annotated[str, typer.Option(help="The last day.")] = "9",
    limit: Annotated[int, typer.Option(help="Maximum number of rows.", min=1)] = 31,
    skip: Annotated[int, typer.Option(help="Number of rows to skip.", min=0)] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list.")] = False,
) -> None:
    """Show questions, answers, shared files and spending per UTC day and channel, newest day first."""
    with open_configured_catalog() as opened:
        found = opened.usage_by_channel.list_days(
            load_tenant_id(opened, tenant), channel=channel, start_day=since, end_day=until, skip=skip, limit=limit + 1
        )
    if as_json:
        typer.echo(json.dumps([asdict(each) for each in found[:limit]]))
        return
    table = Listing(
        ("day", "channel", "questions", "answers", "files", "documents", "tokens", "dollars"),
        texts=("channel",),
        optional=("tokens", "dollars", "answers", "documents", "files"),
    )
    for each in found[:limit]:
        counts = each.questions, each.answers, each.files, each.documents, each.prompt_tokens + each.completion_tokens
        table.add(each.day, each.channel, *(f"{count:,}" for count in counts), f"${each.dollars:,.2f}")
    if found:
        table.print()
    else:
        typer.echo("No Slack usage in this period.")
    if len(found) > limit:
        typer.echo(f"For more rows, add --skip {skip + limit}.")


def _build_token_cipher(settings: Settings) -> "TokenCipher":
    from api.slack.installing import TokenCipher

    if settings.slack_token_keys is None:
        raise SettingsError("LEADLINE_SLACK_TOKEN_KEYS is not set.", hint="Generate a key with `leadline slack key`.")
    return TokenCipher(settings.slack_token_keys.get_secret_value())


def _load_tokens(settings: Settings) -> dict[str, str]:
    """Load the bot tokens from the settings and the catalog, keyed by display name."""
    tokens = {}
    if settings.slack_bot_token is not None:
        tokens["LEADLINE_SLACK_BOT_TOKEN"] = settings.slack_bot_token.get_secret_value()
    if settings.slack_token_keys is not None:
        seal = _build_token_cipher(settings)
        with open_configured_catalog() as opened:
            found: list[Workspace] = opened.slack.list_workspaces()
        tokens |= {each.name or each.team_id: seal.decrypt_text(each.token) for each in found if each.token}
    return tokens
