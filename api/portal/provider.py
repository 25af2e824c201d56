"""Sign-in to the portal with an OpenID Connect provider: the authorization code flow with PKCE, state and nonce.

The state of the flow is stored in a browser cookie that expires after ten minutes. The provider redirects back with a
code or an error. The service exchanges the code, together with the verifier from the browser's cookie, for an identity
token.
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NoReturn
from urllib.parse import urlencode

import structlog

from api.admission.discovery import ProviderDescription, ProviderRefusal
from api.admission.services import Services, TokenChecker
from api.admission.token_endpoint import fetch_provider, get_client_secret, get_endpoint_url, request_tokens
from api.http.problems import IdentityProviderUnavailableError, ProviderRefusedError, UnauthorizedError
from api.settings.oidc import OidcSettings
from api.settings.settings import Settings
from ingest.storage.accounts.provider_sessions import ProviderTokens
from ingest.storage.accounts.records import Principal

log = structlog.get_logger(__name__)

HOME = "/"
SIGN_IN = "/sign-in"
CALLBACK = "/sign-in/provider"
# Maximum length of the path to which a person returns after sign-in. A cookie has about 4,000 bytes.
MAX_RETURN_CHARS = 1_000
# Scopes that the portal requests by default. `groups` is not a standard scope: some providers refuse it.
_DEFAULT_SCOPES = ("openid", "profile", "email")
_GROUPS_SCOPE = "groups"
FLOW_SECONDS = 600
# Maximum length of an identity token in a URL. Many servers accept about 8,000 characters. Without the token, the
# provider asks the person whether to sign out.
_MAX_HINT_CHARS = 4_000


@dataclass(frozen=True)
class SignInFlow:
    """A sign-in in progress in one browser.

    The provider returns `state` with the code and puts `nonce` into the token. `verifier` is the PKCE code verifier.
    `return_path` leads to the page that the person asked for.
    """

    state: str
    nonce: str
    verifier: str
    return_path: str = HOME

    @classmethod
    def start(cls, return_path: str = HOME) -> "SignInFlow":
        """Start a flow. A path that does not lead to a page of this site is replaced by the home page."""
        return cls(
            secrets.token_urlsafe(32), secrets.token_urlsafe(32), secrets.token_urlsafe(48), to_own_path(return_path)
        )

    @classmethod
    def parse(cls, cookie: str | None) -> "SignInFlow | None":
        """Parse the value of the browser's cookie. Returns None if it is not a flow."""
        parts = (cookie or "").split(".")
        if len(parts) != 4 or not all(parts):
            return None
        try:
            path = base64.urlsafe_b64decode(parts[3]).decode()
        except ValueError:
            return None
        state, nonce, verifier = parts[:3]
        return cls(state, nonce, verifier, to_own_path(path))

    def __str__(self) -> str:
        path = base64.urlsafe_b64encode(self.return_path.encode()).decode()
        return f"{self.state}.{self.nonce}.{self.verifier}.{path}"

    def is_answered_by(self, state: str) -> bool:
        """Return whether a response of the provider with this state belongs to this flow."""
        # guard: oidc-state
        return hmac.compare_digest(self.state.encode(), state.encode())


def to_own_path(path: str) -> str:
    """Return `path` if it leads to a page of this site, otherwise the path of the home page.

    Browsers read `//host`, and a backslash or a control character before `host`, as an address of another site.
    """
    # guard: sign-in-own-path
    is_own = path.startswith("/") and not path.startswith("//") and path.isprintable() and "\\" not in path
    is_short = len(path) <= MAX_RETURN_CHARS
    return path if is_own and is_short and not path.startswith(SIGN_IN) else HOME


def is_sign_in_configured(settings: Settings, token_checker: TokenChecker | None) -> bool:
    """Return True if users can sign in with the provider.

    Even if this is False, programs can send tokens from the provider.
    """
    return token_checker is not None and settings.oidc_client_id is not None


def build_authorization_url(settings: Settings, flow: SignInFlow, redirect_uri: str) -> str:
    """Build the URL of the provider's sign-in page for a flow.

    Raises `IdentityProviderUnavailableError` if the provider cannot be reached.
    """
    description = fetch_provider(settings)
    challenge = base64.urlsafe_b64encode(hashlib.sha256(flow.verifier.encode()).digest()).rstrip(b"=").decode()
    params = {
        "response_type": "code",
        "client_id": settings.oidc_client_id or "",
        "redirect_uri": redirect_uri,
        "scope": choose_request_scope(settings, description),
        "state": flow.state,
        "nonce": flow.nonce,
        "code_challenge": challenge,
        "code_challenge_method": "S256",
    }
    return _add_parameters(get_endpoint_url(description, "authorization_endpoint"), params)


def choose_request_scope(settings: OidcSettings, description: ProviderDescription) -> str:
    """Return the scopes to request: those of the settings, or the usual ones, and `groups` where it is offered."""
    if settings.oidc_request_scope is not None:
        return settings.oidc_request_scope
    is_offered = _GROUPS_SCOPE in (description.list_values("scopes_supported") or ())
    return " ".join((*_DEFAULT_SCOPES, _GROUPS_SCOPE) if is_offered else _DEFAULT_SCOPES)


def authenticate_caller(
    services: Services, flow: SignInFlow | None, state: str, code: str, redirect_uri: str
) -> tuple[Principal, ProviderTokens]:
    """Exchange the code for tokens, and return the person who has signed in at the provider, with the tokens.

    Raises `UnauthorizedError` if this browser did not start the flow or the provider's token is invalid,
    `ProviderRefusedError` if the provider rejects the code, and `IdentityProviderUnavailableError` if the provider
    cannot be reached.
    """
    flow = _require_own_flow(flow, state)
    answer, checker = _exchange_code(services.settings, flow, code, redirect_uri), services.admission.tokens
    found = None if checker is None else checker.check_identity_token(answer["id_token"], flow.nonce)
    if found is None:
        raise _build_sign_in_error("The identity provider's answer is not valid here.")
    # The token only proves who has just signed in, so drop its expiry. The session has its own expiry.
    return replace(found.principal, expires_at=None), found.to_tokens(answer.get("refresh_token"))


def build_sign_out_url(settings: Settings, tokens: ProviderTokens, return_url: str) -> str | None:
    """Build the URL at which a browser signs out at the provider, and then returns to `return_url`.

    Returns None if the provider offers no sign-out or cannot be reached. Source: OpenID Connect RP-Initiated Logout
    1.0, section 2.
    """
    try:
        description = fetch_provider(settings)
        if not description.has("end_session_endpoint"):
            return None
        address = get_endpoint_url(description, "end_session_endpoint")
    except IdentityProviderUnavailableError:
        return None
    params = {"client_id": settings.oidc_client_id or "", "post_logout_redirect_uri": return_url}
    if len(tokens.identity_token) <= _MAX_HINT_CHARS:
        params["id_token_hint"] = tokens.identity_token
    return _add_parameters(address, params)


def _add_parameters(address: str, params: Mapping[str, str]) -> str:
    return f"{address}{'&' if '?' in address else '?'}{urlencode(params)}"


def refuse_sign_in(flow: SignInFlow | None, state: str, code: str, description: str) -> NoReturn:
    """Log the error with which the provider sent a person back, and raise `ProviderRefusedError` with it.

    Raises `UnauthorizedError` without the error's text if this browser did not start the flow: otherwise, a link could
    show any text on our page.
    """
    secrets_of_flow = () if flow is None else (flow.state, flow.nonce, flow.verifier)
    refusal = ProviderRefusal.parse(code, description, secrets_of_flow)
    is_own = flow is not None and flow.is_answered_by(state)
    found = {
        "stage": "authorization",
        "error": refusal.code,
        "error_description": refusal.description,
        "own_flow": is_own,
    }
    if is_own:
        log.warning("identity provider refused a sign-in", **found)
    else:  # Everybody can open an address that says anything.
        log.info("identity provider refused a sign-in", **found)
    # guard: oidc-error-state
    _require_own_flow(flow, state)
    raise ProviderRefusedError(refusal.code, refusal.description)


def _require_own_flow(flow: SignInFlow | None, state: str) -> SignInFlow:
    if flow is None or not flow.is_answered_by(state):
        raise _build_sign_in_error("This sign-in was begun in another browser, or too long ago.")
    return flow


def _exchange_code(settings: Settings, flow: SignInFlow, code: str, redirect_uri: str) -> Mapping[str, Any]:
    """Return the provider's answer to a code, with an identity token. Raises as `authenticate_caller` does."""
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": redirect_uri,
        "code_verifier": flow.verifier,
    }
    status, answer = request_tokens(settings, form)
    if isinstance(answer.get("error"), str):
        known = (code, flow.verifier, flow.nonce, flow.state, get_client_secret(settings))
        refusal = ProviderRefusal.parse(answer["error"], answer.get("error_description"), known)
        log.warning(
            "identity provider refused a sign-in",
            stage="token",
            status=status,
            error=refusal.code,
            error_description=refusal.description,
        )
        raise ProviderRefusedError(refusal.code, refusal.description)
    if not isinstance(answer.get("id_token"), str):
        log.warning("identity provider returned no token", status=status)
        raise _build_sign_in_error("The identity provider did not confirm this sign-in.")
    return answer


def _build_sign_in_error(detail: str) -> UnauthorizedError:
    return UnauthorizedError(detail, hint="Go to /sign-in and begin again.")
