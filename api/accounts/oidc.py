"""Verifies tokens from an OpenID Connect provider: kind, issuer, audience, lifetime and signature.

This is the only module that imports PyJWT, which the `oidc` extra installs. The settings accept neither symmetric
algorithms nor `none`, so a public key can never be used as a shared secret.
"""

import json
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import httpx
import jwt
import structlog
from jwt import PyJWKClient

from api.accounts.profiles import parse_profile
from api.accounts.token_kinds import find_wrong_kind
from api.admission.discovery import DiscoveryError, cut_to_line, fetch_description
from api.admission.services import VerifiedToken
from api.http.problems import IdentityProviderUnavailableError
from api.settings.oidc import OidcSettings
from ingest.storage.accounts.provider_sessions import Logout
from ingest.storage.accounts.records import MAX_NAME_CHARS, Principal, Scope
from ingest.storage.build import AccountStores
from ingest.storage.errors import LeadlineError, TenantNotFoundError
from retrieval.bounded_replies import ResponseTooLargeError, fetch_short_document

log = structlog.get_logger(__name__)

_TIMEOUT_SECONDS = 5.0
# Delay after a failed fetch of keys before the next fetch. Until then, a token that needs an uncached key is rejected.
_RETRY_AFTER_SECONDS = 5.0
# Maximum time that a check waits for another thread's fetch of keys. Checks of tokens and API keys share a small thread
# pool, so if they waited longer, one slow provider would also block API keys.
_LOCK_TIMEOUT_SECONDS = 1.0
_MAX_GROUPS = 1_000
# OpenID Connect Back-Channel Logout 1.0, sections 2.4 and 2.6: logout tokens should be valid for at most two minutes.
_LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout"
_LOGOUT_SECONDS = 120.0
_SIGNATURE_ONLY: Any = {f"verify_{claim}": False for claim in ("exp", "nbf", "iat", "aud", "iss", "sub", "jti")}


# The reason in the log of each error of PyJWT. The first class that matches applies.
_REASONS: tuple[tuple[type[jwt.PyJWTError], str], ...] = (
    (jwt.ExpiredSignatureError, "expired"),
    (jwt.ImmatureSignatureError, "not_yet_valid"),
    (jwt.InvalidIssuerError, "issuer"),
    (jwt.InvalidAudienceError, "audience"),
    (jwt.MissingRequiredClaimError, "claim_missing"),
    (jwt.InvalidSignatureError, "signature"),
    (jwt.InvalidAlgorithmError, "algorithm"),
    (jwt.PyJWKClientError, "unknown_key"),
    (jwt.PyJWTError, "malformed"),
)


class TokenRefusedError(Exception):
    """A token is not valid here. `reason` is a short code. `detail` contains no part of an unverified token."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = cut_to_line(detail)


class OidcTokenChecker:
    """Converts tokens to principals. Thread-safe."""

    def __init__(
        self, settings: OidcSettings, identities: AccountStores, *, clock: Callable[[], float] = time.monotonic
    ):
        self._settings = settings
        self._identities = identities
        self._keys = _ProviderKeys(settings, clock)

    def check_access_token(self, token: str) -> Principal | None:
        """Return the principal that an access token identifies, or None if the token is not valid.

        Raises `IdentityProviderUnavailableError` if the provider's keys are needed and cannot be fetched.
        """
        try:
            return self.verify_access_token(token).principal
        except TokenRefusedError as error:
            log.info("token refused", kind="access", reason=error.reason, detail=error.detail)
            return None

    def check_identity_token(self, token: str, nonce: str) -> VerifiedToken | None:
        """Return the caller of an identity token from a portal sign-in. The token must contain `nonce`."""
        try:
            claims = self._decode(token, self._settings.oidc_client_id, is_access=False)
            # guard: oidc-nonce
            if claims.get("nonce") != nonce:
                raise TokenRefusedError("nonce", "the nonce belongs to another sign-in")
            return self._build_identity(token, claims)
        except TokenRefusedError as error:
            log.info("token refused", kind="identity", reason=error.reason, detail=error.detail)
            return None

    def check_refreshed_token(self, token: str, subject: str) -> VerifiedToken | None:
        """Return the caller of an identity token that came for a refresh token of the person `subject`.

        Such a token has no nonce, or that of the sign-in (OpenID Connect Core 1.0, section 12.2).
        """
        try:
            claims = self._decode(token, self._settings.oidc_client_id, is_access=False)
            # guard: refreshed-subject
            if claims.get("sub") != subject:
                raise TokenRefusedError("subject", "the token identifies another person than the session")
            return self._build_identity(token, claims)
        except TokenRefusedError as error:
            log.info("token refused", kind="refreshed", reason=error.reason, detail=error.detail)
            return None

    def check_logout_token(self, token: str) -> Logout | None:
        """Return the logout that a token of the provider asks for, or None if the token is not valid.

        Source: OpenID Connect Back-Channel Logout 1.0, section 2.6.
        """
        try:
            return self._verify_logout_token(token)
        except TokenRefusedError as error:
            log.warning("token refused", kind="logout", reason=error.reason, detail=error.detail)
            return None

    def _verify_logout_token(self, token: str) -> Logout:
        claims = self._decode(token, self._settings.oidc_client_id, is_access=False, required=("iat", "jti"))
        events = claims.get("events")
        # guard: logout-token-event
        if not isinstance(events, dict) or not isinstance(events.get(_LOGOUT_EVENT), dict):
            raise TokenRefusedError("not_a_logout_token", "the claim `events` has no logout")
        # guard: logout-token-nonce
        if "nonce" in claims:
            raise TokenRefusedError("not_a_logout_token", "the token has the claim `nonce`")
        subject, session, token_id = (claims.get(name) for name in ("sub", "sid", "jti"))
        if not all(each is None or (isinstance(each, str) and each) for each in (subject, session, token_id)):
            raise TokenRefusedError("malformed", "a claim has the wrong type")
        # guard: logout-token-names-somebody
        if subject is None and session is None:
            raise TokenRefusedError("claim_missing", "the token has neither `sub` nor `sid`")
        expires_at = float(claims["iat"]) + _LOGOUT_SECONDS + self._settings.oidc_leeway_seconds
        # guard: logout-token-age
        if expires_at <= time.time():
            raise TokenRefusedError("expired", f"`iat` is more than {_LOGOUT_SECONDS:.0f} seconds ago")
        return Logout(str(token_id), subject, session, expires_at)

    def verify_access_token(self, token: str) -> VerifiedToken:
        """Verify an access token. Raises `TokenRefusedError`, and `IdentityProviderUnavailableError` as above."""
        return self._build_token(token, self._decode(token, self._settings.oidc_audience, is_access=True))

    def _build_identity(self, token: str, claims: Mapping[str, Any]) -> VerifiedToken:
        if not isinstance(claims.get("sub"), str):
            raise TokenRefusedError("claim_missing", "the token has no claim `sub`")
        return self._build_token(token, claims)

    def _decode(
        self, token: str, audience: str | None, *, is_access: bool, required: Sequence[str] | None = None
    ) -> Mapping[str, Any]:
        """Return the claims of a valid token. By default, it must identify a user until it expires."""
        settings = self._settings
        options: Any = {"require": ["iss", "aud", *(required or ("exp", settings.oidc_user_claim))]}
        try:
            key = self._keys.get_signing_key(token)
            # The kind comes first: "an identity token" says more than "another audience".
            signed = jwt.decode_complete(token, key, algorithms=list(settings.algorithms), options=_SIGNATURE_ONLY)
            claims: Mapping[str, Any] = signed["payload"]
            wrong = find_wrong_kind(signed["header"], claims, settings.oidc_client_id) if is_access else None
            # guard: access-tokens-only
            if wrong is not None:
                raise TokenRefusedError("not_an_access_token", wrong)
        except (jwt.PyJWTError, ValueError, TypeError) as error:
            raise TokenRefusedError(_find_reason(error), "the token was not signed by this issuer") from error
        try:
            jwt.decode(
                token,
                key,
                algorithms=list(settings.algorithms),
                # guard: token-issuer
                issuer=settings.oidc_issuer,
                # guard: token-audience
                audience=audience,
                leeway=settings.oidc_leeway_seconds,
                options=options,
            )
        except (jwt.PyJWTError, ValueError, TypeError) as error:
            expected = "LEADLINE_OIDC_AUDIENCE" if is_access else "LEADLINE_OIDC_CLIENT_ID"
            detail = _describe_claim(error, claims, f"{expected} is {audience}", settings.oidc_issuer)
            raise TokenRefusedError(_find_reason(error), detail) from error
        return claims

    def _build_token(self, token: str, claims: Mapping[str, Any]) -> VerifiedToken:
        return VerifiedToken(token, self._identities.grants.resolve_access(self._build_principal(claims)), claims)

    def _build_principal(self, claims: Mapping[str, Any]) -> Principal:
        """Build a principal from a token's claims.

        Raises `TokenRefusedError` if the claims have no valid user, or if the tenant does not exist or is suspended.
        """
        settings = self._settings
        user = claims[settings.oidc_user_claim]
        if not isinstance(user, str) or not _is_valid_name(user):
            raise TokenRefusedError("user", f"the claim `{settings.oidc_user_claim}` is not a valid name")
        wanted = settings.oidc_tenant if settings.oidc_tenant_claim is None else claims.get(settings.oidc_tenant_claim)
        try:
            tenant = self._identities.tenants.load_tenant(wanted if isinstance(wanted, str) else "")
        except TenantNotFoundError as error:
            raise TokenRefusedError("tenant", f"there is no tenant {wanted!r}") from error
        if tenant.suspended_at is not None:
            raise TokenRefusedError("tenant", f"the tenant {tenant.id} is suspended")
        profile = parse_profile(claims, user)
        principal = Principal(
            tenant.id,
            None,
            profile.name,
            user=user,
            groups=frozenset(parse_names(claims.get(settings.oidc_groups_claim))),
            expires_at=float(claims["exp"]),
            profile=profile,
        )
        return replace(
            principal, scopes=map_scopes(settings.oidc_scopes, parse_names(claims.get(settings.oidc_scopes_claim)))
        )


def _find_reason(error: Exception) -> str:
    return next((reason for kind, reason in _REASONS if isinstance(error, kind)), "malformed")


def _describe_claim(error: Exception, claims: Mapping[str, Any], audience: str, issuer: str | None) -> str:
    """Describe the claim of a signed token that caused an error, and the setting that it differs from."""
    match error:
        case jwt.MissingRequiredClaimError():
            return f"the token has no claim `{error.claim}`"
        case jwt.InvalidAudienceError():
            return f"`aud` is {claims.get('aud')}; {audience}"
        case jwt.InvalidIssuerError():
            return f"`iss` is {claims.get('iss')}; LEADLINE_OIDC_ISSUER is {issuer}"
        case jwt.ExpiredSignatureError():
            return f"`exp` was {time.time() - float(claims['exp']):.0f} seconds ago"
        case jwt.ImmatureSignatureError():
            return "`nbf` or `iat` is in the future: compare the clocks"
    return "a claim has the wrong type"


def parse_names(claim: object) -> list[str]:
    """Return the valid names in a claim, which is a list of strings or a space-separated string such as `scope`."""
    found: Collection[object] = claim.split() if isinstance(claim, str) else claim if isinstance(claim, list) else ()
    return [each for each in list(found)[:_MAX_GROUPS] if isinstance(each, str) and _is_valid_name(each)]


def map_scopes(mapping: Mapping[str, Sequence[Scope]], names: Collection[str]) -> frozenset[Scope]:
    """Return the scopes that `mapping` grants to the `names` names, plus those that `*` grants to everyone."""
    return frozenset(scope for name in ("*", *names) for scope in mapping.get(name, ()))


def _is_valid_name(text: str) -> bool:
    return text == text.strip() and 1 <= len(text) <= MAX_NAME_CHARS and text.isprintable()


class _ProviderKeys:
    """A cache of the provider's signing keys.

    An unknown key id triggers a new fetch, at most once every `oidc_refetch_seconds`, so that made-up key ids cannot
    cause more frequent fetches.
    """

    def __init__(self, settings: OidcSettings, clock: Callable[[], float]) -> None:
        self._settings = settings
        self._clock = clock
        self._lock = threading.Lock()
        self._client: PyJWKClient | None = None
        self._away_until = float("-inf")

    def get_signing_key(self, token: str) -> Any:  # noqa: ANN401 - a key of the cryptography library
        """Return the signing key whose id is in the token's header.

        Raises `PyJWTError` if the token or its key is not valid, and `IdentityProviderUnavailableError` if the keys
        cannot be fetched.
        """
        header = jwt.get_unverified_header(token)
        # guard: token-algorithm
        if header.get("alg") not in self._settings.algorithms:
            raise jwt.InvalidAlgorithmError("the algorithm is not allowed")
        kid = header.get("kid")
        if not isinstance(kid, str):
            raise jwt.InvalidTokenError("the token has no key id")
        if (kept := self._find_cached_key(kid)) is not None:
            return kept
        if not self._lock.acquire(timeout=_LOCK_TIMEOUT_SECONDS):
            raise _build_unavailable_error()
        try:  # One thread fetches the keys. The other threads wait briefly and then read the cache.
            if (kept := self._find_cached_key(kid)) is not None:
                return kept
            if self._clock() < self._away_until:
                raise _build_unavailable_error()
            try:
                return self._get_jwks_client().get_signing_key(kid).key
            except (jwt.PyJWKClientConnectionError, jwt.PyJWKSetError, OSError, json.JSONDecodeError) as error:
                self._away_until = self._clock() + _RETRY_AFTER_SECONDS
                log.warning("could not fetch the identity provider's keys", error=repr(error))
                raise _build_unavailable_error() from error
        finally:
            self._lock.release()

    def _find_cached_key(self, kid: str) -> Any:  # noqa: ANN401 - as above
        """Return the cached key with this id, or None. No lock is taken, so this never waits for the provider."""
        cache = None if self._client is None else self._client.jwk_set_cache
        kept = None if cache is None else cache.get()
        for each in () if kept is None else kept.keys:
            if each.key_id == kid and each.public_key_use in (None, "sig"):
                return each.key
        return None

    def _get_jwks_client(self) -> PyJWKClient:
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
    """PyJWT's client with a limit on the response size."""

    def fetch_data(self) -> Any:  # noqa: ANN401 - of PyJWT
        try:
            # guard: provider-keys-size
            found = fetch_short_document(self.uri, timeout=self.timeout).raise_for_status().json()
        except (httpx.HTTPError, ResponseTooLargeError, ValueError) as error:
            raise jwt.PyJWKClientConnectionError(f"Could not fetch the keys: {error}") from error
        if not isinstance(found, dict):
            raise jwt.PyJWKSetError("The response is not a JSON object.")
        if self.jwk_set_cache is not None:
            self.jwk_set_cache.put(found)
        self._last_successful_fetch = time.monotonic()  # PyJWT's cooldown between two fetches starts at this time.
        return found


def _fetch_jwks_url(issuer: str) -> str:
    """Fetch the URL of an issuer's keys from its discovery document. Raises `OSError` if the document is invalid."""
    try:
        return fetch_description(issuer).get_url("jwks_uri")
    except DiscoveryError as error:
        raise OSError(str(error)) from error


def _build_unavailable_error() -> LeadlineError:
    return IdentityProviderUnavailableError("The identity provider's keys are unavailable.")
