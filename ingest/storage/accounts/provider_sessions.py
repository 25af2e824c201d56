"""Sessions that an identity provider started: their tokens, which are refreshed while the session is in use.

The tokens are sealed with a key that is derived from the session's secret. Only the browser has the secret, so a copy
of the catalog does not disclose a token. Therefore a session is refreshed only during a request.
"""

import hashlib
import json
import os
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sqlalchemy import ColumnElement, Engine, delete, func, or_, select, update

from ingest.storage.accounts.people import end_groups_of_provider
from ingest.storage.accounts.records import Principal
from ingest.storage.audit.records import Action
from ingest.storage.audit.store import record_action
from ingest.storage.db.database import insert_row_if_absent, read_transaction, write_transaction
from ingest.storage.db.schema import logout_tokens, people, sessions

_NONCE_BYTES = 12


@dataclass(frozen=True)
class ProviderTokens:
    """The tokens of a sign-in at an identity provider.

    `subject` is the claim `sub`, and `session` the claim `sid`, of the identity token. Without a refresh token, the
    session lasts as long as the settings allow.
    """

    subject: str
    session: str | None
    identity_token: str
    refresh_token: str | None = None


@dataclass(frozen=True)
class ClaimedRefresh:
    """The right of one request to use the refresh token of a session until the lease ends."""

    session_sha256: str
    lease_until: float
    owner: str
    tenant_id: str
    tokens: ProviderTokens


@dataclass(frozen=True)
class Logout:
    """A request of an identity provider to end a person's sessions: the one with the `sid` `session`, or all of them.

    `token_id` is the `jti` of the logout token, which is not accepted again before `expires_at`.
    """

    token_id: str
    subject: str | None
    session: str | None
    expires_at: float


class ProviderSessions:
    """Lets one request at a time refresh a session. `clock` returns seconds since the epoch."""

    def __init__(self, engine: Engine, *, clock: Callable[[], float] = time.time) -> None:
        self._engine = engine
        self._clock = clock

    def claim_refresh(self, secret: str, *, interval_seconds: float, lease_seconds: float) -> ClaimedRefresh | None:
        """Claim the refresh of a session that was last refreshed at least `interval_seconds` ago.

        Returns None if the session has no refresh token, if no refresh is due, or if another request has the lease. A
        refresh token that is used twice looks stolen to a provider, which then ends all sessions of the sign-in (RFC
        9700, section 4.14.2).
        """
        now = self._clock()
        of_session = sessions.c.secret_sha256 == hash_secret(secret)
        due = sessions.c.refreshed_at <= now - interval_seconds
        free = or_(sessions.c.refresh_lease_until.is_(None), sessions.c.refresh_lease_until <= now)
        with write_transaction(self._engine) as connection:
            # guard: one-refresh-at-a-time
            claimed = update(sessions).where(of_session, due, free).values(refresh_lease_until=now + lease_seconds)
            if connection.execute(claimed).rowcount != 1:
                return None
            row = connection.execute(select(sessions).where(of_session)).one()
            tokens = _unseal_tokens(row.tokens_sealed, secret)
            if tokens is None:  # Nothing could confirm this session any more.
                connection.execute(delete(sessions).where(of_session))
                return None
        return ClaimedRefresh(row.secret_sha256, now + lease_seconds, row.owner, row.tenant_id, tokens)

    def replace_refresh_token(self, secret: str, claim: ClaimedRefresh, refresh_token: str) -> None:
        """Store the refresh token that replaces the one of the claim."""
        sealed = _seal_tokens(replace(claim.tokens, refresh_token=refresh_token), secret)
        self._change(claim, tokens_sealed=sealed)

    def confirm_session(self, claim: ClaimedRefresh, principal: Principal | None) -> None:
        """Record that the provider confirmed the session, with the person's current permissions if it told them.

        The person's groups are also those that count in Slack.
        """
        if principal is not None:
            with write_transaction(self._engine) as connection:
                of_person = people.c.tenant_id == claim.tenant_id, people.c.user == principal.user
                # guard: refreshed-groups-in-slack
                connection.execute(update(people).where(*of_person).values(groups=sorted(principal.groups)))
        holder = {} if principal is None else {"holder": build_holder_columns(principal)}
        self._change(claim, refreshed_at=self._clock(), refresh_lease_until=None, refresh_failing_since=None, **holder)

    def record_failure(self, claim: ClaimedRefresh, *, retry_seconds: float) -> float:
        """Record that the provider did not respond. Return for how many seconds it has not responded.

        The next attempt is allowed after `retry_seconds`.
        """
        now = self._clock()
        since = func.coalesce(sessions.c.refresh_failing_since, now)
        self._change(claim, refresh_failing_since=since, refresh_lease_until=now + retry_seconds)
        query = select(sessions.c.refresh_failing_since).where(sessions.c.secret_sha256 == claim.session_sha256)
        with read_transaction(self._engine) as connection:
            found = connection.execute(query).scalar()
        return 0.0 if found is None else now - float(found)

    def end_session(self, claim: ClaimedRefresh) -> None:
        """End a session that the provider no longer confirms."""
        with write_transaction(self._engine) as connection:
            of_session = sessions.c.secret_sha256 == claim.session_sha256
            if connection.execute(delete(sessions).where(of_session)).rowcount:
                end_groups_of_provider(connection, claim.tenant_id, claim.owner)
                record_action(connection, Action.SESSIONS_ENDED, claim.owner, tenant_id=claim.tenant_id, sessions=1)

    def end_sessions(self, logout: Logout) -> int | None:
        """End the sessions that a logout token names. Return their number, or None if the token was used before."""
        claims = (sessions.c.provider_subject, logout.subject), (sessions.c.provider_session, logout.session)
        named = [column == _hash_claim(claim) for column, claim in claims if claim is not None]
        with write_transaction(self._engine) as connection:
            connection.execute(delete(logout_tokens).where(logout_tokens.c.expires_at <= self._clock()))
            token = {"id_sha256": _hash_claim(logout.token_id), "expires_at": logout.expires_at}
            # guard: logout-token-once
            if not insert_row_if_absent(connection, logout_tokens, **token):
                return None
            owners = connection.execute(select(sessions.c.tenant_id, sessions.c.owner).where(*named)).all()
            connection.execute(delete(sessions).where(*named))
            for (tenant_id, owner), count in Counter((row.tenant_id, row.owner) for row in owners).items():
                # guard: groups-end-with-logout
                if not connection.execute(
                    select(sessions.c.owner).where(*_build_owner_condition(tenant_id, owner))
                ).first():
                    end_groups_of_provider(connection, tenant_id, owner)
                record_action(connection, Action.SESSIONS_ENDED, owner, tenant_id=tenant_id, sessions=count)
        return len(owners)

    def load_tokens(self, secret: str) -> ProviderTokens | None:
        """Load the tokens of a session, or None if it was not started by an identity provider."""
        query = select(sessions.c.tokens_sealed).where(sessions.c.secret_sha256 == hash_secret(secret))
        with read_transaction(self._engine) as connection:
            return _unseal_tokens(connection.execute(query).scalar(), secret)

    def _change(self, claim: ClaimedRefresh, **values: Any) -> None:  # noqa: ANN401 - columns
        held = (
            sessions.c.secret_sha256 == claim.session_sha256,
            # guard: refresh-fence
            sessions.c.refresh_lease_until == claim.lease_until,
        )
        with write_transaction(self._engine) as connection:
            connection.execute(update(sessions).where(*held).values(**values))


def build_token_columns(tokens: ProviderTokens, secret: str, now: float) -> dict[str, Any]:
    """Build the columns of a session whose provider confirmed it at `now`."""
    return {
        "provider_subject": _hash_claim(tokens.subject),
        "provider_session": None if tokens.session is None else _hash_claim(tokens.session),
        "tokens_sealed": _seal_tokens(tokens, secret),
        "refreshed_at": None if tokens.refresh_token is None else now,
        "refresh_lease_until": None,
        "refresh_failing_since": None,
    }


def build_holder_columns(principal: Principal) -> dict[str, Any]:
    """Build the record of a session's principal that has no key."""
    return {
        "name": principal.name,
        "user": principal.user,
        "groups": sorted(principal.groups),
        "scopes": sorted(principal.scopes),
    }


def hash_secret(secret: str) -> str:
    """Return the hash under which the secret of a session or ticket is stored."""
    return hashlib.sha256(secret.encode()).hexdigest()


def _build_owner_condition(tenant_id: str, owner: str) -> tuple[ColumnElement[bool], ...]:
    return sessions.c.tenant_id == tenant_id, sessions.c.owner == owner


def _hash_claim(claim: str) -> str:
    # Providers may use claims of any length; the column has the length of a hash.
    return hashlib.sha256(claim.encode()).hexdigest()


def _seal_tokens(tokens: ProviderTokens, secret: str) -> bytes:
    nonce = os.urandom(_NONCE_BYTES)
    # guard: tokens-sealed
    return nonce + _build_cipher(secret).encrypt(nonce, json.dumps(asdict(tokens)).encode(), None)


def _unseal_tokens(sealed: bytes | None, secret: str) -> ProviderTokens | None:
    """Unseal the tokens of a session. Returns None if there are none, or if another secret sealed them."""
    if sealed is None:
        return None
    try:
        content = _build_cipher(secret).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], None)
    except InvalidTag:
        return None
    return ProviderTokens(**json.loads(content))


def _build_cipher(secret: str) -> AESGCM:
    # The catalog has a hash of the secret, and pages have a token derived from it: neither reveals this key.
    return AESGCM(HKDF(SHA256(), 32, None, b"leadline tokens of a session").derive(secret.encode()))
