"""Admits requests: authenticates the caller before the body is read, then waits for a slot of the tenant.

Pure ASGI middleware, like `api.http.bounds`. Key lookups have their own threads, so that they never wait behind other
work.
"""

import re
from collections.abc import Awaitable, Callable
from functools import partial

import structlog
from starlette.types import ASGIApp, Receive, Scope, Send

from api.admission.cookies import SessionCookie, require_csrf_token
from api.admission.turns import TenantSlots
from api.http.bounds import has_file_body
from api.http.middleware import CALLER
from api.http.problems import UnauthorizedError
from ingest.storage.accounts.records import Principal
from ingest.storage.audit.records import Actor, ActorKind, set_current_actor

SLOT, SESSION = "leadline.place", "leadline.session"
# Key of the ASGI scope for a function that looks up the caller again, for open streams (see
# `api.admission.current_caller`).
FIND_CALLER = "leadline.find_caller"

# Matches paths that need no key, and paths whose route checks a token itself. All other paths need a key, even if no
# route matches the path.
_PUBLIC = re.compile(
    r"/health/(live|ready)|/metrics|/problems/[^/]*|/openapi\.json|/docs(/.*)?|/portal/(assets|texts)/.*|/v1/(sign-in|back-channel-logout)|/slack/(events|install|oauth_redirect)"
    r"|/\.well-known/oauth-protected-resource/mcp"
)
# Matches the routes that search and need no language model, unless a parameter asks for rewritten queries.
_SEARCHES = re.compile(r"/v1/search|/v1/vector_stores/[^/]+/search")
# Matches portal pages. These pages contain no tenant data, and redirect to the sign-in page if nobody is signed in.
_PAGES = re.compile(
    r"/|/sign-in(/provider)?|/(library|ask|runs)(/[^/]*)?|/shared/[^/]+|"
    r"/(usage|keys|people|sources|audit|feedback|settings|slack)"
)

# A function that returns the principal of a key or session secret, or None if the key or secret is not valid.
Identify = Callable[[str], Awaitable[Principal | None]]


class Authentication:
    """Authenticates the caller before the body is read. Raises `UnauthorizedError` if authentication fails.

    Programs send a key or token. A browser in the portal sends a session cookie instead and, with requests that change
    something, also the session's CSRF token (see `api.admission.cookies`).
    """

    def __init__(self, app: ASGIApp, *, identify: Identify, in_session: Identify, cookie: SessionCookie) -> None:
        self._app = app
        self._identify = identify
        self._in_session = in_session
        self._cookie = cookie

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or _PUBLIC.fullmatch(scope["path"]):
            await self._app(scope, receive, send)
            return
        # guard: key-before-body
        caller = await self._find_caller(scope)
        if caller is None:  # The request is for a portal page, without a session.
            await self._app(scope, receive, send)
            return
        scope[CALLER] = caller
        set_current_actor(Actor(ActorKind.CALLER, caller.key_id, caller.user))
        with structlog.contextvars.bound_contextvars(tenant=caller.tenant_id, key=caller.key_id):
            await self._app(scope, receive, send)

    async def _find_caller(self, scope: Scope) -> Principal | None:
        presented, is_page = _parse_bearer_token(scope), _PAGES.fullmatch(scope["path"]) is not None
        if presented is not None:
            if (caller := await self._identify(presented)) is None:
                raise UnauthorizedError("The API key or token is not valid.")
            scope[FIND_CALLER] = partial(self._identify, presented)
            return caller
        secret = self._cookie.read_secret(scope)
        caller = None if secret is None else await self._in_session(secret)
        if secret is None or caller is None:
            if is_page:
                return None
            raise UnauthorizedError("This request needs an API key." if secret is None else "The session has ended.")
        # guard: csrf-every-route
        require_csrf_token(scope, secret)
        scope[SESSION] = secret
        scope[FIND_CALLER] = partial(self._in_session, secret)
        return caller


class TenantLimiter:
    """Holds a slot for each authenticated request: for a search, for an upload if it sends files, otherwise for work.

    Long-running routes exchange their slot for another kind, such as a stream slot (see
    `api.admission.access.HeldSlot`).
    """

    def __init__(self, app: ASGIApp, *, work: TenantSlots, uploads: TenantSlots, searches: TenantSlots) -> None:
        self._app = app
        self._work = work
        self._uploads = uploads
        self._searches = searches

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        caller = scope.get(CALLER)
        if caller is None:
            await self._app(scope, receive, send)
            return
        slot = scope[SLOT] = await self._select_slots(scope).acquire(caller.tenant_id)
        try:
            await self._app(scope, receive, send)
        finally:
            slot.release()

    def _select_slots(self, scope: Scope) -> TenantSlots:
        # guard: search-turns
        if scope["method"] == "POST" and _SEARCHES.fullmatch(scope["path"]):
            return self._searches
        return self._uploads if has_file_body(scope) else self._work


def get_credential(scope: Scope) -> str | None:
    """Return the secret that authenticated a request: a key, a token or a session secret."""
    return _parse_bearer_token(scope) or scope.get(SESSION)


def _parse_bearer_token(scope: Scope) -> str | None:
    """Return the key or token in the `Authorization` header, or None if the request has no such header.

    In that case, the session cookie is used. Raises `UnauthorizedError` if the header is not a bearer token.
    """
    for name, value in scope["headers"]:
        if name == b"authorization":
            scheme, _, credentials = value.decode("latin-1").partition(" ")
            if scheme.lower() == "bearer" and credentials.strip():
                return str(credentials.strip())
            raise UnauthorizedError("This request needs an API key.")
    return None
