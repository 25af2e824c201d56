"""Asks an OpenID Connect provider's token endpoint for tokens, as the portal's client."""

from typing import Any
from urllib.parse import quote_plus

import httpx
import structlog

from api.admission.discovery import DiscoveryError, ProviderDescription, fetch_description
from api.http.problems import IdentityProviderUnavailableError
from api.settings.oidc import OidcSettings
from retrieval.bounded_replies import ResponseTooLargeError, post_form

log = structlog.get_logger(__name__)

_POST, _BASIC, _PUBLIC = "client_secret_post", "client_secret_basic", "none"
TIMEOUT_SECONDS = 10.0
# RFC 6585: the provider refuses for now, and says nothing about the grant.
_TOO_MANY_REQUESTS = 429


def request_tokens(settings: OidcSettings, form: dict[str, str]) -> tuple[int, dict[str, Any]]:
    """Return the status of the token endpoint and its answer, which is empty if it is not a JSON object.

    Raises `IdentityProviderUnavailableError` if the provider does not answer.
    """
    description = fetch_provider(settings)
    address = get_endpoint_url(description, "token_endpoint")
    status = 0
    answer: dict[str, Any] = {}
    for method in _list_client_methods(settings, description):
        status, answer = _post(settings, address, form, method)
        # A client that was not authenticated has not used up its code or token (RFC 6749, section 5.2).
        if answer.get("error") != "invalid_client":
            break
    return status, answer


def fetch_provider(settings: OidcSettings) -> ProviderDescription:
    """Fetch the provider's discovery document. Raises `IdentityProviderUnavailableError`."""
    try:
        return fetch_description(settings.oidc_issuer or "")
    except DiscoveryError as error:
        raise _build_unavailable_error(str(error)) from error


def get_endpoint_url(description: ProviderDescription, name: str) -> str:
    """Return a URL of the discovery document. Raises `IdentityProviderUnavailableError` if it has none."""
    try:
        return description.get_url(name)
    except DiscoveryError as error:
        raise _build_unavailable_error(str(error)) from error


def get_client_secret(settings: OidcSettings) -> str:
    """Return the client's secret, which is empty for a public client."""
    return "" if settings.oidc_client_secret is None else settings.oidc_client_secret.get_secret_value()


def _list_client_methods(settings: OidcSettings, description: ProviderDescription) -> list[str]:
    """List the ways to send the client's secret that the provider offers, in the order in which to try them.

    Each client is registered with one of them, which discovery does not tell. Without a list, the provider offers
    `client_secret_basic` (OpenID Connect Discovery 1.0, section 3).
    """
    if settings.oidc_client_secret is None:
        return [_PUBLIC]
    offered = description.list_values("token_endpoint_auth_methods_supported") or (_BASIC,)
    return [method for method in (_POST, _BASIC) if method in offered] or [_POST]


def _post(settings: OidcSettings, address: str, form: dict[str, str], method: str) -> tuple[int, dict[str, Any]]:
    client_id, secret = settings.oidc_client_id or "", get_client_secret(settings)
    # RFC 6749, section 2.3.1: both are form-encoded before they become user name and password.
    basic = (quote_plus(client_id), quote_plus(secret)) if method == _BASIC else None
    sent = form if basic else {**form, "client_id": client_id}
    if method == _POST:
        sent = {**sent, "client_secret": secret}
    try:
        answer = post_form(address, sent, timeout=TIMEOUT_SECONDS, basic=basic)
        if answer.is_server_error or answer.status_code == _TOO_MANY_REQUESTS:
            raise _build_unavailable_error(f"{address} answered with status {answer.status_code}")
        found = answer.json()
    except (httpx.HTTPError, ResponseTooLargeError, ValueError) as error:
        raise _build_unavailable_error(repr(error)) from error
    return answer.status_code, found if isinstance(found, dict) else {}


def _build_unavailable_error(reason: str) -> IdentityProviderUnavailableError:
    log.warning("identity provider unavailable", reason=reason)
    return IdentityProviderUnavailableError("The identity provider does not answer.")
