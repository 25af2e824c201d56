"""Options and times that the commands for tenants, users and keys share."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from api.admission.services import DEFAULT_TENANT
from api.build.embedded import OpenCatalog
from api.cli.environment import SettingsError

Tenant = Annotated[str, typer.Option("--tenant", help="The tenant, by id or name.")]
IN_DEFAULT = DEFAULT_TENANT

_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


def load_tenant_id(opened: OpenCatalog, tenant: str) -> str:
    """Return the id of the tenant that is named. Raises `TenantNotFoundError`."""
    return opened.identities.tenants.load_tenant(tenant).id


def parse_duration(text: str) -> timedelta:
    """Read a span of time such as `90d`, `12h` or `30m`. Raises `SettingsError`."""
    found = re.fullmatch(r"(\d{1,5})([mhd])", text.strip())
    if found is None:
        raise SettingsError(f"{text!r} is no span of time.", hint="Write it as 90d, 12h or 30m.")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def format_time(at: float | None) -> str:
    """Return an instant for people; empty for none."""
    return "" if at is None else f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M}Z"
