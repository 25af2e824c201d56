"""Links that sign somebody in to the portal once."""

import time
from urllib.parse import urlsplit

from api.settings import Settings
from ingest.catalog.keys import ApiKey, ApiKeys
from ingest.identity import TENANT_SCOPES, Scope

_NAME = "portal"
_EVERYWHERE = {"0.0.0.0", "::"}


def own_key(
    keys: ApiKeys, tenant_id: str, *, user: str | None = None, scopes: frozenset[Scope] = TENANT_SCOPES
) -> ApiKey:
    """Return the key that sessions from such links act as, which is made if there is none. Nobody knows its secret.

    A user has one of its own, which gets these scopes. Revoking it signs all of them out.
    """
    now, after = time.time(), ""
    while page := keys.keys(tenant_id, after=after):
        for key in page:
            if key.name != _NAME or key.user != user or key.state(now) != "live":
                continue
            if key.scopes == scopes:
                return key
            if user is not None:
                return keys.change(tenant_id, key.id, {"scopes": scopes})
        after = page[-1].id
    return keys.issue(tenant_id, _NAME, scopes=scopes, user=user)[0]


def browser_address(url: str) -> str:
    """Return where a browser on this machine finds a service; one that listens everywhere is found at loopback."""
    parts = urlsplit(url)
    if parts.hostname in _EVERYWHERE:
        return f"{parts.scheme}://127.0.0.1:{parts.port}"
    return url.rstrip("/")


def own_address(settings: Settings, host: str) -> str:
    """Return where a browser finds this service: as the settings say, or where the request at hand has found it."""
    return (settings.public_url or f"http://{host}").rstrip("/")


def sign_in_link(url: str, ticket: str) -> str:
    """Return the link. The ticket is in its fragment, which browsers send to nobody and no log has."""
    return f"{url}/sign-in#{ticket}"
