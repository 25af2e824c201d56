"""One-time sign-in links to the portal."""

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
    """Return the key whose permissions apply to sessions from sign-in links. The key is created if necessary.

    The key's secret is never shown to anyone. Each user has a separate key, whose scopes are set to `scopes`. Revoking
    the key ends all sessions that were started with it.
    """
    now, after = time.time(), ""
    while page := keys.list_keys(tenant_id, after=after):
        for key in page:
            if key.name != _KEY_NAME or key.user != user or key.get_state(now) != "live":
                continue
            if key.scopes == scopes:
                return key
            if user is not None:
                return keys.change_key(tenant_id, key.id, {"scopes": scopes})
        after = page[-1].id
    return keys.issue_key(tenant_id, _KEY_NAME, scopes=scopes, user=user)[0]


def build_browser_url(url: str) -> str:
    """Return the URL at which a browser on this machine can reach a service.

    A wildcard host is replaced with the loopback address.
    """
    parts = urlsplit(url)
    if parts.hostname in _WILDCARD_HOSTS:
        return f"{parts.scheme}://127.0.0.1:{parts.port}"
    return url.rstrip("/")


def get_own_url(settings: Settings, scope: RequestScope) -> str:
    """Return this service's address for use in links: `LEADLINE_PUBLIC_URL`, otherwise an address on this machine.

    The request's `Host` header is used only if it names this machine, for example through an SSH tunnel. If other hosts
    were accepted, a forged header could send the link and its ticket to another site.
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
    """Build a sign-in link. The ticket is in the URL fragment, which browsers do not send, so servers do not log it."""
    return f"{url}/sign-in#{ticket}"
