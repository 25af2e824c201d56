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


def load_tenant_id(open_catalog: OpenCatalog, id_or_name: str) -> str:
    """Return the id of the tenant with this id or name. Raises `TenantNotFoundError` if it does not exist."""
    return open_catalog.identities.tenants.load_tenant(id_or_name).id


def parse_duration(text: str) -> timedelta:
    """Parse a duration such as `90d`, `12h` or `30m`. Raises `SettingsError` if the format is invalid."""
    found = re.fullmatch(r"(\d{1,5})([mhd])", text.strip())
    if found is None:
        raise SettingsError(f"{text!r} is not a valid duration.", hint="Use a format such as 90d, 12h or 30m.")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def format_time(timestamp: float | None) -> str:
    """Format a Unix timestamp in UTC, or return an empty string for None."""
    return "" if timestamp is None else f"{datetime.fromtimestamp(timestamp, UTC):%Y-%m-%d %H:%M}Z"
