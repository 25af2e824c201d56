"""Tells access tokens from other tokens that the same provider signs with the same keys.

Only access tokens may open the API: an identity token is made for a client, which may pass it on. RFC 9068 gives access
tokens a type of their own, which few providers use. Other tokens are told apart by the claims of the specifications.
"""

from collections.abc import Mapping
from typing import Any

# RFC 9068, section 2.1. `application/` may be left out (RFC 7515, section 4.1.9).
_ACCESS_TOKEN_TYPE = "at+jwt"
# Types of the header that tell nothing. Any other type names another kind of token, such as `logout+jwt`.
_GENERAL_TYPES = ("", "jwt")
# Keycloak writes the kind of a token into the claim `typ` (org.keycloak.util.TokenUtil).
_KEYCLOAK_ACCESS_TOKEN = "bearer"
_KEYCLOAK_OTHERS = ("id", "refresh", "offline", "logout", "serialized-id")
# Claims that only identity tokens have: OpenID Connect Core 1.0, sections 3.1.3.6 and 3.3.2.11.
_HASHES = ("at_hash", "c_hash")
# Scopes are in access tokens only: RFC 9068, section 2.2.3; `scp` is Okta's and Entra's name.
_SCOPES = ("scope", "scp")
# More claims that only access tokens have: `client_id` is required by RFC 9068, `cid` is Okta's name for it, and Entra
# says in `azpacr` or `appidacr` how the client was authenticated.
_ACCESS_CLAIMS = (*_SCOPES, "client_id", "cid", "azpacr", "appidacr")


def find_wrong_kind(header: Mapping[str, Any], claims: Mapping[str, Any], client_id: str | None) -> str | None:
    """Return why a verified token is not an access token, or None if it is one.

    `client_id` is that of the portal's sign-in: a provider makes identity tokens for this audience.
    """
    media_type = _read(header, "typ").removeprefix("application/")
    kind = _read(claims, "typ")
    if kind in _KEYCLOAK_OTHERS:
        return f"the claim `typ` is {claims['typ']}"
    if claims.get("token_use") == "id":  # Amazon Cognito
        return "the claim `token_use` is id"
    if "events" in claims:  # RFC 8417: logout tokens, and other security events
        return "the claim `events` is only in security events"
    if media_type == _ACCESS_TOKEN_TYPE or (media_type in _GENERAL_TYPES and kind == _KEYCLOAK_ACCESS_TOKEN):
        return None
    if media_type not in _GENERAL_TYPES:
        return f"the header `typ` is {header['typ']}"
    return _find_identity_claim(claims, client_id)


def _find_identity_claim(claims: Mapping[str, Any], client_id: str | None) -> str | None:
    """Return why a token without a type is an identity token, or None if nothing says so."""
    found = next((name for name in _HASHES if name in claims), None)
    # Authentik copies the nonce into its access tokens, which also have their scopes.
    if found is None and "nonce" in claims and not any(name in claims for name in _SCOPES):
        found = "nonce"
    if found is not None:
        return f"the claim `{found}` is only in identity tokens"
    audience = claims.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    if client_id is not None and client_id in audiences and not any(name in claims for name in _ACCESS_CLAIMS):
        return "`aud` is LEADLINE_OIDC_CLIENT_ID, and no claim says that the token is an access token"
    return None


def _read(fields: Mapping[str, Any], name: str) -> str:
    found = fields.get(name)
    return found.lower() if isinstance(found, str) else ""
