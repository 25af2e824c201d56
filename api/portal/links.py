"""Links that sign somebody in to the portal once."""

import time
from urllib.parse import urlsplit

from ingest.catalog.keys import ApiKey, ApiKeys
from ingest.identity import TENANT_SCOPES

_NAME = "portal"
_EVERYWHERE = {"0.0.0.0", "::"}


def own_key(keys: ApiKeys, tenant_id: str) -> ApiKey:
    """Return the key that sessions from such links act as, which is made if there is none. Nobody knows its secret.

    Revoking it signs all of them out.
    """
    now, after = time.time(), ""
    while page := keys.keys(tenant_id, after=after):
        for key in page:
            if key.name == _NAME and key.user is None and key.scopes == TENANT_SCOPES and key.state(now) == "live":
                return key
        after = page[-1].id
    return keys.issue(tenant_id, _NAME, scopes=TENANT_SCOPES)[0]


def browser_address(url: str) -> str:
    """Return where a browser on this machine finds a service; one that listens everywhere is found at loopback."""
    parts = urlsplit(url)
    if parts.hostname in _EVERYWHERE:
        return f"{parts.scheme}://127.0.0.1:{parts.port}"
    return url.rstrip("/")


def sign_in_link(url: str, ticket: str) -> str:
    """Return the link. The ticket is in its fragment, which browsers send to nobody and no log has."""
    return f"{url}/sign-in#{ticket}"
