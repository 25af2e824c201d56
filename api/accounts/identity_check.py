"""Compares an identity provider with the settings, and explains whom a token identifies, for `leadline identity check`.

A provider does not tell which redirect URIs and scopes a client has, so these findings are hints.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import httpx

from api.accounts.oidc import OidcTokenChecker, TokenRefusedError, parse_names
from api.admission.discovery import DiscoveryError, ProviderDescription, fetch_description
from api.admission.services import VerifiedToken
from api.portal.provider import CALLBACK, choose_request_scope
from api.settings.settings import Settings
from retrieval.bounded_replies import ResponseTooLargeError, fetch_short_document

_TIMEOUT_SECONDS = 5.0
# Optional features of a provider, each with the field of the discovery document that announces it.
_ABILITIES = (
    ("back-channel logout", "backchannel_logout_supported"),
    ("sign-out at the provider", "end_session_endpoint"),
)


@dataclass(frozen=True)
class IdentityFinding:
    """The result of a check. If `is_wrong`, sign-in or tokens do not work. `next_step` may also be a hint."""

    what: str
    found: str
    next_step: str = ""
    is_wrong: bool = False


def check_provider(settings: Settings) -> Iterator[IdentityFinding]:
    """Read the provider's discovery document and keys, and yield what is missing."""
    issuer = settings.oidc_issuer
    if issuer is None:
        yield IdentityFinding("issuer", "none: tokens are not accepted", "Set LEADLINE_OIDC_ISSUER.")
        return
    try:
        description = fetch_description(issuer)
    except DiscoveryError as error:
        yield IdentityFinding("issuer", str(error), "Set LEADLINE_OIDC_ISSUER as in the claim `iss`.", is_wrong=True)
        return
    yield IdentityFinding("issuer", issuer)
    yield _check_keys(settings, description)
    yield _check_algorithms(settings, description)
    yield _describe_audience(settings)
    yield _check_groups(settings, description)
    if settings.oidc_client_id is None:
        yield IdentityFinding("sign-in", "off", "To sign in to the portal, set LEADLINE_OIDC_CLIENT_ID.")
        return
    yield _describe_redirect_uri(settings)
    yield _check_scopes(settings, description)
    yield _describe_refreshing(settings, description)
    yield from _describe_abilities(settings, description)


def check_token(checker: OidcTokenChecker, settings: Settings, token: str) -> Iterator[IdentityFinding]:
    """Yield the tenant, person, groups and scopes that an access token gives, and by which setting.

    Raises `IdentityProviderUnavailableError` if the provider's keys cannot be fetched.
    """
    try:
        found = checker.verify_access_token(token)
    except TokenRefusedError as error:
        yield IdentityFinding("token", f"refused: {error.reason}", error.detail, is_wrong=True)
        return
    yield IdentityFinding("token", "accepted")
    yield from _describe_caller(settings, found)


def _describe_caller(settings: Settings, found: VerifiedToken) -> Iterator[IdentityFinding]:
    caller, claim = found.principal, settings.oidc_tenant_claim
    source = f"the claim `{claim}` (LEADLINE_OIDC_TENANT_CLAIM)" if claim else "LEADLINE_OIDC_TENANT"
    yield IdentityFinding("tenant", caller.tenant_id, f"by {source}")
    user_source = f"by the claim `{settings.oidc_user_claim}` (LEADLINE_OIDC_USER_CLAIM)"
    yield IdentityFinding("person", caller.user or "", user_source)
    groups_source = f"by the claim `{settings.oidc_groups_claim}` (LEADLINE_OIDC_GROUPS_CLAIM)"
    has_groups = settings.oidc_groups_claim in found.claims
    hint = groups_source if has_groups else f"The token has no such claim: {groups_source}"
    if any(name.startswith("/") for name in caller.groups):
        hint = f"{groups_source}. Names begin with `/`: in Keycloak, turn off “Full group path” in the mapper."
    yield IdentityFinding("groups", ", ".join(sorted(caller.groups)) or "none", hint)
    values = parse_names(found.claims.get(settings.oidc_scopes_claim))
    named = ", ".join(name for name in ("*", *values) if name in settings.oidc_scopes)
    scopes_source = f"by {named or 'no value'} of `{settings.oidc_scopes_claim}` in LEADLINE_OIDC_SCOPES"
    yield IdentityFinding("scopes", ", ".join(sorted(caller.scopes)) or "none", scopes_source, not caller.scopes)


def _check_keys(settings: Settings, description: ProviderDescription) -> IdentityFinding:
    try:
        url = settings.oidc_jwks_url or description.get_url("jwks_uri")
        found = fetch_short_document(url, timeout=_TIMEOUT_SECONDS).raise_for_status().json()
        keys = found["keys"] if isinstance(found, dict) else []
        count = sum(isinstance(each, dict) and each.get("use", "sig") == "sig" for each in keys)
    except (DiscoveryError, httpx.HTTPError, ResponseTooLargeError, ValueError, KeyError, TypeError) as error:
        return IdentityFinding("keys", f"cannot be read: {error}", "Check LEADLINE_OIDC_JWKS_URL.", is_wrong=True)
    return IdentityFinding("keys", f"{count} for signatures at {url}", is_wrong=count == 0)


def _check_algorithms(settings: Settings, description: ProviderDescription) -> IdentityFinding:
    offered = description.list_values("id_token_signing_alg_values_supported") or ()
    common = [each for each in settings.algorithms if each in offered]
    if common or not offered:
        return IdentityFinding("algorithms", ", ".join(common) or settings.oidc_algorithms)
    advice = f"Set LEADLINE_OIDC_ALGORITHMS to one of those of the provider: {', '.join(offered)}."
    return IdentityFinding(
        "algorithms", f"the provider does not offer {settings.oidc_algorithms}", advice, is_wrong=True
    )


def _describe_audience(settings: Settings) -> IdentityFinding:
    advice = "The provider must put it into `aud` of access tokens. In Keycloak, add an audience mapper to the client."
    return IdentityFinding("audience", settings.oidc_audience or "", advice)


def _check_groups(settings: Settings, description: ProviderDescription) -> IdentityFinding:
    claim, claims = settings.oidc_groups_claim, description.list_values("claims_supported")
    if claims is not None and claim in claims:
        return IdentityFinding("groups", f"the provider lists the claim `{claim}`")
    advice = f"To use groups, add a mapper for the claim `{claim}`, or set LEADLINE_OIDC_GROUPS_CLAIM."
    return IdentityFinding("groups", f"the provider does not list the claim `{claim}`", advice)


def _describe_redirect_uri(settings: Settings) -> IdentityFinding:
    if settings.public_url is None:
        advice = "Set LEADLINE_PUBLIC_URL, unless people open Leadline on this machine only."
        return IdentityFinding("redirect URI", f"the address in the browser and {CALLBACK}", advice)
    return IdentityFinding(
        "redirect URI", f"{settings.public_url.rstrip('/')}{CALLBACK}", "The client must allow it at the provider."
    )


def _check_scopes(settings: Settings, description: ProviderDescription) -> IdentityFinding:
    wanted = choose_request_scope(settings, description)
    offered = description.list_values("scopes_supported")
    if "openid" not in wanted.split():
        return IdentityFinding("scopes", wanted, "LEADLINE_OIDC_REQUEST_SCOPE must include `openid`.", is_wrong=True)
    missing = [each for each in wanted.split() if offered is not None and each not in offered]
    if missing:
        advice = "Some providers refuse the sign-in. Add them there, or change LEADLINE_OIDC_REQUEST_SCOPE."
        return IdentityFinding("scopes", f"{wanted}; not offered: {', '.join(missing)}", advice)
    return IdentityFinding("scopes", wanted)


def _describe_refreshing(settings: Settings, description: ProviderDescription) -> IdentityFinding:
    # The defaults of OpenID Connect Discovery 1.0, section 3.
    grants = description.list_values("grant_types_supported") or ("authorization_code", "implicit")
    if "refresh_token" not in grants:
        hours = f"{settings.session_hours:g}"
        advice = f"Portal sessions do not follow the provider. They last up to {hours} hours (LEADLINE_SESSION_HOURS)."
        return IdentityFinding("refresh tokens", "not offered", advice)
    seconds = f"{settings.oidc_session_refresh_seconds:g}"
    advice = f"With them, the provider confirms portal sessions every {seconds} seconds."
    if "offline_access" in (description.list_values("scopes_supported") or ()):
        advice += " If the client gets none, add `offline_access` to LEADLINE_OIDC_REQUEST_SCOPE."
    return IdentityFinding("refresh tokens", "offered", advice)


def _describe_abilities(settings: Settings, description: ProviderDescription) -> Iterator[IdentityFinding]:
    logout = (
        f"The client's back-channel logout URI is {(settings.public_url or '').rstrip('/')}/v1/back-channel-logout."
    )
    advice = {"backchannel_logout_supported": logout}
    for name, field in _ABILITIES:
        has = description.has(field)
        yield IdentityFinding(name, "offered" if has else "not offered", advice.get(field, "") if has else "")
