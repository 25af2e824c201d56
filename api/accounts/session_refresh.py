"""Asks the identity provider every few minutes whether a person who uses a portal session still has access.

A refresh token is exchanged for a new identity token. The provider refuses if the person was disabled or signed out
there; otherwise, the new token has the person's current groups.
"""

import time
from collections.abc import Callable

import structlog

from api.admission.discovery import ProviderRefusal
from api.admission.services import Services, TokenChecker
from api.admission.token_endpoint import get_client_secret, request_tokens
from api.http.problems import IdentityProviderUnavailableError
from api.portal.provider import is_sign_in_configured
from api.settings.oidc import OidcSettings
from ingest.storage.accounts.provider_sessions import ClaimedRefresh, ProviderSessions
from ingest.storage.accounts.sessions import LiveSession

log = structlog.get_logger(__name__)

# Longer than the requests of one refresh take, each of which has a timeout of 5 or 10 seconds. If a process dies, the
# next refresh of its session waits until then.
_LEASE_SECONDS = 60.0
# Delay after a failed request to the provider. Until then, no session of this process waits for it.
_RETRY_SECONDS = 15.0
# Errors that tell nothing about the person (RFC 6749, sections 4.1.2.1 and 5.2): the client is not set up correctly, or
# the provider has a problem. All others end the session, such as `invalid_grant` and `interaction_required`.
_ERRORS_OF_CLIENT = frozenset(
    (
        *("invalid_client", "unauthorized_client", "unsupported_grant_type", "invalid_request", "invalid_scope"),
        *("server_error", "temporarily_unavailable"),
    )
)


class SessionEndedError(Exception):
    """The provider no longer confirms a session. The message is a reason for the log."""


class SessionRefresher:
    """Refreshes sessions, or ends them. Thread-safe. `clock` returns seconds since the epoch."""

    def __init__(
        self,
        settings: OidcSettings,
        checker: TokenChecker,
        sessions: ProviderSessions,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._checker = checker
        self._sessions = sessions
        self._clock = clock
        self._away_until = float("-inf")

    def is_due(self, session: LiveSession) -> bool:
        """Return whether the provider must confirm the session before it is used."""
        interval = self._settings.oidc_session_refresh_seconds
        return session.refreshed_at is not None and session.refreshed_at + interval <= self._clock()

    def refresh_session(self, secret: str) -> None:
        """Refresh a session that is due, or end it. While another request refreshes it, the session does not change."""
        claim = self._sessions.claim_refresh(
            secret,
            interval_seconds=self._settings.oidc_session_refresh_seconds,
            lease_seconds=_LEASE_SECONDS,
        )
        if claim is None:
            return
        try:
            self._refresh(secret, claim)
        except SessionEndedError as ended:
            log.info("session ended by the identity provider", user=claim.owner, reason=str(ended))
            # guard: refused-refresh-ends-session
            self._sessions.end_session(claim)
        except IdentityProviderUnavailableError:
            away_seconds = self._sessions.record_failure(claim, retry_seconds=_RETRY_SECONDS)
            # guard: away-provider-ends-session
            if away_seconds >= self._settings.oidc_session_away_seconds:
                log.warning("session ended: the identity provider does not respond", user=claim.owner)
                self._sessions.end_session(claim)

    def _refresh(self, secret: str, claim: ClaimedRefresh) -> None:
        if self._clock() < self._away_until:
            raise IdentityProviderUnavailableError("The identity provider did not respond a moment ago.")
        refresh_token = claim.tokens.refresh_token or ""
        form = {"grant_type": "refresh_token", "refresh_token": refresh_token}
        try:
            status, answer = request_tokens(self._settings, form)
        except IdentityProviderUnavailableError:
            self._away_until = self._clock() + _RETRY_SECONDS
            raise
        if status != 200 or "error" in answer:
            known = (refresh_token, get_client_secret(self._settings))
            refusal = ProviderRefusal.parse(answer.get("error"), answer.get("error_description"), known)
            if refusal.code and refusal.code not in _ERRORS_OF_CLIENT:
                raise SessionEndedError(str(refusal))
            log.warning("identity provider refused to refresh a session", status=status, error=str(refusal))
            raise IdentityProviderUnavailableError("The identity provider refused to refresh a session.")
        rotated, identity_token = answer.get("refresh_token"), answer.get("id_token")
        # The old token may be used up, so the new one is stored before anything else can fail.
        if isinstance(rotated, str) and rotated:
            self._sessions.replace_refresh_token(secret, claim, rotated)
        if not isinstance(identity_token, str):  # OpenID Connect Core 1.0, section 12.2, permits this.
            self._sessions.confirm_session(claim, None)
            return
        found = self._checker.check_refreshed_token(identity_token, claim.tokens.subject)
        if found is None:
            raise SessionEndedError("the new identity token is not valid here")
        if (found.principal.tenant_id, found.principal.owner) != (claim.tenant_id, claim.owner):
            raise SessionEndedError("the person has another tenant or name now")
        self._sessions.confirm_session(claim, found.principal)


def open_refresher(services: Services) -> SessionRefresher | None:
    """Return a refresher, or None if people cannot sign in with an identity provider."""
    checker = services.admission.tokens
    if checker is None or not is_sign_in_configured(services.settings, checker):
        return None
    return SessionRefresher(services.settings, checker, services.accounts.provider_sessions)
