"""`leadline identity`: compare the identity provider with the settings, and explain a token."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from api.cli.cluster import open_configured_catalog
from api.cli.console import Console
from api.cli.environment import SettingsError, read_settings

# Longer tokens do not fit into a header of a request.
_MAX_TOKEN_BYTES = 64 * 1024

app = typer.Typer(help="Compare the identity provider with the settings, and explain a token.", no_args_is_help=True)


@app.callback()
def _keep_subcommands() -> None:
    """Keep `check` a subcommand: typer would run the only command of a group without its name."""


@app.command()
def check(
    token_file: Annotated[
        Path | None,
        typer.Option(help="A file with an access token, or - to read it from standard input. It is not printed."),
    ] = None,
) -> None:
    """Check the identity provider and the settings, and explain what a token allows or why it is refused.

    Exits with status 1 if sign-in or the token does not work.
    """
    from api.build.composition import IdentityProviderSettingsError, open_token_checker

    try:
        from api.accounts.identity_check import check_provider, check_token
    except ImportError as error:
        raise IdentityProviderSettingsError("PyJWT with cryptography is not installed.") from error

    settings = read_settings()
    findings = list(check_provider(settings))
    if token_file is not None:
        token = _read_token(token_file)
        with open_configured_catalog() as opened:
            checker = open_token_checker(settings, opened.identities)
            if checker is None:
                raise SettingsError("No identity provider is configured.", hint="Set LEADLINE_OIDC_ISSUER.")
            findings += check_token(checker, settings, token)
    table = Table("check", "result", "next step, or source")
    for each in findings:
        table.add_row(
            escape(each.what), escape(each.found), escape(each.next_step), style="red" if each.is_wrong else ""
        )
    Console().print(table)
    raise typer.Exit(int(any(each.is_wrong for each in findings)))


def _read_token(path: Path) -> str:
    try:
        if str(path) == "-":
            return sys.stdin.read(_MAX_TOKEN_BYTES).strip()
        with path.open(encoding="utf-8") as file:
            return file.read(_MAX_TOKEN_BYTES).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"The token cannot be read from {path}: {error}") from error
