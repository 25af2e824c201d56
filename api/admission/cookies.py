"""The cookie of a session, and what tells a request of the portal's own pages from one that another site has made.

A cookie is sent with whatever a browser asks of this host, so it alone proves nothing about who wrote the request. A
method that changes something needs the session's token in a header, which only a page of this origin can read.
"""

import hashlib
import hmac
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.requests import cookie_parser
from starlette.responses import Response
from starlette.types import Scope

from api.http.problems import ForeignRequestError, InsecureSignInError
from api.settings.settings import Settings

CSRF_HEADER = "X-CSRF-Token"
_CSRF = CSRF_HEADER.lower().encode()
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})
# A cookie with this prefix is refused by browsers unless it is Secure, for the whole host, and set by the host itself.
_HOST_PREFIX = "__Host-"
_NAME = "leadline"


@dataclass(frozen=True)
class SessionCookie:
    """How the cookie is written: `__Host-leadline` and Secure where people come by https, else `leadline`.

    Browsers differ in whether http on this machine may set Secure cookies, so there the prefix is left out, and a
    session begins on addresses of this machine alone: `require_safe`.
    """

    secure: bool
    lifetime_seconds: float

    @classmethod
    def from_settings(cls, settings: Settings) -> "SessionCookie":
        return cls((settings.public_url or "").startswith("https://"), settings.session_hours * 3600)

    @property
    def name(self) -> str:
        return f"{_HOST_PREFIX}{_NAME}" if self.secure else _NAME

    def read(self, scope: Scope) -> str | None:
        """Return the secret that a request brings."""
        for name, value in scope["headers"]:
            if name == b"cookie":
                found = cookie_parser(value.decode("latin-1")).get(self.name)
                if found:
                    return str(found)
        return None

    def write(self, response: Response, secret: str) -> None:
        """Set it for as long as a session may last, also over a restart of the browser."""
        response.set_cookie(
            self.name,
            secret,
            max_age=int(self.lifetime_seconds),
            path="/",
            secure=self.secure,
            httponly=True,
            samesite="lax",
        )

    def clear(self, response: Response) -> None:
        response.delete_cookie(self.name, path="/", secure=self.secure, httponly=True, samesite="lax")

    @property
    def flow_name(self) -> str:
        """The cookie of a sign-in with the identity provider that is under way."""
        return f"{self.name}-sign-in"

    def write_flow(self, response: Response, value: str, seconds: int) -> None:
        response.set_cookie(
            self.flow_name, value, max_age=seconds, path="/", secure=self.secure, httponly=True, samesite="lax"
        )

    def clear_flow(self, response: Response) -> None:
        response.delete_cookie(self.flow_name, path="/", secure=self.secure, httponly=True, samesite="lax")

    def require_secure_host(self, scope: Scope) -> None:
        """Refuse to begin a session whose cookie others on the network could read. Raises `InsecureSignInError`."""
        host = urlsplit(f"//{get_header(scope, b'host')}").hostname
        if not self.secure and host not in _LOOPBACK_HOSTS:
            raise InsecureSignInError(f"Nobody signs in to {host} without https.")


def compute_csrf_token(secret: str) -> str:
    """Return the token of a session: it follows from the secret, and the secret does not follow from it."""
    return hmac.new(secret.encode(), b"csrf", hashlib.sha256).hexdigest()


def require_csrf_token(scope: Scope, secret: str) -> None:
    """Refuse a change that no page of this session has asked for. Raises `ForeignRequestError`."""
    if scope["method"] in _SAFE_METHODS:
        return
    require_same_origin(scope)
    # guard: csrf-token
    if not hmac.compare_digest(get_header(scope, _CSRF).encode(), compute_csrf_token(secret).encode()):
        raise ForeignRequestError("The request does not carry the token of this session.")


def require_same_origin(scope: Scope) -> None:
    """Refuse what a browser says that a page of another origin has sent. Raises `ForeignRequestError`."""
    site, origin = get_header(scope, b"sec-fetch-site"), get_header(scope, b"origin")
    if site not in ("", "same-origin", "none") or (origin and urlsplit(origin).netloc != get_header(scope, b"host")):
        raise ForeignRequestError("The request comes from a page of another site.")


def get_header(scope: Scope, wanted: bytes) -> str:
    """Return the first header of this name, in lower case, or an empty text."""
    return next((value.decode("latin-1") for name, value in scope["headers"] if name == wanted), "")
