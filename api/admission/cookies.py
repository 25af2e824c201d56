"""The session cookie, and the checks that a request comes from the portal's own pages.

Browsers send the cookie with every request to this host, even with requests that other sites trigger. A request that
changes something must therefore also send the session's CSRF token in a header. Only a page of this origin can read
that token.
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
# Prefix of the cookie's name. Browsers accept a cookie with this prefix only if the cookie is Secure, has the path `/`,
# and was set by this host itself.
_HOST_PREFIX = "__Host-"
_NAME = "leadline"


@dataclass(frozen=True)
class SessionCookie:
    """The session cookie: `__Host-leadline` and Secure if the public URL is https, otherwise `leadline`.

    Not all browsers accept Secure cookies from plain HTTP on localhost. Without https, the prefix is therefore omitted,
    and sessions can only be started at loopback addresses (see `require_secure_host`).
    """

    secure: bool
    lifetime_seconds: float

    @classmethod
    def from_settings(cls, settings: Settings) -> "SessionCookie":
        return cls((settings.public_url or "").startswith("https://"), settings.session_hours * 3600)

    @property
    def name(self) -> str:
        return f"{_HOST_PREFIX}{_NAME}" if self.secure else _NAME

    def read_secret(self, scope: Scope) -> str | None:
        """Return the session secret in a request's cookie."""
        for name, value in scope["headers"]:
            if name == b"cookie":
                found = cookie_parser(value.decode("latin-1")).get(self.name)
                if found:
                    return str(found)
        return None

    def write_secret(self, response: Response, secret: str) -> None:
        """Set the cookie with the maximum lifetime of a session, so that the cookie survives a browser restart."""
        response.set_cookie(
            self.name,
            secret,
            max_age=int(self.lifetime_seconds),
            path="/",
            secure=self.secure,
            httponly=True,
            samesite="lax",
        )

    def clear_secret(self, response: Response) -> None:
        response.delete_cookie(self.name, path="/", secure=self.secure, httponly=True, samesite="lax")

    @property
    def flow_cookie_name(self) -> str:
        """The name of the cookie for a sign-in in progress with the identity provider."""
        return f"{self.name}-sign-in"

    def write_sign_in_flow(self, response: Response, value: str, max_age_seconds: int) -> None:
        response.set_cookie(
            self.flow_cookie_name,
            value,
            max_age=max_age_seconds,
            path="/",
            secure=self.secure,
            httponly=True,
            samesite="lax",
        )

    def clear_sign_in_flow(self, response: Response) -> None:
        response.delete_cookie(self.flow_cookie_name, path="/", secure=self.secure, httponly=True, samesite="lax")

    def require_secure_host(self, scope: Scope) -> None:
        """Raise `InsecureSignInError` unless the request was sent with https or to a loopback address."""
        host = urlsplit(f"//{get_header(scope, b'host')}").hostname
        if not self.secure and host not in _LOOPBACK_HOSTS:
            raise InsecureSignInError(f"Signing in to {host} requires https.")


def compute_csrf_token(secret: str) -> str:
    """Derive a session's CSRF token from its secret. The secret cannot be derived from the token."""
    return hmac.new(secret.encode(), b"csrf", hashlib.sha256).hexdigest()


def require_csrf_token(scope: Scope, secret: str) -> None:
    """Raise `ForeignRequestError` if a request that changes something lacks the session's CSRF token."""
    if scope["method"] in _SAFE_METHODS:
        return
    require_same_origin(scope)
    # guard: csrf-token
    if not hmac.compare_digest(get_header(scope, _CSRF).encode(), compute_csrf_token(secret).encode()):
        raise ForeignRequestError("The request does not contain the CSRF token of this session.")


def require_same_origin(scope: Scope) -> None:
    """Raise `ForeignRequestError` if a page of another origin sent the request."""
    site, origin = get_header(scope, b"sec-fetch-site"), get_header(scope, b"origin")
    # `none` means that the user opened the address directly. If a browser does not support this header, it does not
    # send it.
    if site not in ("", "same-origin", "none") or (origin and urlsplit(origin).netloc != get_header(scope, b"host")):
        raise ForeignRequestError("The request was sent by a page on another site.")


def get_header(scope: Scope, header_name: bytes) -> str:
    """Return the value of the first header with this lower-case name, or an empty string if there is none."""
    return next((value.decode("latin-1") for name, value in scope["headers"] if name == header_name), "")
