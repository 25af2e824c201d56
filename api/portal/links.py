"""Links that sign somebody in to the portal once."""

import re
import time
from urllib.parse import urlsplit

from starlette.types import Scope as RequestScope

from api.admission.cookies import get_header
from api.settings.settings import Settings
from ingest.storage.accounts.keys import ApiKey, ApiKeys
from ingest.storage.accounts.records import TENANT_SCOPES, Scope

_KEY_NAME = "portal"
_WILDCARD_HOSTS = {"0.0.0.0", "::"}
_THIS_MACHINE = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:\d{1,5})?", re.IGNORECASE)


def ensure_portal_key(
    keys: ApiKeys, tenant_id: str, *, user: str | None = None, scopes: frozenset[Scope] = TENANT_SCOPES
) -> ApiKey:
    """Return the key that sessions from such links act as, which is made if there is none. Nobody knows its secret.

    A user has one of its own, which gets these scopes. Revoking it signs all of them out.
    """
    now, after = time.time(), ""
    while page := keys.list_keys(tenant_id, after=after):
        for key in page:
            if key.name != _KEY_NAME or key.user != user or key.get_state(now) != "live":
                continue
            if key.scopes == scopes:
                return key
            if user is not None:
                return keys.change(tenant_id, key.id, {"scopes": scopes})
        after = page[-1].id
    return keys.issue(tenant_id, _KEY_NAME, scopes=scopes, user=user)[0]


def get_browser_address(url: str) -> str:
    """Return where a browser on this machine finds a service; one that listens everywhere is found at loopback."""
    parts = urlsplit(url)
    if parts.hostname in _WILDCARD_HOSTS:
        return f"{parts.scheme}://127.0.0.1:{parts.port}"
    return url.rstrip("/")


def get_own_address(settings: Settings, scope: RequestScope) -> str:
    """Return where a browser finds this service: at `LEADLINE_PUBLIC_URL`, and without it on this machine.

    The request's own `Host` is taken only where it names this machine, as through an SSH tunnel from another port. Any
    other name could lead whoever opens the link, and the ticket in it, to another site.
    """
    if settings.public_url:
        return settings.public_url.rstrip("/")
    host = get_header(scope, b"host")
    # guard: own-host-in-links
    if _THIS_MACHINE.fullmatch(host):
        return f"http://{host}"
    _, port = scope.get("server") or (None, None)
    return f"http://127.0.0.1:{port or settings.port}"


def build_sign_in_link(url: str, ticket: str) -> str:
    """Return the link. The ticket is in its fragment, which browsers send to nobody and no log has."""
    return f"{url}/sign-in#{ticket}"
