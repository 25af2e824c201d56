"""Checks bearer tokens of an OpenID Connect provider: issuer, audience, times, and a signature by one of its keys.

The only user of PyJWT, which the extra `oidc` brings. Symmetric algorithms and `none` are in no configuration: a public
key can never serve as their secret.
"""

import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import httpx
import jwt
import structlog
from jwt import PyJWKClient

from api.http.problems import IdentityProviderUnavailableError
from api.settings.oidc import OidcSettings
from ingest.storage.accounts.records import MAX_NAME_CHARS, Principal, Scope
from ingest.storage.build import Identities
from ingest.storage.errors import LeadlineError, TenantNotFoundError
from retrieval.bounded_replies import ReplyTooLargeError, fetch_short_document

log = structlog.get_logger(__name__)

_TIMEOUT_SECONDS = 5.0
# A provider that did not answer is asked again after this long; until then requests are refused at once.
_RETRY_AFTER_SECONDS = 5.0
# Whoever checks keys has few threads; they are not all to wait for a provider that does not answer.
_LOCK_TIMEOUT_SECONDS = 1.0
_MAX_GROUPS = 1_000


class OidcTokens:
    """Turns tokens into principals; safe to use from any thread."""

    def __init__(self, settings: OidcSettings, identities: Identities, *, clock: Callable[[], float] = time.monotonic):
        self._settings = settings
        self._identities = identities
        self._keys = _ProviderKeys(settings, clock)

    def check(self, token: str) -> Principal | None:
        """Return who holds the token, or None for anything but a valid one.

        Raises `IdentityProviderUnavailableError` when the provider's keys are needed and cannot be had.
        """
        return self._check_token(token, self._settings.oidc_audience, None)

    def check_identity(self, token: str, nonce: str) -> Principal | None:
        """As `check`, for the identity token of somebody who signs in to the portal: it must carry this nonce."""
        return self._check_token(token, self._settings.oidc_client_id, nonce)

    def _check_token(self, token: str, audience: str | None, nonce: str | None) -> Principal | None:
        settings = self._settings
        try:
            claims = jwt.decode(
                token,
                self._keys.get_key(token),
                algorithms=list(settings.algorithms),
                # guard: token-issuer
                issuer=settings.oidc_issuer,
                # guard: token-audience
                audience=audience,
                leeway=settings.oidc_leeway_seconds,
                options={"require": ["exp", "iss", "aud", settings.oidc_user_claim]},
            )
            # guard: oidc-nonce
            if nonce is not None and claims.get("nonce") != nonce:
                raise ValueError("the token belongs to another sign-in")
            principal = self._build_principal(claims)
        except (jwt.PyJWTError, ValueError, TypeError, TenantNotFoundError) as error:
            log.info("a token was refused", reason=type(error).__name__)
            return None
        return self._identities.grants.resolve_access(principal)

    def _build_principal(self, claims: Mapping[str, Any]) -> Principal:
        """Raises `ValueError` for claims that name no user or no scope, and `TenantNotFoundError`."""
        settings = self._settings
        user = claims[settings.oidc_user_claim]
        if not isinstance(user, str) or not _is_valid_name(user):
            raise ValueError("the claim names no user")
        wanted = settings.oidc_tenant if settings.oidc_tenant_claim is None else claims.get(settings.oidc_tenant_claim)
        tenant = self._identities.tenants.load_tenant(wanted if isinstance(wanted, str) else "")
        if tenant.suspended_at is not None:
            raise TenantNotFoundError("The tenant is suspended.")
        principal = Principal(
            tenant.id,
            None,
            user,
            user=user,
            groups=frozenset(parse_names(claims.get(settings.oidc_groups_claim))),
            expires_at=float(claims["exp"]),
        )
        return replace(
            principal, scopes=map_scopes(settings.oidc_scopes, parse_names(claims.get(settings.oidc_scopes_claim)))
        )


def parse_names(claim: object) -> list[str]:
    """Return the names in a claim: a list of texts, or one text with spaces between, as `scope` has them."""
    found: Collection[object] = claim.split() if isinstance(claim, str) else claim if isinstance(claim, list) else ()
    return [each for each in list(found)[:_MAX_GROUPS] if isinstance(each, str) and _is_valid_name(each)]


def map_scopes(mapping: Mapping[str, Sequence[Scope]], given: Collection[str]) -> frozenset[Scope]:
    """Return what these names give, and what `*` gives everybody."""
    return frozenset(scope for name in ("*", *given) for scope in mapping.get(name, ()))


def _is_valid_name(text: str) -> bool:
    return text == text.strip() and 1 <= len(text) <= MAX_NAME_CHARS and text.isprintable()


class _ProviderKeys:
    """The provider's signing keys, kept for some minutes.

    An unknown key id has them fetched again, at most every half minute: a stranger who makes ids up cannot have us ask
    more often.
    """

    def __init__(self, settings: OidcSettings, clock: Callable[[], float]) -> None:
        self._settings = settings
        self._clock = clock
        self._lock = threading.Lock()
        self._client: PyJWKClient | None = None
        self._away_until = float("-inf")

    def get_key(self, token: str) -> Any:  # noqa: ANN401 - a key of the cryptography library
        """Return the key that a token names. Raises `PyJWTError`, and `IdentityProviderUnavailableError`."""
        header = jwt.get_unverified_header(token)
        # guard: token-algorithm
        if header.get("alg") not in self._settings.algorithms:
            raise jwt.InvalidAlgorithmError("not in the list")
        kid = header.get("kid")
        if not isinstance(kid, str):
            raise jwt.InvalidTokenError("no key id")
        if (kept := self._find_cached_key(kid)) is not None:
            return kept
        if not self._lock.acquire(timeout=_LOCK_TIMEOUT_SECONDS):
            raise _build_unavailable_error()
        try:  # one request fetches, and the others wait a moment for what it gets
            if (kept := self._find_cached_key(kid)) is not None:
                return kept
            if self._clock() < self._away_until:
                raise _build_unavailable_error()
            try:
                return self._get_client().get_signing_key(kid).key
            except (jwt.PyJWKClientConnectionError, jwt.PyJWKSetError, OSError, json.JSONDecodeError) as error:
                self._away_until = self._clock() + _RETRY_AFTER_SECONDS
                log.warning("the identity provider's keys cannot be had", error=repr(error))
                raise _build_unavailable_error() from error
        finally:
            self._lock.release()

    def _find_cached_key(self, kid: str) -> Any:  # noqa: ANN401 - as above
        """Return a key that is known, which nobody waits for: also while others fetch, or the provider is away."""
        cache = None if self._client is None else self._client.jwk_set_cache
        kept = None if cache is None else cache.get()
        for each in () if kept is None else kept.keys:
            if each.key_id == kid and each.public_key_use in (None, "sig"):
                return each.key
        return None

    def _get_client(self) -> PyJWKClient:
        if self._client is None:
            settings = self._settings
            self._client = _BoundedJWKClient(
                settings.oidc_jwks_url or _fetch_jwks_url(settings.oidc_issuer or ""),
                lifespan=settings.oidc_keys_seconds,
                timeout=_TIMEOUT_SECONDS,
                cooldown_duration=settings.oidc_refetch_seconds,
            )
        return self._client


class _BoundedJWKClient(PyJWKClient):
    """PyJWT's client, which reads a reply of any size, with a limit of bytes."""

    def fetch_data(self) -> Any:  # noqa: ANN401 - of PyJWT
        try:
            # guard: provider-keys-size
            found = fetch_short_document(self.uri, timeout=self.timeout).raise_for_status().json()
        except (httpx.HTTPError, ReplyTooLargeError, ValueError) as error:
            raise jwt.PyJWKClientConnectionError(f"The keys cannot be fetched: {error}") from error
        if not isinstance(found, dict):
            raise jwt.PyJWKSetError("The reply is no object.")
        if self.jwk_set_cache is not None:
            self.jwk_set_cache.put(found)
        self._last_successful_fetch = time.monotonic()  # the cooldown is counted from here
        return found


def _fetch_jwks_url(issuer: str) -> str:
    """Return the address of an issuer's keys. Raises `OSError` for what cannot be used."""
    place = issuer.rstrip("/") + "/.well-known/openid-configuration"
    try:
        with urllib.request.urlopen(place, timeout=_TIMEOUT_SECONDS) as answer:
            found = json.loads(answer.read(1 << 20))
    except (urllib.error.URLError, ValueError) as error:
        if isinstance(error, urllib.error.HTTPError):
            error.close()
        raise OSError(f"{place} does not describe the provider") from error
    address = found.get("jwks_uri") if isinstance(found, dict) else None
    if not isinstance(address, str) or not address.startswith(("https://", "http://")) or found.get("issuer") != issuer:
        raise OSError(f"{place} describes another issuer, or no keys")
    return address


def _build_unavailable_error() -> LeadlineError:
    return IdentityProviderUnavailableError("The identity provider's keys cannot be had now.")
