"""Options and time formats shared by the commands for tenants, users and keys."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from api.admission.services import DEFAULT_TENANT
from api.build.embedded import OpenCatalog
from api.cli.environment import SettingsError

Tenant = Annotated[str, typer.Option("--tenant", help="The tenant's id or name.")]
IN_DEFAULT = DEFAULT_TENANT

_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


def load_tenant_id(opened: OpenCatalog, tenant: str) -> str:
    """Find a tenant by id or name and return its id. Raises `TenantNotFoundError` if there is no such tenant."""
    return opened.identities.tenants.load_tenant(tenant).id


def parse_duration(text: str) -> timedelta:
    """Parse a duration such as `90d`, `12h` or `30m`. Raises `SettingsError` if `text` is not in this format."""
    found = re.fullmatch(r"(\d{1,5})([mhd])", text.strip())
    if found is None:
        raise SettingsError(f"{text!r} is not a duration.", hint="Use a form such as 90d, 12h or 30m.")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def format_time(at: float | None) -> str:
    """Format a Unix timestamp as a date and time in UTC. Returns an empty string for None."""
    return "" if at is None else f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M}Z"
