"""Admits requests: the key is looked up before a body is read, and work waits for the turn of its tenant.

These are pure ASGI wrappers, as those of `api.http.bounds`. Looking a key up has threads of its own, so that it never
waits behind the work of others.
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

PLACE, SESSION = "leadline.place", "leadline.session"
# Finds the caller again, by the credential of the request, for what stays open: `api.admission.current_caller`.
FIND_CALLER = "leadline.find_caller"

# Paths that need no key, or whose route checks a token. Every other path needs a key, also one without a route.
_PUBLIC = re.compile(
    r"/health/(live|ready)|/metrics|/problems/[^/]*|/openapi\.json|/docs(/.*)?|/portal/assets/.*|/v1/sign-in|/slack/(events|install|oauth_redirect)"
    r"|/\.well-known/oauth-protected-resource/mcp"
)
# Pages of the portal, which hold nothing of a tenant's: who is not signed in is led to where one signs in.
_PAGES = re.compile(r"/|/sign-in(/provider)?|/(library|ask|runs)(/[^/]*)?|/shared/[^/]+|/(usage|keys|people|audit)")

# Finds who presents a key or the secret of a session; None for one that is not valid.
Identify = Callable[[str], Awaitable[Principal | None]]


class Authentication:
    """Finds out who asks, before anything of the body is read. Raises `UnauthorizedError`, which tells nothing.

    Who sends a key or a token is its holder. A browser of the portal sends the cookie of a session instead, and with
    what changes something the session's token: `api.admission.cookies`.
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
        if caller is None:  # a page for nobody in particular
            await self._app(scope, receive, send)
            return
        scope[CALLER] = caller
        set_current_actor(Actor(ActorKind.CALLER, caller.key_id, caller.user))
        with structlog.contextvars.bound_contextvars(tenant=caller.tenant_id, key=caller.key_id):
            await self._app(scope, receive, send)

    async def _find_caller(self, scope: Scope) -> Principal | None:
        presented, is_page = _read_bearer_token(scope), _PAGES.fullmatch(scope["path"]) is not None
        if presented is not None:
            if (caller := await self._identify(presented)) is None:
                raise UnauthorizedError("The API key or token is not valid.")
            scope[FIND_CALLER] = partial(self._identify, presented)
            return caller
        secret = self._cookie.read(scope)
        caller = None if secret is None else await self._in_session(secret)
        if secret is None or caller is None:
            if is_page:
                return None
            raise UnauthorizedError("This needs an API key." if secret is None else "The session has ended.")
        # guard: csrf-every-route
        require_csrf_token(scope, secret)
        scope[SESSION] = secret
        scope[FIND_CALLER] = partial(self._in_session, secret)
        return caller


class TenantLimiter:
    """Has requests with a caller wait for a place: of those that bring files, or of all others.

    A route that does something long trades its place for another, such as one of streams:
    `api.admission.access.HeldPlace`.
    """

    def __init__(self, app: ASGIApp, *, work: TenantSlots, uploads: TenantSlots) -> None:
        self._app = app
        self._work = work
        self._uploads = uploads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        caller = scope.get(CALLER)
        if caller is None:
            await self._app(scope, receive, send)
            return
        turns = self._uploads if has_file_body(scope) else self._work
        place = scope[PLACE] = await turns.acquire(caller.tenant_id)
        try:
            await self._app(scope, receive, send)
        finally:
            place.release()


def get_credential(scope: Scope) -> str | None:
    """Return the secret by which the caller of a request was found: a key, a token, or that of a session."""
    return _read_bearer_token(scope) or scope.get(SESSION)


def _read_bearer_token(scope: Scope) -> str | None:
    """Return the key or token of a request; None where no `Authorization` is sent, which leaves the cookie."""
    for name, value in scope["headers"]:
        if name == b"authorization":
            scheme, _, credentials = value.decode("latin-1").partition(" ")
            if scheme.lower() == "bearer" and credentials.strip():
                return str(credentials.strip())
            raise UnauthorizedError("This needs an API key.")
    return None
