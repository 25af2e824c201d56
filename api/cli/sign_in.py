"""`leadline sign-in`: print a one-time link that signs a person in to the portal."""

from typing import Annotated

import typer

from api.cli.client import find_service_url
from api.cli.cluster import open_configured_catalog
from api.cli.console import Console
from api.cli.environment import SettingsError, read_settings
from api.cli.identity_options import IN_DEFAULT, Tenant, load_tenant_id
from api.portal.links import build_browser_url, build_sign_in_link, ensure_portal_key
from ingest.storage.errors import KeyStateError


def sign_in(
    key: Annotated[
        str | None,
        typer.Option(help="The id of the key whose permissions the session gets, from `leadline keys list`."),
    ] = None,
    tenant: Tenant = IN_DEFAULT,
) -> None:
    """Print a one-time link that signs a person in to the portal.

    The link expires in an hour. Without `--key`, the session can read, write, ask and administer the tenant.
    """
    settings = read_settings()
    url = settings.public_url or find_service_url(settings.home)
    if url is None:
        raise SettingsError(
            f"No service is running on the data folder {settings.home}.",
            hint="If a service is running, set LEADLINE_HOME to its data folder. Otherwise start one with `leadline "
            "up`, and run this command again. In a cluster, set LEADLINE_PUBLIC_URL.",
        )
    with open_configured_catalog() as opened:
        identities, of_tenant = opened.identities, load_tenant_id(opened, tenant)
        chosen = identities.keys.load_key(of_tenant, key) if key else ensure_portal_key(identities.keys, of_tenant)
        if chosen.revoked_at is not None:
            raise KeyStateError(f"Key {chosen.id} has been revoked.", hint="Choose another key, or omit --key.")
        link = build_sign_in_link(build_browser_url(url), identities.sessions.issue_ticket(of_tenant, chosen.id))
    Console().print(link, highlight=False, soft_wrap=True, markup=False)
