"""Sign-in to the portal with an OpenID Connect provider: the authorization code flow with PKCE, state and nonce.

The state of the flow is stored in a browser cookie that expires after ten minutes. The provider redirects back with a
code. The service exchanges this code, together with the verifier from the browser's cookie, for an identity token.
"""

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

import httpx
import structlog

from api.admission.services import Services, TokenChecker
from api.http.problems import IdentityProviderUnavailableError, UnauthorizedError
from api.settings.settings import Settings
from ingest.storage.accounts.records import Principal
from retrieval.bounded_replies import ResponseTooLargeError, fetch_short_document, post_form

log = structlog.get_logger(__name__)

CALLBACK = "/sign-in/provider"
FLOW_SECONDS = 600
_TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True)
class SignInFlow:
    """A sign-in in progress in one browser.

    The provider returns `state` with the code and puts `nonce` into the token. `verifier` is the PKCE code verifier.
    """

    state: str
    nonce: str
    verifier: str

    @classmethod
    def start(cls) -> "SignInFlow":
        return cls(secrets.token_urlsafe(32), secrets.token_urlsafe(32), secrets.token_urlsafe(48))

    @classmethod
    def parse(cls, cookie: str | None) -> "SignInFlow | None":
        parts = (cookie or "").split(".")
        return cls(*parts) if len(parts) == 3 and all(parts) else None

    def __str__(self) -> str:
        return f"{self.state}.{self.nonce}.{self.verifier}"


def is_sign_in_configured(settings: Settings, token_checker: TokenChecker | None) -> bool:
    """Return True if users can sign in with the provider.

    Even if this is False, programs can send tokens from the provider.
    """
    return token_checker is not None and settings.oidc_client_id is not None


def build_authorization_url(settings: Settings, flow: SignInFlow, redirect_uri: str) -> str:
    """Build the URL of the provider's sign-in page for a flow.

    Raises `IdentityProviderUnavailableError` if the provider cannot be reached.
    """
    challenge = base64.urlsafe_b64encode(hashlib.sha256(flow.verifier.encode()).digest()).rstrip(b"=").decode()
    params = {
        "response_type": "code",
        "client_id": settings.oidc_client_id or "",
        "redirect_uri": redirect_uri,
        "scope": settings.oidc_request_scope,
        "state": flow.state,
        "nonce": flow.nonce,
        "code_challenge": challenge,
        "code_challenge_method": "S256",
    }
    address = _fetch_endpoint_url(settings, "authorization_endpoint")
    return f"{address}{'&' if '?' in address else '?'}{urlencode(params)}"


def authenticate_caller(
    services: Services, flow: SignInFlow | None, state: str, code: str, redirect_uri: str
) -> Principal:
    """Exchange the code for a token, and return the person who has signed in at the provider.

    Raises `UnauthorizedError` if this browser did not start the flow or the provider's token is invalid, and
    `IdentityProviderUnavailableError` if the provider cannot be reached.
    """
    # guard: oidc-state
    if flow is None or not hmac.compare_digest(flow.state.encode(), state.encode()):
        raise _build_sign_in_error("This sign-in was begun in another browser, or too long ago.")
    token = _exchange_code(services.settings, flow, code, redirect_uri)
    found = (
        None if services.admission.tokens is None else services.admission.tokens.check_identity_token(token, flow.nonce)
    )
    if found is None:
        raise _build_sign_in_error("The identity provider's answer is not valid here.")
    # The token only proves who has just signed in, so drop its expiry. The session has its own expiry.
    return replace(found, expires_at=None)


def _exchange_code(settings: Settings, flow: SignInFlow, code: str, redirect_uri: str) -> str:
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": redirect_uri,
        "client_id": settings.oidc_client_id or "",
        "code_verifier": flow.verifier,
    }
    if settings.oidc_client_secret is not None:
        form["client_secret"] = settings.oidc_client_secret.get_secret_value()
    try:
        answer = post_form(_fetch_endpoint_url(settings, "token_endpoint"), form, timeout=_TIMEOUT_SECONDS)
        token = answer.json().get("id_token") if answer.is_success else None
    except (httpx.HTTPError, ResponseTooLargeError, ValueError, AttributeError) as error:
        raise _build_unavailable_error(repr(error)) from error
    if not isinstance(token, str):
        log.info("identity provider returned no token", status=answer.status_code)
        raise _build_sign_in_error("The identity provider did not confirm this sign-in.")
    return token


def _fetch_endpoint_url(settings: Settings, name: str) -> str:
    """Fetch the provider's discovery document and return the URL of the endpoint `name`."""
    place = f"{(settings.oidc_issuer or '').rstrip('/')}/.well-known/openid-configuration"
    try:
        answer = fetch_short_document(place, timeout=_TIMEOUT_SECONDS)
        described: Any = answer.json() if answer.is_success else None
    except (httpx.HTTPError, ResponseTooLargeError, ValueError) as error:
        raise _build_unavailable_error(repr(error)) from error
    address = described.get(name) if isinstance(described, dict) else None
    if not isinstance(address, str) or not address.startswith(("https://", "http://")):
        raise _build_unavailable_error(f"{place} has no {name}")
    if described.get("issuer") != settings.oidc_issuer:
        raise _build_unavailable_error(f"{place} describes another issuer")
    return address


def _build_sign_in_error(detail: str) -> UnauthorizedError:
    return UnauthorizedError(detail, hint="Go to /sign-in and begin again.")


def _build_unavailable_error(reason: str) -> IdentityProviderUnavailableError:
    log.warning("identity provider unavailable", reason=reason)
    return IdentityProviderUnavailableError("The identity provider does not answer.")
